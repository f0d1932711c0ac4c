"""`make lab` and `make lab-shell`: builds lab hosts, boots them, and brings out what they have to say (docs/lab.md).

python -m lab [--limit SECONDS] [--coverage] [--shell] [pytest's arguments]

All tests are shared out to two hosts, which run at once: each has one processor. Tests that are picked run on one.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import coverage_report, files, layout, machine, verdict
from lab import host as hosts
from lab.files import Files
from lab.host import Host, Watcher
from lab.layout import Request
from lab.machine import LabMachine
from squib.errors import SquibError
from squib.host import command
from squib.host.files import staging
from support import PROJECT

OUT = PROJECT / "build/lab"
SELECTION = ("-v", "-m", "lab or kvm", "-p", "no:cacheprovider", "--durations=15", "--durations-min=1")
PICKED = "picked"
"""The host of tests that somebody chose."""
SHARES = {
    "machines": (
        "tests/lab/test_boot_times.py",
        "tests/lab/test_driver.py",
        "tests/lab/test_driver_run.py",
        "tests/lab/test_drop.py",
        "tests/lab/test_full_disk.py",
        "tests/lab/test_jailer.py",
        "tests/lab/test_raw_firecracker.py",
        "tests/lab/test_vm_launcher.py",
    ),
    "networks": (
        "tests/lab/test_host_network.py",
        "tests/lab/test_host_network_load.py",
        "tests/lab/test_user_network.py",
        "tests/integration/test_vmm_contract.py",
    ),
}
"""Where tests with these markers are (reading all of them would take a minute there), by host: shares that take equally long."""


def main() -> int:
    """The exit status of the whole."""
    parser = argparse.ArgumentParser(prog="make lab", description="Runs the tests of real Firecracker, on emulated hosts.")
    parser.add_argument(
        "--limit", type=float, default=1500.0, metavar="SECONDS", help="for a host's tests together (%(default)s)"
    )
    parser.add_argument("--shell", action="store_true", help="a shell on a lab host, instead of tests")
    parser.add_argument("--coverage", action="store_true", help="bring out which lines of squib ran there")
    options, arguments = parser.parse_known_args()
    color = f"--color={'yes' if sys.stdout.isatty() else 'no'}"
    requests = {
        name: Request((*SELECTION, color, *arguments, *places), options.limit, options.shell, options.coverage)
        for name, places in shares(arguments, whole=not arguments and not options.shell).items()
    }
    # A SIGTERM to this process would leave the machines running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _run(requests)
    except SquibError as error:
        print(f"lab: {error}" + (f"\n{error.detail}" if error.detail else ""), file=sys.stderr)
        if error.hint:
            print(f"lab: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nlab: interrupted; nothing is left running", file=sys.stderr)
        return 130


def shares(arguments: list[str], *, whole: bool) -> dict[str, tuple[str, ...]]:
    """The hosts by name, and which files each is to read beside what `arguments` name; `whole`: all tests are wanted."""
    if whole:
        return SHARES
    named = any(argument.startswith("tests/") for argument in arguments)
    return {PICKED: () if named else tuple(place for places in SHARES.values() for place in places)}


def _run(requests: dict[str, Request]) -> int:
    program = command.find("qemu-system-x86_64", package="qemu-system-x86")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / layout.JUNIT).unlink(missing_ok=True)
    with staging(OUT) as folder, tempfile.TemporaryDirectory(prefix="squib-lab-") as sockets:
        began = time.monotonic()
        shared = files.build(OUT, folder, _say)
        planned = {
            name: Host(request, _machine(shared, folder / name, Path(sockets) / name), OUT / name)
            for name, request in requests.items()
        }
        how = "emulated" if len(planned) == 1 else "emulated, each on a processor of its own"
        _say(f"built, {time.monotonic() - began:.1f} s; booting {' and '.join(planned)} in QEMU, {how}")
        first = next(iter(planned.values()))
        if first.request.shell:
            return _shell(first, program)
        ended = _run_all(planned, program)
    for name, (_, said) in ended.items():
        _say(f"{name}: {said}; see {(OUT / name).relative_to(PROJECT)}/")
    verdict.merge([host.results / layout.JUNIT for host in planned.values()], OUT / layout.JUNIT)
    if any(request.coverage for request in requests.values()):
        _say(coverage_report.write([host.results / layout.COVERAGE for host in planned.values()], OUT))
    return next((status for status, _ in ended.values() if status), 0)


def _machine(shared: Files, folder: Path, sockets: Path) -> LabMachine:
    for one in (folder, sockets):
        one.mkdir()
    return LabMachine(shared.kernel, shared.initrd, shared.root, folder / "scratch.ext4", folder / "pulse", sockets / "monitor")


def _shell(host: Host, program: Path) -> int:
    _say("Ctrl-A X ends it; `exit` too. `pytest -m lab tests/lab -k NAME` runs a test")
    files.scratch(host.request, host.lab.scratch)
    machine.shell(machine.argv(host.lab, program, interactive=True))
    return 0


def _run_all(planned: dict[str, Host], program: Path) -> dict[str, tuple[int, str]]:
    stop = threading.Event()
    with ThreadPoolExecutor(len(planned)) as pool:
        try:
            running = {
                name: pool.submit(hosts.run, host, program, _watcher("" if len(planned) == 1 else name, stop))
                for name, host in planned.items()
            }
            return {name: future.result() for name, future in running.items()}
        except BaseException:
            stop.set()
            raise


def _watcher(name: str, stop: threading.Event) -> Watcher:
    """Who has a name shares the screen with another: its console is shown by whole lines, with its name before each."""
    if not name:
        return Watcher(_say, _show, stop)
    return Watcher(lambda text: _say(f"{name}: {text}"), lines(f"{name}: ".encode(), _show), stop)


def lines(before: bytes, show: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Something to show data by as it comes: what has become a whole line goes to `show`, with `before` before it."""
    held = bytearray()

    def take(data: bytes) -> None:
        held.extend(data)
        whole, newline, rest = bytes(held).rpartition(b"\n")
        if newline:
            show(b"".join(before + line + b"\n" for line in whole.split(b"\n")))
            held[:] = rest

    return take


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _say(text: str) -> None:
    print(f"lab: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
