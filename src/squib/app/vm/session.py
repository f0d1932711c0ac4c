"""One Firecracker in the foreground: started, told its configuration, and kept company until it ends.

squib stands between it and the terminal. So the terminal is given back as it was, what a guest prints fast is not lost
(Firecracker drops what its standard output does not take), and there is a key that stops any guest. Firecracker dies with
squib, whatever kills squib (prctl(2), PR_SET_PDEATHSIG); nothing is written into squib's store.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from squib.app.vm import jailed, preflight
from squib.app.vm.company import Company, LogCopy, Voice
from squib.app.vm.jailed import Cell, JailWish
from squib.errors import GuestError, TakenError, UsageError
from squib.host import command
from squib.host.files import storage_errors, working_folder
from squib.host.held import hold, is_at
from squib.host.process import Handle, adopt
from squib.vmm.firecracker.binaries import checked
from squib.vmm.firecracker.faults import explain_death, kvm_failed
from squib.vmm.firecracker.start import start
from squib.vmm.guest_report import describe_end, quoted
from squib.wire.firecracker import requests
from squib.wire.firecracker.requests import Request
from squib.wire.firecracker.resources import BootSource, CpuConfig, FullVmConfiguration

__all__ = ["Launch", "argv", "run"]

_LEVEL = "Warning"
"""How much Firecracker logs until the configuration says otherwise: without a file its log goes where the console goes."""
_LOG = "log"
_MAX_PAYLOAD = 51200
"""Bytes that Firecracker takes as a request and as metadata, unless it is told otherwise (vmm/src/lib.rs)."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A machine, and how to start it.

    `log_file` is appended to; the FIFOs are made where they are not there. `keys`: the descriptor of what goes to the guest.
    """

    program: Path
    machine: FullVmConfiguration
    cpu_config: CpuConfig | None
    metadata: str | None
    socket_path: str | None
    vm_id: str | None
    log_file: str | None
    fifos: tuple[str, ...]
    keys: int | None
    stop_timeout_s: float
    jail: JailWish | None = None


def run(launch: Launch, voice: Voice) -> None:
    """Returns once the guest has ended well. Raises SquibError for every other end; nothing is left running then."""
    if launch.vm_id is not None:
        preflight.check_id(launch.vm_id)
    for program in (launch.program, *(() if launch.jail is None else (launch.jail.jailer,))):
        checked(program)
    with ExitStack() as stack:
        folder = stack.enter_context(_private_folder(_base(launch.jail)))
        made = {path: stack.enter_context(_fifo(Path(path))) for path in launch.fifos if not os.path.lexists(path)}
        log = None
        if launch.log_file is not None:
            made[str(folder / _LOG)] = stack.enter_context(_fifo(folder / _LOG))
            log = stack.enter_context(_log_copy(launch.log_file, folder, voice))
        preflight.check(launch.machine, jail=launch.jail)
        machine = requests.addressable(launch.machine if log is None else _logging_to(launch.machine, folder))
        cell = None
        if launch.jail is not None:
            cell = stack.enter_context(
                jailed.cell(launch.jail, machine, launch.program, launch.vm_id, scratch=folder, made=made)
            )
            machine = cell.machine
        socket_path = _socket_path(launch, folder, cell)
        if cell is None:
            preflight.check_socket_path("the API's socket", socket_path)
            stack.callback(_unlink, socket_path)
            if machine.vsock is not None:
                stack.callback(_unlink, machine.vsock.uds_path)
        company = stack.enter_context(Company(keys=launch.keys, log=log, voice=voice))
        where = working_folder() if cell is None else cell.root.parent  # by which a jailer is found before it is in its jail
        process = stack.enter_context(_started(argv(launch, socket_path, cell), where, folder, company))
        _tell(voice, process, socket_path, cell)
        wanted = requests.configure(machine, cpu_config=launch.cpu_config, metadata=launch.metadata)
        guest = requests.action("InstanceStart")

        def each(request: Request) -> None:
            voice.asked(request)
            if cell is not None and request == guest:
                cell.seal()

        start(process, Path(socket_path), (*wanted, guest), said=lambda: _said(folder, company), each=each)
        forced = company.keep(process, Path(socket_path), launch.stop_timeout_s)
        _judge(process, company, machine.boot_source, forced=forced, said=_said(folder, company))


def argv(launch: Launch, socket_path: str, cell: Cell | None = None) -> tuple[str, ...]:
    """Firecracker's command line, or in a jail the jailer's, program first."""
    payload = 0 if launch.metadata is None else len(launch.metadata.encode())
    rest = ("--level", _LEVEL, *(() if payload <= _MAX_PAYLOAD else ("--http-api-max-payload-size", str(payload))))
    if cell is not None:
        return cell.line(("--api-sock", jailed.API_SOCKET, *rest))
    named = () if launch.vm_id is None else ("--id", launch.vm_id)
    return (str(launch.program), "--api-sock", socket_path, *named, *rest)


def _socket_path(launch: Launch, folder: Path, cell: Cell | None) -> str:
    if cell is None:
        return launch.socket_path or str(folder / "firecracker.sock")
    if launch.socket_path is not None:
        raise UsageError("--socket-path is the jail's own with --jailer", hint="leave it out: the path is told at the start")
    return str(cell.root / jailed.API_SOCKET)


def _tell(voice: Voice, process: Handle, socket_path: str, cell: Cell | None) -> None:
    voice.say(f"Firecracker is process {process.pid}; its API listens at {socket_path}")
    if cell is not None:
        voice.say(f"its jail is {cell.root}, where it is user {cell.jail.uid}, group {cell.jail.gid}")
        if cell.machine.vsock is not None:
            voice.say(f"its vsock is at {cell.root / cell.machine.vsock.uds_path}")


@contextlib.contextmanager
def _started(line: tuple[str, ...], where: Path, folder: Path, company: Company) -> Iterator[Handle]:
    with _opened(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND) as stderr:
        child = command.spawn(
            line,
            cwd=where,
            stdin=company.stdin,
            stdout=company.stdout,
            stderr=stderr,
            new_session=True,
            dies_with_us=True,
        )
    with adopt(child) as process:
        try:
            company.started()
            yield process
        finally:
            if not process.ended():
                process.kill()


def _said(folder: Path, company: Company) -> str:
    """What Firecracker wrote of itself; its console goes to the person first."""
    company.drain()
    with contextlib.suppress(OSError):
        return (folder / "stderr").read_text(encoding="utf-8", errors="replace").strip()[-4000:]
    return ""


def _judge(process: Handle, company: Company, source: BootSource, *, forced: bool, said: str) -> None:
    """Raises the error that this end is, if it is one."""
    console, hint = company.console, "what it said last is above"
    if console.exit is not None and console.exit.status != 0:
        raise GuestError(f"guest: {describe_end(console.exit)} (status {console.exit.status})", hint=hint)
    if console.panic:
        if "noapic" in (source.boot_args or "").split():
            hint = "leave noapic out of --kernel-opts: with it a kernel may find no disk in Firecracker"
        raise GuestError(f"guest: kernel panic: {quoted(console.panic)}", hint=hint)
    if forced:
        raise GuestError("the guest was ended by force", hint="it loses what it has not written; see --stop-timeout")
    seen = f"{console.tail}\n{company.logged}"
    given_up = kvm_failed(seen) and not company.guest_is_over
    if (process.returncode != 0 or given_up) and not company.ended_after_the_guest:
        raise explain_death("run the guest", process.returncode, said, seen=seen, guest_ran=True)


def _base(wish: JailWish | None) -> Path | None:
    """Where the private folder must be: what is in it is linked into a jail, so on the jail's file system."""
    if wish is None:
        return None
    with storage_errors(wish.base):
        wish.base.mkdir(mode=0o755, exist_ok=True)
    return wish.base


@contextlib.contextmanager
def _private_folder(base: Path | None) -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usual = runtime if os.path.isabs(runtime) and os.access(runtime, os.W_OK | os.X_OK) else None  # noqa: PTH117 - may be empty
    where = usual if base is None else str(base)
    with storage_errors(Path(where or tempfile.gettempdir())):
        folder = tempfile.TemporaryDirectory(prefix="squib-vm-", dir=where, ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name)


@contextlib.contextmanager
def _fifo(path: Path) -> Iterator[int]:
    """A new FIFO at `path`, as the descriptor by which it is held; it goes at the end, and nothing else that is there then.

    Raises TakenError where others put something else there meanwhile, StorageError and its like.
    """
    with ExitStack() as stack:
        with storage_errors(path):
            os.mkfifo(path, 0o600)
            held = stack.enter_context(hold(path))
        there = os.fstat(held)
        if not stat.S_ISFIFO(there.st_mode) or there.st_uid != os.geteuid():
            raise TakenError(f"{path} is not the FIFO that squib made", hint="choose a folder in which nobody else may write")
        try:
            yield held
        finally:
            if is_at(held, path):
                _unlink(str(path))


@contextlib.contextmanager
def _log_copy(path: str, folder: Path, voice: Voice) -> Iterator[LogCopy]:
    with (
        _opened(folder / _LOG, os.O_RDONLY | os.O_NONBLOCK) as fifo,
        _opened(Path(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file,
    ):
        yield LogCopy(fifo, file, path=Path(path), say=voice.say)


def _logging_to(machine: FullVmConfiguration, folder: Path) -> FullVmConfiguration:
    if machine.logger is None:
        return machine
    return msgspec.structs.replace(machine, logger=msgspec.structs.replace(machine.logger, log_path=str(folder / _LOG)))


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    with storage_errors(path):
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()
