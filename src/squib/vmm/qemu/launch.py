"""QEMU as a VMM: a process in a session of its own, in the machine's run folder, reached by QMP.

The QMP socket is made here and handed over, so that the first connection needs no waiting for a file: it is answered when QEMU
is past its set-up, or broken when QEMU dies there. What QEMU then said becomes the error.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from squib.errors import HostError, MissingError, PermissionDeniedError, SquibError, TakenError, UnavailableError
from squib.host import command, ports, unix_socket
from squib.host.files import storage_errors
from squib.host.process import Handle, ProcessIdentity, adopt
from squib.model.image import rebuild_hint
from squib.model.machine import Accel, EndedBy, MachineConfig, UserNetwork
from squib.vmm.base import VmEnd
from squib.vmm.handover import by_descriptor
from squib.vmm.namespace import Entry, entered
from squib.vmm.process_vm import ProcessVm
from squib.vmm.qemu.argv import QMP_SOCKET, argv
from squib.vmm.qemu.qmp_client import QmpClient, QmpError
from squib.vmm.qemu.refusals import network_of
from squib.vmm.run_dir import CONSOLE, clear_run_dir, end_way_out, file_bytes, make_run_dir, open_vmm

__all__ = ["PACKAGE", "PROGRAM", "STDERR", "Qemu", "QemuVm"]

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
STDERR = "qemu.log"

_START_S = 20.0
"""Seconds that QEMU has to set itself up; it takes about a tenth, and longer where a cold disk must be read."""


class QemuVm(ProcessVm):
    """One QEMU process."""

    elsewhere = "use --accel tcg, which works everywhere"

    def __init__(self, process: Handle, run_dir: Path) -> None:
        super().__init__("QEMU", process, run_dir / CONSOLE)
        self._run_dir = run_dir
        self._qmp = run_dir / QMP_SOCKET

    def _ask_to_stop(self, timeout: float) -> None:
        with QmpClient(self._qmp, timeout=timeout) as client:
            client.ctrl_alt_delete(timeout=timeout)

    def _pull_plug(self, timeout: float) -> None:
        with QmpClient(self._qmp, timeout=timeout) as client:
            client.quit(timeout=timeout)

    def _end(self, wordless: EndedBy = EndedBy.VMM) -> VmEnd:
        end_way_out(self._run_dir)
        return super()._end(wordless)


class Qemu:
    """Starts machines by the QEMU at `program`, under `accel`."""

    name = "qemu"

    def __init__(self, program: Path, accel: Accel) -> None:
        self._program = program
        self._accel = accel

    def launch(self, config: MachineConfig, run_dir: Path) -> QemuVm:
        """As `base.Vmm` has it."""
        # Made first: it refuses what QEMU cannot do before anything exists.
        argv(config, self._accel, program=self._program)
        make_run_dir(run_dir)
        process: Handle | None = None
        try:
            process = self._start(config, run_dir)
            self._await_greeting(process, config, run_dir)
            return QemuVm(process, run_dir)
        except BaseException:
            if process is not None:
                process.close()
            clear_run_dir(run_dir)
            raise

    def attach(self, identity: ProcessIdentity, run_dir: Path) -> QemuVm | None:
        """As `base.Vmm` has it."""
        process = open_vmm(identity, run_dir)
        if process is None:
            return None
        try:
            return QemuVm(process, run_dir)
        except BaseException:
            process.close()
            raise

    def _start(self, config: MachineConfig, run_dir: Path) -> Handle:
        with storage_errors(run_dir):
            log = os.open(run_dir / STDERR, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with unix_socket.listen(run_dir / QMP_SOCKET) as server, contextlib.ExitStack() as stack:
                fd = server.fileno()
                named, held = by_descriptor(config)
                line = argv(named, self._accel, program=self._program, qmp_fd=fd)
                entry: Entry | None = None
                if config.namespace is not None:
                    entry = stack.enter_context(entered(config.namespace, line, run_dir))
                    line = entry.line
                child = command.spawn(
                    line,
                    cwd=run_dir,
                    stdout=log,
                    stderr=log,
                    new_session=True,
                    pass_fds=(fd, *held) if entry is None else (fd, *held, entry.report),
                    file_bytes=file_bytes(config, run_dir),
                )
                return _settled(adopt(child), entry)
        finally:
            os.close(log)

    def _await_greeting(self, process: Handle, config: MachineConfig, run_dir: Path) -> None:
        try:
            QmpClient(run_dir / QMP_SOCKET, timeout=_START_S).close()
        except QmpError as error:
            said = _said(run_dir / STDERR)
            if process.wait(1.0):
                raise _explain_start(said, config) from error
            raise HostError(
                f"QEMU did not come up within {_START_S:g} s", hint="is this host overloaded?", detail=said
            ) from error


def _settled(process: Handle, entry: Entry | None) -> Handle:
    """`process`, once it has become QEMU."""
    try:
        if entry is not None:
            entry.settled(process)
    except BaseException:
        process.close()
        raise
    return process


def _said(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    # Debian's QEMU complains about missing modules of displays that -display none never wanted.
    return "\n".join(line for line in lines if " module ui-" not in line)[-4000:]


_STARTS: tuple[tuple[str, type[SquibError], str, str], ...] = (
    ("Cannot allocate memory", HostError, "this host has not enough memory for the machine", "give it less: --memory 128M"),
    ("Could not access KVM", UnavailableError, "QEMU cannot use KVM here", "use --accel tcg, which works everywhere"),
    ("failed to initialize kvm", UnavailableError, "QEMU cannot use KVM here", "use --accel tcg, which works everywhere"),
    ("sandbox support is not enabled", UnavailableError, "this QEMU was built without seccomp", f"install Debian's {PACKAGE}"),
    ("Permission denied", PermissionDeniedError, "QEMU may not open a file of the machine", "see which one above"),
    ("No such file or directory", MissingError, "a file of the machine is missing", rebuild_hint()),
)
"""What QEMU says when it ends at its start; which error that is; what it means; what to do."""


def _explain_start(said: str, config: MachineConfig) -> SquibError:
    if "Could not set up host forwarding rule" in said:
        return _explain_forwarding(said, config)
    for sign, kind, meaning, hint in _STARTS:
        if sign in said:
            return kind(meaning, hint=hint, detail=said)
    return HostError(
        "QEMU ended at its start", hint="what it said is above; squib run --show argv shows its command line", detail=said
    )


def _explain_forwarding(said: str, config: MachineConfig) -> SquibError:
    """QEMU does not say why; asking again does. Where the port is free by now, somebody had it just then."""
    network = network_of(config)
    forwards = network.forwards if isinstance(network, UserNetwork) else ()
    for forward in forwards:
        try:
            ports.check(forward.host_address, forward.host_port)
        except SquibError as error:
            return error
    first = next((f for f in forwards if f":{f.host_port}-" in said), None)
    where = ports.endpoint(first.host_address, first.host_port) if first else "a published port"
    return TakenError(
        f"{where} was in use when QEMU started",
        hint="try again, or publish another port: --publish PORT:GUEST_PORT",
        detail=said,
    )
