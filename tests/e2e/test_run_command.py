"""`squib run`, `ps`, `stop`, `rm`, `probe`: real microVMs from the command line, and nothing left of them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import pty
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from program import Squib, free_port

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(300)]


def ask(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return body


def machines(squib: Squib) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(squib.ok("ps", "--json"))
    return found


def test_detached_run_probe_stop_rm(squib: Squib) -> None:
    port = free_port()
    publish = ("--publish", f"{port}:80", "--publish", f"{free_port()}:81")
    done = squib.run("run", "clock", "--detach", "--name", "clock-1", *publish, "--logs=debug")
    assert done.returncode == 0, done.stderr
    assert "clock says that it serves 80; perhaps nobody listens on the guest's port 81" in done.stderr
    assert done.stdout.startswith(f"clock-1 http://127.0.0.1:{port} ")
    (machine,) = machines(squib)
    assert (machine["name"], machine["state"]) == ("clock-1", "running")
    assert machine["accel"] in {"kvm", "tcg"}
    assert len(squib.processes()) == 1  # QEMU alone: squib itself costs nothing

    report = json.loads(squib.ok("probe", f"http://127.0.0.1:{port}", "-n", "4", "--interval", "1", "--json"))
    assert report["ok"] is True
    assert len(report["answers"]) == 4
    assert len({answer["body"] for answer in report["answers"]}) > 1

    taken = squib.run("run", "clock", "--detach", "--name", "clock-1")
    assert taken.returncode == 75
    assert "clock-1" in taken.stderr
    taken = squib.run("run", "clock", "--detach", "--publish", f"{port}:80")
    assert taken.returncode == 75
    assert str(port) in taken.stderr
    assert squib.run("rm", "clock-1").returncode == 75  # it runs

    squib.ok("stop", "clock-1")
    (machine,) = machines(squib)
    assert (machine["state"], machine["exit_status"], machine["exit_reason"]) == ("exited", 0, "stopped")
    assert squib.processes() == []
    squib.ok("rm", "clock-1")
    assert machines(squib) == []
    assert list((squib.home / "state").rglob("console*")) == []


def test_foreground_console_and_sigint(squib: Squib) -> None:
    process = squib.start("run", "clock", "--publish", "0:80", "--port", "80")
    assert process.stderr is not None
    url = None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            url = found
            break
    assert url is not None
    assert re.fullmatch(r'\{ "time": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d -00:00" \}', ask(int(url[1])))
    ask(int(url[1]))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "squib.ready" in out
    assert "responding to 1" in out
    assert "\nsquib.exit abi=3 status=0 reason=stopped cause=exit:0" in out
    assert machines(squib) == []


def test_a_second_sigint_ends_it_by_force(squib: Squib) -> None:
    process = squib.start("run", "clock", "--publish", "0:80")
    assert process.stderr is not None
    assert any("Ctrl-C stops it" in line for line in process.stderr)
    (vmm,) = set(squib.processes()) - {process.pid}
    os.kill(vmm, signal.SIGSTOP)  # so that it cannot be as quick as we are
    process.send_signal(signal.SIGINT)
    assert "once more to end it at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "ended by force" in err) == (70, True), err
    assert squib.processes() == []
    assert machines(squib) == []


def test_a_window_that_is_closed_stops_the_guest_as_ctrl_c_does(squib: Squib) -> None:
    """The terminal is gone by then, and a shell may send its SIGHUP as well: status 0 is the guest's own word."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(squib.home)
        os.execvpe(squib.command[0], [*squib.command, "run", "clock", "--publish", "0:80"], squib.env)
    said = b""
    while b"Ctrl-C stops it" not in said:
        said += os.read(terminal, 65536)
    os.close(terminal)
    time.sleep(0.1)
    os.kill(pid, signal.SIGHUP)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert squib.processes() == []
    assert machines(squib) == []


def test_under_nohup_the_end_of_a_terminal_stops_nothing(squib: Squib) -> None:
    squib.prefix = ("nohup",)
    process = squib.start("run", "clock", "--publish", "0:80")
    assert process.stderr is not None
    said = ""
    while "Ctrl-C stops it" not in said:
        said += process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    url = re.search(r"http://127\.0\.0\.1:(\d+)", said)
    assert url is not None
    assert ask(int(url[1])).startswith("{ ")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert machines(squib) == []


def test_sigint_before_it_is_ready(squib: Squib) -> None:
    process = squib.start("run", "clock")
    assert process.stderr is not None
    assert any("booting in" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (130, "squib: interrupted; nothing is left running")
    assert squib.processes() == []
    assert machines(squib) == []


def test_two_runs_at_the_same_moment(squib: Squib) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: squib.run("run", "clock", "--detach"), range(2)))
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    names = sorted(str(machine["name"]) for machine in machines(squib))
    assert names == ["clock", "clock-2"]
    squib.ok("stop", *names)
    squib.ok("rm", *names)


def test_a_killed_squib_is_seen_and_cleaned_by_the_next_command(squib: Squib) -> None:
    process = squib.start("run", "clock", "--name", "orphan")
    assert process.stderr is not None
    for line in process.stderr:
        if "http://" in line:
            break
    process.kill()
    process.communicate()
    assert len(squib.processes()) == 1
    squib.ok("ps")
    deadline = time.monotonic() + 20
    while squib.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert squib.processes() == []
    assert all(machine["state"] != "running" for machine in machines(squib))


def test_a_killed_qemu_is_seen(squib: Squib) -> None:
    squib.ok("run", "clock", "--detach", "--name", "victim")
    (pid,) = squib.processes()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while squib.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    (machine,) = machines(squib)
    assert machine["state"] == "failed"
    assert squib.run("stop", "victim").returncode == 0
    squib.ok("rm", "victim")


@pytest.mark.root
def test_as_a_plain_user(plain_user: Squib) -> None:
    port = free_port()
    plain_user.ok("run", "clock", "--detach", "--publish", f"{port}:80")
    (pid,) = plain_user.processes()
    assert Path(f"/proc/{pid}").stat().st_uid == 65534
    plain_user.ok("probe", f"http://127.0.0.1:{port}", "-n", "1")
    plain_user.ok("stop", "clock")
    plain_user.ok("rm", "clock")
    modes = {path.stat().st_mode & 0o077 for path in (plain_user.home / "state/squib").rglob("*")}
    assert modes <= {0}


def test_an_artifact_folder_runs_without_building(squib: Squib, tmp_path: Path) -> None:
    squib.ok("build", "clock", "-o", "out")
    offline = Squib(squib.command, squib.home, extra={"PATH": os.environ["PATH"]})
    port = free_port()
    offline.ok("run", "out", "--detach", "--publish", f"{port}:80")
    assert '"time"' in ask(port)
    squib.ok("stop", "clock")
    squib.ok("rm", "clock")
    (tmp_path / "out/rootfs.ext4").write_bytes(b"\0" * 4096)
    broken = squib.run("run", "out", "--detach")
    assert broken.returncode == 65
    assert "rootfs.ext4" in broken.stderr
    assert machines(squib) == []


def test_a_key_reaches_the_guest(squib: Squib, tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(
        "from squib.guest.handler import Response\n\ndef answer(request):\n    return Response(str(request.keys['greeting']).encode())\n"
    )
    (tmp_path / "appliance.toml").write_text(
        'name = "greeter"\nserve = "greet:answer"\n[keys.port]\ntype = "port"\ndefault = 8000\n'
        '[keys.greeting]\ntype = "string"\ndefault = "hello"\n[machine]\nmemory = "112M"\n'
    )
    port = free_port()
    squib.ok("run", "--detach", "--publish", f"{port}:8000", "--greeting", 'ge "and" 100 % größe')
    assert ask(port) == 'ge "and" 100 % größe'
    squib.ok("stop", "greeter")
    squib.ok("rm", "greeter")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "clok"], 66, "did you mean clock?"),
        (["run", "clock", "--memory", "32M"], 64, "32 MiB"),
        (["run", "clock", "--memory", "much"], 64, "not a memory size"),
        (["run", "clock", "--vcpus", "0"], 64, "vcpus"),
        (["run", "clock", "--publish", "99999:80"], 64, "port"),
        (["run", "clock", "--prot", "80"], 64, "unknown option --prot"),
        (["run", "clock", "--port", "none"], 64, "--port"),
        (["run", "clock", "--timeout", "nan"], 64, "expected a number of seconds"),
        (["run", "clock", "--port"], 64, "--port"),
        (["run", "clock", "extra"], 64, "extra"),
        (["run", "clock", "--vmm", "xen"], 64, "xen"),
        (["run", "clock", "--name", "Bad Name"], 64, "Bad Name"),
        (["stop", "nobody"], 66, "nobody"),
        (["rm", "nobody"], 66, "nobody"),
        (["probe", "ftp://127.0.0.1"], 64, "ftp"),
        (["probe", "http://127.0.0.1:1", "-n", "1"], 1, "refused"),
    ],
)
def test_bad_input(squib: Squib, arguments: list[str], status: int, said: str) -> None:
    done = squib.run(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert machines(squib) == []


def test_a_server_that_dies_is_told_with_the_consoles_tail(squib: Squib, tmp_path: Path) -> None:
    """More memory than the machine has: the kernel ends the server each time, PID 1 gives up, and squib says so."""
    (tmp_path / "glutton.py").write_text(
        "HOARD = bytearray(1 << 30)\nfor at in range(0, 1 << 30, 4096):\n    HOARD[at] = 1\n\ndef answer(request): ...\n"
    )
    (tmp_path / "appliance.toml").write_text('name = "glutton"\nserve = "glutton:answer"\n')
    done = squib.run("run", "--detach")
    assert done.returncode in {65, 70}, done.stderr
    assert "squib.exit abi=3" in done.stderr  # the console's tail
    assert "  try: " in done.stderr
    assert "Traceback (most" not in done.stderr.partition("  |")[0]
    assert squib.processes() == []
    assert machines(squib) == []


def test_a_kernel_that_panics_is_told_with_the_consoles_tail(squib: Squib, tmp_path: Path) -> None:
    """An artifact whose disk holds no file-system, with a manifest that says so honestly."""
    squib.ok("build", "clock", "-o", "out")
    disk = b"\0" * (1 << 20)
    (tmp_path / "out/rootfs.ext4").write_bytes(disk)
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["name"] == "rootfs.ext4":
            file["size"], file["sha256"] = len(disk), hashlib.sha256(disk).hexdigest()
    (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
    done = squib.run("run", "out", "--detach")
    assert done.returncode == 70, done.stderr
    assert "squib: initrd: " in done.stderr
    assert "Kernel panic" in done.stderr
    assert "squib build" in done.stderr
    assert machines(squib) == []


def test_show_machine_and_argv_start_nothing(squib: Squib) -> None:
    assert "mem_size_mib" in squib.ok("run", "clock", "--show", "machine")
    argv = squib.ok("run", "clock", "--show", "argv")
    assert "qemu-system-x86_64" in argv
    assert "-sandbox" in argv
    assert machines(squib) == []


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal (proc_pid_status(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.3, 1.5, 4.0])
def test_a_demo_that_is_interrupted_leaves_nothing(squib: Squib, number: int, delay: float) -> None:
    process = squib.start("demo")
    while not catches(process.pid, signal.SIGTERM):  # until squib itself has begun
        assert process.poll() is None
        time.sleep(0.01)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode in {128 + number, 0}
    assert "Traceback" not in said
    assert squib.processes() == []
    assert machines(squib) == []


def test_demo(squib: Squib) -> None:
    said = squib.ok("demo")
    assert len(re.findall(r'\{ "time": "[^"]+" \}', said)) == 4
    for word in ("image", "memory", "boot", "tcg", "because"):
        assert word in said.lower()
    assert machines(squib) == []


def test_a_missing_qemu_is_named_with_its_package(squib: Squib, tmp_path: Path) -> None:
    squib.ok("build", "clock", "-o", "out")
    script = (
        "import squib.host.command as c; c._ADMIN_FOLDERS = (); import sys; sys.argv = ['squib', 'run', 'out'];"
        "from squib.__main__ import main; main()"
    )
    done = Squib((squib.command[0], "-c", script), squib.home, extra={"PATH": "/nowhere"}).run()
    assert done.returncode == 69
    assert "qemu-system-x86_64 is not installed" in done.stderr
    assert "apt-get install qemu-system-x86" in done.stderr
    assert machines(squib) == []


@pytest.mark.root
def test_a_privileged_port_as_a_plain_user(plain_user: Squib) -> None:
    """In a network namespace of its own, whose first unprivileged port is 1024 whatever the host's is."""
    unshare = (
        "unshare",
        "--net",
        "--",
        "sh",
        "-c",
        'ip link set lo up 2>/dev/null; echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start; exec "$@"',
        "sh",
    )
    there = Squib(plain_user.command, plain_user.home, extra=plain_user.extra, prefix=(*unshare, *plain_user.prefix))
    done = there.run("run", "clock", "--detach", "--publish", "80:80")
    assert done.returncode == 77, done.stderr
    assert ":80" in done.stderr
    assert "  try: " in done.stderr


def test_a_full_disk_of_state_is_told(squib: Squib, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file-system needs root")
    small = tmp_path / "state"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        (small / "ballast").write_bytes(b"x" * 60 * 1024)
        done = squib.run("run", "clock", "--detach")
        assert done.returncode == 74, done.stderr
        assert "no space left" in done.stderr
        assert squib.processes() == []
    finally:
        subprocess.run(["umount", small], check=True)
