"""`squib vm` as a program, beside a Firecracker without KVM: keys, signals, logs, each end, and nothing that is left."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import fake_firecracker
from squib.host.process import ProcessIdentity, alive, identify
from support import tool, waited_for

# What this machine lacks is none of the launcher's business here: KVM, and taps.
PROGRAM = """
import sys
from squib.host import kvm, tap
kvm.look = lambda *_: kvm.KvmDevice("", "", "kvm_intel")
tap.check = lambda *_, **__: None
from squib.cli.main import cli
cli(["vm", *sys.argv[1:]])
"""
WAIT_S = 30.0
IGNORING = ("/bin/sh", "-c", 'trap "" HUP INT; exec "$@"', "sh")
"""Before a command, as nohup(1) and a shell's & together."""


@dataclass
class Launcher:
    """`squib vm` in a folder with a kernel and a root drive; ends what it started."""

    folder: Path
    stack: ExitStack
    extra: dict[str, str] = field(default_factory=dict)

    def line(self, *words: str, trouble: str = "", guest: str = "serves") -> list[str]:
        binary = fake_firecracker.write(self.folder, trouble)
        own = ("--firecracker-binary", str(binary), "--root-drive", "r.ext4", "--kernel-opts", f"tiny={guest}")
        return [sys.executable, "-c", PROGRAM, *own, *words]

    @property
    def env(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"} | {
            "TMPDIR": str(self.folder / "tmp"),
            **self.extra,
        }

    def run(self, *words: str, trouble: str = "", guest: str = "finishes", keys: bytes | None = None) -> tuple[int, bytes, str]:
        """Exit status, the console, and what squib said."""
        line = self.line(*words, trouble=trouble, guest=guest)
        with waited_for(subprocess.Popen(
            line, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL if keys is None else subprocess.PIPE,
        )) as process:  # fmt: skip
            console, said = process.communicate(keys, timeout=WAIT_S)
        return process.returncode, console, said.decode()

    def start(
        self, *words: str, trouble: str = "", guest: str = "serves", until: str = ""
    ) -> tuple[subprocess.Popen[bytes], ProcessIdentity]:
        """It, and Firecracker; `until` is a text of the console to wait for."""
        process = subprocess.Popen(
            self.line(*words, trouble=trouble, guest=guest),
            cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        assert process.stderr is not None
        assert process.stdout is not None
        said = await_text(process.stderr.fileno(), "its API listens at")
        firecracker = identify(int(said.partition("Firecracker is process ")[2].partition(";")[0]))
        assert firecracker is not None
        if until:
            await_text(process.stdout.fileno(), until)
        return process, firecracker

    def nothing_is_left(self) -> bool:
        return not list((self.folder / "tmp").iterdir())


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with ExitStack() as stack:
        yield furnished(stack)


@pytest.fixture
def open_launcher() -> Iterator[Launcher]:
    """One that other users find too. The folders of pytest do not stay open: each pytest that starts closes the one above them."""
    with ExitStack() as stack:
        made = furnished(stack)
        made.folder.chmod(0o755)
        yield made


def furnished(stack: ExitStack) -> Launcher:
    """In a folder whose path leaves room for a socket's in it, which has 107 bytes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squib-vm-")))
    (folder / "vmlinux").write_bytes(b"\x7fELF\x02\x01")
    (folder / "r.ext4").write_bytes(bytes(4096))
    (folder / "tmp").mkdir()
    return Launcher(folder, stack)


def await_text(descriptor: int, text: str) -> str:
    """Reads until `text` is there."""
    seen, end = b"", time.monotonic() + WAIT_S
    while text.encode() not in seen:
        assert select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0], f"{text!r} is not in {seen!r}"
        data = os.read(descriptor, 4096)
        assert data, f"{text!r} is not in {seen!r}"
        seen += data
    return seen.decode(errors="replace")


def gone(identity: ProcessIdentity) -> bool:
    end = time.monotonic() + WAIT_S
    while alive(identity) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(identity)


def test_a_guest_that_ends(launcher: Launcher) -> None:
    status, console, said = launcher.run(
        "-d", "--metadata", '{"secret": 1}', "--tap-device", "tap0/AA:FC:00:00:00:01", "--id", "one"
    )
    assert status == 0, said
    assert console.startswith(b"squib.boot")
    assert console.endswith(b"reason=finished cause=exit:0\r\n")
    asked = [line.removeprefix("squib: ").split()[:2] for line in said.splitlines() if line.startswith("squib: PUT")]
    paths = ["/machine-config", "/boot-source", "/drives/1", "/network-interfaces/1", "/mmds/config", "/mmds", "/actions"]
    assert asked == [["PUT", path] for path in paths]
    assert "secret" not in said
    assert launcher.nothing_is_left()


@pytest.mark.parametrize(
    ("guest", "status", "message"),
    [
        ("panics", 70, 'guest: kernel panic: "Attempted to kill init!'),
        ("failed", 70, "guest: failed (status 71)"),
        ("vanishes", 0, ""),
    ],
)
def test_how_it_ends(launcher: Launcher, guest: str, status: int, message: str) -> None:
    code, _, said = launcher.run(guest=guest)
    assert code == status, said
    assert message in said
    assert launcher.nothing_is_left()


def test_a_panic_that_noapic_may_be_the_cause_of(launcher: Launcher) -> None:
    code, _, said = launcher.run("--kernel-opts", "noapic tiny=panics")
    assert (code, "leave noapic out of --kernel-opts" in said) == (70, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_guest(launcher: Launcher, number: signal.Signals) -> None:
    process, firecracker = launcher.start(until="squib.ready")
    process.send_signal(number)
    console, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert b"reason=stopped" in console
    assert b"asking the guest to stop" in said
    assert gone(firecracker)
    assert launcher.nothing_is_left()


def test_what_was_ignored_at_its_start_stops_nothing(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    line = launcher.line
    monkeypatch.setattr(launcher, "line", lambda *words, **how: [*IGNORING, *line(*words, **how)])
    process, firecracker = launcher.start(until="squib.ready")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert (process.poll(), alive(firecracker)) == (None, True)
    process.send_signal(signal.SIGTERM)
    console, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"reason=stopped" in console) == (0, True)
    assert said.count(b"asking the guest to stop") == 1
    assert gone(firecracker)


def test_a_second_signal_ends_it(launcher: Launcher) -> None:
    process, firecracker = launcher.start(guest="stubborn", until="squib.ready")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    await_text(process.stderr.fileno(), "asking the guest to stop")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"ended by force" in said) == (70, True)
    assert gone(firecracker)


def test_sigquit_ends_it_at_once(launcher: Launcher) -> None:
    process, firecracker = launcher.start(until="squib.ready")
    process.send_signal(signal.SIGQUIT)
    assert process.wait(WAIT_S) == 70
    assert gone(firecracker)


def test_a_guest_that_does_not_stop_in_time(launcher: Launcher) -> None:
    process, firecracker = launcher.start("--stop-timeout", "0.2", trouble="deaf", until="squib.ready")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"ended by force" in said) == (70, True)
    assert gone(firecracker)


def test_a_guest_that_ends_and_does_not_reset(launcher: Launcher) -> None:
    process, firecracker = launcher.start(guest="lingers", until="squib.ready")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"put reboot=k into --kernel-opts" in said) == (0, True)
    assert gone(firecracker)


def test_a_signal_before_the_guest_starts(launcher: Launcher) -> None:
    process, firecracker = launcher.start("-d", trouble="hang:/boot-source")
    assert process.stderr is not None
    await_text(process.stderr.fileno(), "/boot-source")
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 130
    assert gone(firecracker)
    assert launcher.nothing_is_left()


@pytest.mark.parametrize("step", ["/machine-config", "/drives/1", "/actions:InstanceStart", ""])
def test_firecracker_dies_with_squib(launcher: Launcher, step: str) -> None:
    process, firecracker = launcher.start(trouble=f"hang:{step}" if step else "", until="" if step else "squib.ready")
    process.kill()
    assert gone(firecracker)


@pytest.mark.parametrize("step", ["socket", "/boot-source", "/actions:InstanceStart"])
def test_firecracker_dies_at_a_step(launcher: Launcher, step: str) -> None:
    status, _, said = launcher.run(trouble=f"die:{step}")
    assert status == 71
    assert "was killed by signal 9 while it was asked to" in said
    assert "the fake dies, as it was told to" in said
    assert launcher.nothing_is_left()


def test_firecracker_is_killed(launcher: Launcher) -> None:
    process, firecracker = launcher.start(until="squib.ready")
    os.kill(firecracker.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, b"killed by signal 9 while it was asked to run the guest" in said) == (71, True)
    assert launcher.nothing_is_left()


@pytest.mark.parametrize("words", [(), ("--firecracker-log", "log")])
@pytest.mark.parametrize("end", [0, 1])
def test_a_guest_that_kvm_gives_up(launcher: Launcher, words: tuple[str, ...], end: int) -> None:
    """Firecracker ends with 1 then, or with 0; its log says why, on the console or in the file."""
    status, _, said = launcher.run(*words, trouble=f"kvm:{end}")
    assert status == 71
    assert f"Firecracker ended with exit status {end} while it was asked to run the guest: KVM failed (driver " in said
    assert "MicroVMStoppedWithError(GenericError)" in said
    assert "try: use --vmm qemu, or a host with hardware virtualisation" in said
    assert launcher.nothing_is_left()


def test_a_refusal_tells_firecrackers_reason(launcher: Launcher) -> None:
    (launcher.folder / "cpu.json").write_text('{"cpuid_modifiers": {}}')
    boot = {"kernel_image_path": "vmlinux", "boot_args": "tiny=serves"}
    (launcher.folder / "vm.json").write_text(json.dumps({"boot-source": boot, "drives": [], "cpu-config": "cpu.json"}))
    status, _, said = launcher.run("--config", "vm.json")
    assert status == 71
    assert "Firecracker refused PUT /cpu-config (400)" in said
    assert "invalid type: cpuid_modifiers" in said
    assert launcher.nothing_is_left()


def test_the_log_is_appended_to_a_file(launcher: Launcher) -> None:
    (launcher.folder / "fc.log").write_text("before\n")
    assert launcher.run("-l", "fc.log")[0] == 0
    log = (launcher.folder / "fc.log").read_text()
    assert log.startswith("before\nPUT /machine-config")
    assert log.splitlines()[-1].startswith("PUT /actions")


def test_a_log_without_room_does_not_end_the_guest(launcher: Launcher) -> None:
    status, _, said = launcher.run("-l", "/dev/full")
    assert status == 0, said
    assert said.count("no space left to write /dev/full; the rest of Firecracker's log is not kept") == 1
    assert launcher.nothing_is_left()


def test_fifos_are_made_and_gone_again(launcher: Launcher) -> None:
    process, _ = launcher.start("--vmm-log-fifo", "log", "--metrics-fifo", "metrics", until="squib.ready")
    with (launcher.folder / "log").open("rb") as log:
        assert (launcher.folder / "metrics").is_fifo()
        assert log.readline().startswith(b"PUT /metrics")
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    assert not (launcher.folder / "log").exists()
    assert not (launcher.folder / "metrics").exists()


def test_the_socket_is_where_it_was_wanted_and_gone_again(launcher: Launcher) -> None:
    process, _ = launcher.start("-s", "api.sock", until="squib.ready")
    again, _, said = launcher.run("-s", "api.sock")
    assert (again, "another running machine's" in said) == (75, True)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    assert not (launcher.folder / "api.sock").exists()


def test_what_is_piped_in_goes_to_the_guest_where_it_is_asked_to(launcher: Launcher) -> None:
    status, console, _ = launcher.run("--stdin", "always", guest="echoes", keys=b"root")
    assert status == 0
    assert b"login: <root>no more" in console
    status, console, _ = launcher.run(guest="echoes", keys=b"root")
    assert b"login: no more" in console


def test_who_reads_the_console_goes_away(launcher: Launcher) -> None:
    process, firecracker = launcher.start(guest="babbles", until="squib.ready")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(WAIT_S) == 141
    assert gone(firecracker)
    assert launcher.nothing_is_left()


@dataclass
class Terminal:
    """`squib vm` in the foreground of a terminal."""

    process: subprocess.Popen[bytes]
    descriptor: int

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def shows(self, text: str) -> str:
        return await_text(self.descriptor, text)

    @property
    def local_flags(self) -> int:
        return int(termios.tcgetattr(self.descriptor)[3])


@pytest.fixture
def terminal(launcher: Launcher) -> Iterator[object]:
    with ExitStack() as stack:

        def start(*words: str, guest: str = "echoes") -> Terminal:
            ours, theirs = pty.openpty()
            stack.callback(os.close, ours)
            line = [tool("setsid"), "--ctty", *launcher.line(*words, guest=guest)]
            process = subprocess.Popen(line, cwd=launcher.folder, env=launcher.env, stdin=theirs, stdout=theirs, stderr=theirs)
            os.close(theirs)
            stack.enter_context(process)
            stack.callback(process.kill)
            return Terminal(process, ours)

        yield start


@pytest.mark.tool
def test_a_terminal_is_lent_to_the_guest_and_given_back(terminal: object) -> None:
    screen: Terminal = terminal()  # type: ignore[operator]
    before = screen.local_flags
    screen.shows("login: ")
    assert not screen.local_flags & (termios.ICANON | termios.ECHO | termios.ISIG)
    screen.type(b"ab\x03\x1a")
    screen.shows("<ab\x03\x1a>")
    screen.type(b"\x1d")
    screen.shows("asking the guest to stop")
    assert screen.process.wait(WAIT_S) == 0
    assert screen.local_flags == before


@pytest.mark.tool
def test_the_key_twice(terminal: object) -> None:
    screen: Terminal = terminal(guest="stubborn")  # type: ignore[operator]
    before = screen.local_flags
    screen.shows("squib.ready")
    screen.type(b"\x1d\x1d")
    screen.shows("ended by force")
    assert screen.process.wait(WAIT_S) == 70
    assert screen.local_flags == before


@pytest.mark.tool
def test_ctrl_c_twice_where_keys_are_not_the_guests(terminal: object) -> None:
    screen: Terminal = terminal("--stdin", "never", guest="stubborn")  # type: ignore[operator]
    screen.shows("squib.ready")
    assert screen.local_flags & termios.ISIG
    screen.type(b"\x03")
    screen.shows("asking the guest to stop")
    screen.type(b"\x03")
    screen.shows("ended by force")
    assert screen.process.wait(WAIT_S) == 70


@pytest.mark.root
def test_as_a_plain_user(open_launcher: Launcher) -> None:
    """With no home, and files of its own."""
    launcher = open_launcher
    os.chown(launcher.folder, 65534, 65534)
    os.chown(launcher.folder / "tmp", 65534, 65534)
    os.chown(launcher.folder / "r.ext4", 65534, 65534)
    prefix = [tool("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    line = launcher.line(guest="finishes")
    done = subprocess.run(
        [*prefix, *line], cwd=launcher.folder, env=launcher.env, capture_output=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    (launcher.folder / "r.ext4").chmod(0o444)
    done = subprocess.run(
        [*prefix, *line], cwd=launcher.folder, env=launcher.env, capture_output=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 77
    assert b"may not be written by this user" in done.stderr
