"""PID 1 of an appliance: sets the machine up, keeps the server running, ends the machine (docs/guest-abi.md).

    main: boot ──> Watch.run ──> end
            └──── any exception ──^

PID 1 must never return or raise: the kernel panics when it ends. So everything that can fail happens inside one `try`, and
what comes after it (`_end`) keeps going whatever fails. It acts only where it really is PID 1: `kill(-1)` and reboot on a
developer's machine would be felt.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see server_process
import errno
import gc
import os
import sys

from squib.guest import (
    cmdline,
    console,
    kernel_settings,
    libc,
    links,
    listeners,
    marks,
    mounts,
    netconf,
    options,
    output,
    privileges,
    server_process,
    spec,
    supervisor,
    wall_clock,
    watch,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from squib.guest.health import HealthProcess

CMDLINE_PATH = "/proc/cmdline"
REAP_S = 1.0
"""How long killed processes may take to go before the machine ends without them."""
DRAIN_S = 5.0
"""How long the console may take for what was said last before the machine ends without it."""

_USAGE = (cmdline.ParameterProblem, options.UsageProblem)
_KNOWN = (netconf.NetworkProblem, listeners.ListenError)


class Progress:
    """What PID 1 is doing, for the message if it fails; and when it had done what, for those who ask."""

    __slots__ = ("marks", "step")

    def __init__(self) -> None:
        self.step = "start"
        self.marks = marks.Marks()


def main(begun_ns: int | None = None, *, cmdline_path: str = CMDLINE_PATH, spec_path: str = spec.SPEC_PATH) -> None:
    """Does all that PID 1 does; ends the machine and does not return. `begun_ns`: when the interpreter was up (uptime)."""
    if os.getpid() != 1:
        sys.stderr.write("squib: this is the first process of an appliance, and refuses to run as any other\n")
        sys.exit(supervisor.FAILED.status)
    gc.disable()  # nothing made up to the loop is garbage
    watch.block_signals()
    console.open_standard_descriptors()
    out = console.Console(2)
    progress = Progress()
    if begun_ns is not None:
        progress.marks.mark("python", begun_ns)
    progress.marks.mark("init")
    ending = supervisor.FAILED
    try:
        out.write(console.boot_line())
        ending = boot(progress, out, cmdline_path, spec_path).run()
    except _USAGE as error:
        out.message(str(error).partition("\n")[0])  # without the usage lines, which speak to somebody at a shell
        ending = supervisor.USAGE
    except BaseException as error:  # noqa: BLE001 - see the module's docstring
        out.message(f"{progress.step}: {_describe(error)}")
    finally:
        _end(out, ending)


def boot(progress: Progress, out: console.Console, cmdline_path: str, spec_path: str) -> watch.Watch:
    """Takes the machine from the kernel's hand to the point where the server can be started."""
    progress.step = "mounting the file-systems"
    mounts.mount_all()
    mounts.link_all()
    progress.marks.mark("mounted")
    progress.step = "taking over Ctrl-Alt-Del"
    _take_over_ctrl_alt_del()
    progress.step = f"reading {spec_path}"
    appliance = spec.loads(_read(spec_path))
    progress.step = f"reading {cmdline_path}"
    parameters = cmdline.parse(_read(cmdline_path))
    progress.step = "setting up the network"
    _set_up_network(parameters.ip, appliance.name)
    progress.marks.mark("network")
    own = kernel_settings.machine_is_own()
    if own:
        progress.step = "closing what the kernel leaves open"
        for refused in kernel_settings.close():
            out.message(f"the kernel refused a setting: {refused}")
    progress.step = "reading the options"
    chosen = options.parse(appliance, parameters.argv, {}, appliance.name)
    if chosen.help is not None:
        raise cmdline.ParameterProblem("kernel parameter squib.help: help is for people; run the server program for it")
    progress.step = "opening the listeners"
    sockets = listeners.open_listeners(chosen)
    progress.marks.mark("listening")
    progress.step = "running the server"
    rules = supervisor.Rules(appliance.restart, appliance.health)
    addresses = [listeners.describe(sock) for sock in sockets]
    _keep_all()
    tell = progress.marks if parameters.marks else None
    written = output.Output(privileges.SERVER_ID)
    spawn, check = _spawner(appliance, chosen, sockets, written), _checker(sockets[0], written)
    return watch.Watch(
        out, written, rules, spawn, check, addresses=addresses, tell=tell, mend_clock=wall_clock.mend if own else None
    )


def _keep_all() -> None:
    """Garbage is collected from here on, but never among what is there now.

    To look at it would be to write into it (Modules/gcmodule.c, update_refs): in a forked process every page that holds an
    object would be copied.
    """
    gc.freeze()
    gc.enable()


def _set_up_network(ip: str | None, name: str) -> None:
    wanted = netconf.parse(ip)
    static = wanted if isinstance(wanted, netconf.Static) else None
    hostname = (static and static.hostname) or name
    links.set_hostname(hostname)
    links.write_hosts(hostname, static.address if static else None)
    links.set_up(wanted)
    if static and static.nameservers:
        links.write_resolv_conf(static.nameservers)


def _spawner(
    appliance: spec.Spec, chosen: options.Options, sockets: list[socket], written: output.Output
) -> Callable[[], server_process.ServerProcess]:
    """A function that starts a server process on `sockets`, which stay open here: what connects meanwhile waits in them."""

    def program(on_ready: Callable[[bytes], None]) -> int:
        gc.disable()  # up to the loop, as above
        reached = marks.Marks()
        reached.mark("server")
        from squib.guest import environment, serve

        environment.enter_machine()
        reached.mark("imported")

        def in_the_loop() -> None:
            reached.mark("loop")
            _keep_all()
            on_ready(reached.to_record())

        return serve.run_server(appliance, chosen, sockets, in_the_loop)

    keep_fds = tuple(sock.fileno() for sock in sockets)
    return lambda: server_process.start(program, keep_fds, written.write_fd)


def _checker(listener: socket, written: output.Output) -> Callable[[spec.Health], HealthProcess]:
    """A function that starts a health process, which asks the server behind `listener`."""

    def start(settings: spec.Health) -> HealthProcess:
        from squib.guest import health  # only an appliance with a check pays for it

        return health.start(settings, listener, written.write_fd)

    return start


def _take_over_ctrl_alt_del() -> None:
    try:
        libc.reboot(libc.RB_DISABLE_CAD)
    except OSError as error:
        if error.errno != errno.EINVAL:  # reboot_pid_ns(): a PID namespace has no such keys
            raise


def _describe(error: BaseException) -> str:
    """One line for people; a mistake in this program also says where it happened."""
    if isinstance(error, _KNOWN):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return f"{type(error).__name__}: {error}{where}"


def _end(out: console.Console, ending: supervisor.Exit) -> None:
    """Kills what still runs, says how it ended, and ends the machine. Nothing in here stops it from getting there."""
    try:
        _kill_all()
        os.sync()
    except OSError as error:
        out.message(f"ending: {_describe(error)}")
    out.write(console.exit_line(ending.status, ending.reason, ending.cause))
    out.drain(DRAIN_S)
    try:
        libc.reboot(libc.RB_AUTOBOOT)
    finally:
        os._exit(ending.status)  # the kernel panics, and reboots for `panic=-1`


def _kill_all() -> None:
    try:
        os.kill(-1, _signal.SIGKILL)
    except ProcessLookupError:
        return
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0 and _signal.sigtimedwait((_signal.SIGCHLD,), REAP_S) is None:
            return


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
