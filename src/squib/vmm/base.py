"""What every VMM can do, as Protocols: `Vmm` starts virtual machines, `Vm` is one that was started.

A `Vm` stays usable from any process of the same user and boot: its identity and its run folder are all that must be kept to
attach to it again. Nobody but `squib.vmm` knows which program is behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from squib.formats.console_lines import Ready
from squib.host.process import ProcessIdentity
from squib.model.machine import EndedBy, MachineConfig

__all__ = ["OnOutput", "Vm", "VmEnd", "Vmm"]

OnOutput = Callable[[bytes], None]
"""Is given the console's bytes as they come."""


@dataclass(frozen=True, slots=True)
class VmEnd:
    """How a machine ended. `status` and `reason` are the guest's last words (docs/guest-abi.md).

    `status` is None where it had none; `reason` then says what is known, for people, and `wordless` who ended it.
    """

    status: int | None
    reason: str
    wordless: EndedBy = EndedBy.VMM

    @property
    def by(self) -> EndedBy:
        """What ended it."""
        match self.status:
            case None:
                return self.wordless
            case 0:
                return EndedBy.SERVER if self.reason == "finished" else EndedBy.STOP
            case 75:
                return EndedBy.STOP
            case 64 | 65 | 70:
                return EndedBy.SERVER
            case _:
                return EndedBy.GUEST


class Vm(Protocol):
    """A machine that was started. A context manager: leaving it lets go of the machine and leaves it running."""

    @property
    def identity(self) -> ProcessIdentity:
        """The VMM's process."""
        ...

    @property
    def console(self) -> Path:
        """The file that the first serial port writes."""
        ...

    def wait_ready(self, timeout: float, on_output: OnOutput | None = None) -> Ready:
        """Returns once the guest says that it serves.

        Raises GuestError or UsageError, with the console's tail as `detail`, where it ends first or `timeout` seconds pass;
        the machine is then left as it is: `kill` it.
        """
        ...

    def wait(self, timeout: float | None, on_output: OnOutput | None = None) -> VmEnd | None:
        """Its end, or None where it still runs after `timeout` seconds (None: for ever)."""
        ...

    def poll(self) -> VmEnd | None:
        """Its end, or None while it runs."""
        ...

    def stop(self, timeout: float, on_output: OnOutput | None = None) -> VmEnd:
        """Asks the guest to stop, gives it `timeout` seconds, and then ends it whatever it does."""
        ...

    def kill(self) -> VmEnd:
        """Ends it now."""
        ...

    def close(self) -> None:
        """Lets go of it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Vmm(Protocol):
    """A program that runs virtual machines."""

    @property
    def name(self) -> str:
        """As `--vmm` has it."""
        ...

    def launch(self, config: MachineConfig, run_dir: Path) -> Vm:
        """Starts a machine whose files are in `run_dir` (made, 0700; must be empty). Returns once the VMM itself runs.

        Raises TakenError (a port), UnavailableError, HostError; nothing is left running then.
        """
        ...

    def attach(self, identity: ProcessIdentity, run_dir: Path) -> Vm | None:
        """The machine that was launched so, or None where it has ended."""
        ...
