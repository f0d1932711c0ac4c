"""`squib inspect`, `restart`, `wait`, `rm --force`, `ps` on real microVMs; many at once; and a state file that is lost under one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from program import Squib, free_port

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("qemu"), pytest.mark.timeout(400)]

MANY = 12


def ask(url: str) -> str:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request("GET", "/")
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def machine(squib: Squib, verb: str, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The only machine that a verb prints as JSON."""
    done = squib.run(verb, *arguments, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)
    assert isinstance(one, dict)
    return one


def gone(squib: Squib) -> None:
    """Waits until no process of this squib is left."""
    deadline = time.monotonic() + 20
    while squib.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert squib.processes() == []


def test_a_day_in_a_machines_life(squib: Squib) -> None:
    here = ("--publish", f"{free_port()}:8081")  # a port of this run's own is there again for a restart
    squib.ok("run", "clock", "--detach", "--name", "day", "--port", "8081", "--logs", "info", *here)
    before = machine(squib, "inspect", "day")
    (url,) = before["urls"]
    assert '"time"' in ask(url)
    assert (before["state"], before["ready"], before["restarts"]) == ("running", True, 0)
    assert before["spec"]["values"] == {"port": "8081", "logs": "info"}
    usage = before["usage"]
    assert isinstance(usage, dict)
    assert 60 < usage["rss_mib"] < 400
    assert usage["cpu_s"] > 0.1
    image = before["image"]
    assert isinstance(image, dict)
    assert image["state"] == "present"
    assert {file["name"] for file in image["files"]} == {"rootfs.ext4", "initrd.img", "vmlinux"}
    assert "squib.ready" in Path(str(before["console_log"])).read_text()
    assert [one["name"] for one in json.loads(squib.ok("ps", "-a", "--json"))] == ["day"]
    for line in squib.ok("ps").splitlines():
        assert len(line) <= 80, line
    text = squib.ok("inspect", "day")
    for word in (
        "running, ready",
        url,
        "--port 8081",
        "MiB resident",
        "of one processor",
        str(before["image_sha256"]),
        "because",
    ):
        assert word in text

    # Again, at the same address.
    assert squib.ok("restart", "day", "--quiet") == f"day {url}\n"
    after = machine(squib, "inspect", "day")
    assert after["pid"] != before["pid"]
    assert (after["urls"], after["spec"], after["restarts"], after["created"]) == ([url], before["spec"], 1, before["created"])
    assert '"time"' in ask(url)
    assert len(squib.processes()) == 1

    # Waited for: until the time is over, and until it has ended.
    timed_out = squib.run("wait", "day", "--timeout", "0.2")
    assert timed_out.returncode == 124
    assert "day still runs after 0.2 s" in timed_out.stderr
    assert machine(squib, "wait", "day", "--timeout", "0.2", status=124)["state"] == "running"
    waiting = squib.start("wait", "day")
    stopped = machine(squib, "stop", "day")
    assert (stopped["state"], stopped["ended_by"], stopped["urls"], stopped["ready"]) == ("exited", "stop", [], False)
    assert waiting.communicate(timeout=30)[0] == "day: stopped\n"
    assert waiting.returncode == 0
    assert squib.run("wait", "day").returncode == 0
    assert "exited" in squib.ok("ps")
    assert "the guest, as it was asked to" in squib.ok("inspect", "day")

    # Once more, and then its VMM is killed.
    revived = machine(squib, "restart", "day")
    assert (revived["urls"], revived["restarts"], revived["exit_reason"]) == ([url], 2, None)
    os.kill(int(str(revived["pid"])), signal.SIGKILL)
    assert machine(squib, "wait", "day", status=70)["ended_by"] == "vmm"
    assert machine(squib, "rm", "--all-ended")["name"] == "day"
    assert json.loads(squib.ok("ps", "--json")) == []
    assert list((squib.home / "state/squib/machines").iterdir()) == []
    gone(squib)


def test_a_restart_whose_port_was_taken(squib: Squib) -> None:
    port = free_port()
    squib.ok("run", "clock", "--detach", "--name", "first", "--publish", f"{port}:80")
    squib.ok("stop", "first")
    squib.ok("run", "clock", "--detach", "--name", "second", "--publish", f"{port}:80")
    taken = squib.run("restart", "first")
    assert taken.returncode == 75
    assert f"127.0.0.1:{port} is in use by the machine second" in taken.stderr
    squib.ok("rm", "second", "--force")
    assert squib.ok("restart", "first", "--quiet") == f"first http://127.0.0.1:{port}\n"
    squib.ok("rm", "--force", "first")
    gone(squib)


def test_a_restart_of_a_folder_that_was_built_anew(squib: Squib, tmp_path: Path) -> None:
    squib.ok("build", "clock", "-o", "out")
    squib.ok("run", "out", "--detach", "--name", "built")
    manifest = tmp_path / "out/manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    refused = squib.run("restart", "built")
    assert refused.returncode == 65
    assert "was built anew since" in refused.stderr
    assert machine(squib, "inspect", "built")["state"] == "running", "it was not stopped for that"
    squib.ok("rm", "--force", "built")
    gone(squib)


def test_an_interrupted_restart_leaves_an_ended_machine(squib: Squib) -> None:
    squib.ok("run", "clock", "--detach", "--name", "halfway", "--publish", f"{free_port()}:80")
    process = squib.start("restart", "halfway")
    while json.loads(squib.ok("ps", "--json"))[0]["state"] != "starting":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    (left,) = json.loads(squib.ok("ps", "--json"))
    assert (left["state"], left["restarts"]) == ("failed", 1)
    gone(squib)
    squib.ok("restart", "halfway")
    squib.ok("rm", "--force", "halfway")
    gone(squib)


def test_a_damaged_state_file_under_a_running_machine(squib: Squib) -> None:
    """As docs/machines.md says: told with its remedy; after that the next command ends what nobody knows any more."""
    squib.ok("run", "clock", "--detach")
    state = squib.home / "state/squib/state.db"
    state.write_bytes(b"\xaa" * 8192)
    refused = squib.run("stop", "clock")
    assert refused.returncode == 74
    remedy = refused.stderr.partition("  try: move it away: ")[2].partition(" (")[0]
    assert remedy == f"mv {state} {state}.damaged"
    assert len(squib.processes()) == 1, "it still serves"
    subprocess.run(remedy.split(), check=True)
    assert json.loads(squib.ok("ps", "--json")) == []
    gone(squib)
    assert list((squib.home / "state/squib/machines").iterdir()) == []
    squib.ok("run", "clock", "--detach")
    squib.ok("rm", "--force", "clock")


@pytest.mark.root
def test_stop_on_a_full_disk(squib: Squib) -> None:
    state = squib.home / "state"
    state.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)], check=True)
    try:
        squib.ok("run", "clock", "--detach")
        try:
            with (state / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(b"x" * 4096)
        except OSError:
            pass
        assert machine(squib, "stop", "clock")["state"] in {"exited", "failed"}  # its last word may not fit
        gone(squib)
        assert squib.ok("rm", "clock") == "clock\n"
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_twelve_at_once(squib: Squib) -> None:
    """Started, asked, restarted, stopped and removed by as many squibs at the same moment: no name and no port twice, nothing left."""
    squib.ok("build", "clock", "-o", "out")  # so that all boot the same image, and none builds

    def each(*arguments: str) -> list[str]:
        with ThreadPoolExecutor(MANY) as pool:
            done = list(pool.map(lambda name: squib.run(*arguments, name, timeout=300), names))
        assert [one.returncode for one in done] == [0] * MANY, [one.stderr for one in done if one.returncode]
        return [one.stdout for one in done]

    names = [f"m{number}" for number in range(MANY)]
    each("run", "out", "--detach", "--quiet", "--memory", "112M", "--timeout", "280", "--name")
    machines = json.loads(squib.ok("ps", "--json"))
    assert sorted(one["name"] for one in machines) == sorted(names)
    assert {(one["state"], one["ready"]) for one in machines} == {("running", True)}
    urls = [url for one in machines for url in one["urls"]]
    assert len(set(urls)) == MANY
    assert len(squib.processes()) == MANY
    assert all('"time"' in ask(url) for url in urls)
    assert {one.split(":")[1] for one in each("stop", "--timeout", "60")} == {" stopped\n"}
    gone(squib)
    each("rm")
    assert json.loads(squib.ok("ps", "--json")) == []
    assert list((squib.home / "state/squib/machines").iterdir()) == []
