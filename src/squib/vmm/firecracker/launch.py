"""Firecracker as a VMM: a process in a session of its own, in the machine's run folder or a jail there, told all by its API.

Its standard output is the guest's first serial port, so that is the console file.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from squib.errors import SquibError, UnavailableError
from squib.host import command, tap
from squib.host.files import storage_errors
from squib.host.process import Handle, ProcessIdentity, adopt
from squib.host.rotation import tail
from squib.model.machine import EndedBy, MachineConfig
from squib.model.network import Tap
from squib.vmm.base import VmEnd
from squib.vmm.firecracker.api_client import ApiClient
from squib.vmm.firecracker.binaries import checked
from squib.vmm.firecracker.configuration import LOG, STDERR, requests
from squib.vmm.firecracker.faults import explain_death, kvm_failed, suspicion
from squib.vmm.firecracker.place import Place, Programs, api_socket, place
from squib.vmm.firecracker.start import start
from squib.vmm.process_vm import ProcessVm
from squib.vmm.run_dir import CONSOLE, clear_run_dir, end_way_out, file_bytes, make_run_dir, open_vmm
from squib.wire.firecracker.requests import Request, action

__all__ = ["PROGRAM", "Firecracker", "FirecrackerVm"]

PROGRAM = "firecracker"

_SAID_BYTES = 4000


class FirecrackerVm(ProcessVm):
    """One Firecracker process."""

    def __init__(self, process: Handle, run_dir: Path) -> None:
        super().__init__("Firecracker", process, run_dir / CONSOLE)
        self._run_dir = run_dir
        self._api = api_socket(run_dir)

    @property
    def elsewhere(self) -> str:
        """As `ProcessVm` has it."""
        why = suspicion("")
        return f"{why}: use --vmm qemu" if why else "use --vmm qemu, which works everywhere"

    def _why_ended(self) -> SquibError:
        said = _said(self._console.parent)
        if self._log.exit is None and not self._log.panic and (self._process.returncode or kvm_failed(said)):
            shown = "\n".join(text for text in (self._log.tail, said) if text)
            return explain_death("boot the guest", self._process.returncode, shown, guest_ran=True)
        return super()._why_ended()

    def _ask_to_stop(self, timeout: float) -> None:
        with ApiClient(self._api, timeout=timeout) as client:
            client.send(action("SendCtrlAltDel"), timeout=timeout)

    def _pull_plug(self, timeout: float) -> None:  # noqa: ARG002 - it has no word for that, but ends by this signal at once
        self._process.signal(signal.SIGTERM)

    def _end(self, wordless: EndedBy = EndedBy.VMM) -> VmEnd:
        end_way_out(self._run_dir)
        return super()._end(wordless)


class Firecracker:
    """Starts machines by the Firecracker at `program`, jailed ones by `jailer`.

    Without `program` it only attaches to those that run.
    """

    name = "firecracker"

    def __init__(self, program: Path | None, jailer: Path | None = None) -> None:
        self._programs = None if program is None else Programs(program, jailer)

    def launch(self, config: MachineConfig, run_dir: Path) -> FirecrackerVm:
        """As `base.Vmm` has it."""
        requests(config)  # refuses what Firecracker cannot do before anything exists
        if self._programs is None:
            raise UnavailableError("there is no Firecracker here", hint="squib fetch firecracker")
        for interface in config.interfaces:
            if isinstance(interface, Tap) and interface.to_make is None and config.namespace is None:
                tap.check(interface.host_dev_name, jail=config.jail)
        for program in (self._programs.firecracker, *((self._programs.jailer,) if config.jail is not None else ())):
            if program is not None:
                checked(program)
        make_run_dir(run_dir)
        process: Handle | None = None
        try:
            with place(config, run_dir, self._programs) as here:
                process = _spawn(here, config, run_dir)
                _start(process, here, run_dir)
            return FirecrackerVm(process, run_dir)
        except BaseException:
            if process is not None:
                process.close()
            clear_run_dir(run_dir)
            raise

    def attach(self, identity: ProcessIdentity, run_dir: Path) -> FirecrackerVm | None:
        """As `base.Vmm` has it."""
        process = open_vmm(identity, run_dir)
        if process is None:
            return None
        try:
            return FirecrackerVm(process, run_dir)
        except BaseException:
            process.close()
            raise


def _spawn(here: Place, config: MachineConfig, run_dir: Path) -> Handle:
    bound = file_bytes(config, run_dir)
    with _opened(run_dir / CONSOLE) as console, _opened(run_dir / STDERR) as stderr:
        return adopt(
            command.spawn(
                here.line,
                cwd=run_dir,
                stdin=here.stdin,
                stdout=console,
                stderr=stderr,
                new_session=True,
                pass_fds=here.pass_fds,
                file_bytes=bound,
            )
        )


def _start(process: Handle, here: Place, run_dir: Path) -> None:
    def each(request: Request) -> None:
        if request == here.wanted[-1]:
            here.before_guest()

    here.settled(process)
    start(process, here.socket, here.wanted, said=lambda: _said(run_dir), each=each)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open for appending: what was cut from the front of a console is no hole then."""
    with storage_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _said(run_dir: Path) -> str:
    """What Firecracker wrote of itself: its standard error, and the end of its log."""
    texts = []
    for name in (STDERR, LOG):
        with contextlib.suppress(SquibError):
            texts.append(tail(run_dir / name, _SAID_BYTES).decode("utf-8", "replace").strip())
    return "\n".join(text for text in texts if text)
