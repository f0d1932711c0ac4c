"""`squib build` from the command line: what it leaves, that it is the same bytes, and what it says of bad input."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from program import Squib
from support import PROJECT, static_program, tool

FILES = ["initrd.img", "manifest.json", "rootfs.ext4", "vmlinux"]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.tool
def test_the_artifact_is_what_its_manifest_says(squib: Squib, tmp_path: Path) -> None:
    squib.ok("build", "clock", "-o", "out")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == FILES
    manifest = json.loads((out / "manifest.json").read_bytes())
    for file in manifest["files"]:
        data = (out / file["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["size"], file["sha256"])
    assert {file["name"] for file in manifest["files"]} == {"initrd.img", "rootfs.ext4", "vmlinux"}
    assert all(item["name"] and len(item["sha256"]) == 64 for item in manifest["inputs"])
    assert (out / "rootfs.ext4").stat().st_size <= 24 * 1024 * 1024
    assert subprocess.run([tool("e2fsck"), "-fn", out / "rootfs.ext4"], capture_output=True, check=False).returncode == 0
    listing = subprocess.run(
        [tool("cpio"), "-t", "--quiet"], input=(out / "initrd.img").read_bytes(), capture_output=True, check=True
    ).stdout
    assert b"init" in listing.split()


def test_a_bill_of_materials_of_what_a_machine_boots(squib: Squib, tmp_path: Path) -> None:
    squib.ok("build", "clock", "-o", "out", "--sbom", "bills/clock.json", "-q")
    bill = json.loads((tmp_path / "bills/clock.json").read_bytes())
    about = bill["metadata"]["component"]
    assert about["name"] == json.loads((tmp_path / "out/manifest.json").read_bytes())["appliance"]["name"]
    assert {file["name"] for file in about["components"]} == {"initrd.img", "rootfs.ext4", "vmlinux"}
    done = squib.run("build", "clock", "--show", "tree", "--sbom", "other.json")
    assert (done.returncode, "--show writes nothing" in done.stderr) == (64, True)
    assert not (tmp_path / "other.json").exists()


def test_the_same_bytes_again_elsewhere_and_for_another_locale(squib: Squib, tmp_path: Path) -> None:
    squib.ok("build", "clock", "-o", "first")
    first = digests(tmp_path / "first")
    squib.ok("build", "clock", "-o", "first")
    assert digests(tmp_path / "first") == first
    shutil.rmtree(tmp_path / "cache/squib/bytecode", ignore_errors=True)
    other = tmp_path / "another folder"
    other.mkdir()
    there = Squib(
        squib.command, squib.home, extra={"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}, cwd=other
    )
    before = os.umask(0o077)
    try:
        there.ok("build", "clock", "-o", "second")
    finally:
        os.umask(before)
    assert digests(other / "second") == first


@pytest.mark.root
def test_the_same_bytes_for_another_user(squib: Squib, plain_user: Squib, tmp_path: Path) -> None:
    """Both with /usr/bin/python3 and the same packages; the other user has another home and an empty cache."""
    mine = Squib(plain_user.command, squib.home, extra=plain_user.extra)
    mine.ok("build", "clock", "-o", "out")
    plain_user.ok("build", "clock", "-o", "out")
    assert digests(plain_user.home / "out") == digests(tmp_path / "out")


def test_show_tree_says_what_and_why(squib: Squib, tmp_path: Path) -> None:
    text = squib.ok("build", "clock", "--show", "tree")
    assert "/usr/bin/python3" in text
    assert "/sbin/init" in text
    assert "imported by" in text
    assert not (tmp_path / "out").exists()


def test_no_shell_and_no_package_manager_in_it(squib: Squib) -> None:
    paths = [line.split()[0] for line in squib.ok("build", "clock", "--show", "tree").splitlines() if line.startswith("/")]
    names = {path.rpartition("/")[2] for path in paths}
    assert len(paths) > 50
    assert not names & {"sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "apk", "rpm"}


def test_an_appliance_of_ones_own(squib: Squib, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.py").write_text(
        "import json\nfrom squib.guest.handler import Response\n\ndef answer(request):\n    return Response(json.dumps({}).encode())\n"
    )
    (folder / "appliance.toml").write_text('name = "shop"\nserve = "shop:answer"\n')
    text = squib.ok("build", "shop", "--show", "tree")
    assert "/app/shop.py" in text
    assert "json" in text


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["build", "clok"], 66, "did you mean clock?"),
        (["build", "--shw", "tree"], 64, "unknown option --shw; did you mean --show?"),
        (["build", "--show", "three"], 64, "three"),
        (["build", "clock", "--kernel", "/nowhere/vmlinux"], 66, "/nowhere/vmlinux"),
        (["build", "clock", "--kernel", "bad-kernel"], 65, "bad-kernel"),
        (["build", "bad.toml"], 65, "bad.toml:2: machin: unknown key"),
        (["build", "missing-module.toml"], 65, "nothing_here"),
        (["build", "no-function.toml"], 65, "did you mean clock_like:answer?"),
        (["build", "clock", "-o", "a-file/out"], 74, "a-file"),
        (["build", "include.toml"], 65, "static"),
    ],
)
def test_bad_input(squib: Squib, tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    (tmp_path / "bad-kernel").write_bytes(b"not a kernel" * 1000)
    (tmp_path / "bad.toml").write_text('name = "a"\n[machin]\n')
    (tmp_path / "missing-module.toml").write_text('name = "a"\nserve = "nothing_here:answer"\n')
    (tmp_path / "include.toml").write_text('name = "a"\nserve = "squib.guest.clock:answer"\n[image]\ninclude = ["static"]\n')
    (tmp_path / "clock_like.py").write_text("from squib.guest.clock import answer\n")
    (tmp_path / "no-function.toml").write_text('name = "a"\nserve = "clock_like:anwser"\n')
    (tmp_path / "a-file").write_text("")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = squib.run(*arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "state") == before


def test_missing_programs_are_named_with_their_package(squib: Squib, tmp_path: Path) -> None:
    # An empty PATH does not hide what lies in the folders of administrators, so the search there is hidden as well.
    script = (
        "import squib.host.command as c; c._ADMIN_FOLDERS = (); import sys; sys.argv = ['squib', 'build', 'clock', '-o', 'out'];"
        "from squib.__main__ import main; main()"
    )
    hidden = Squib((squib.command[0], "-c", script), squib.home, extra={"PATH": "/nowhere"})
    done = hidden.run()
    assert done.returncode == 69, done.stderr
    assert "e2fsprogs" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.root
def test_a_full_disk_leaves_nothing_half_written(squib: Squib, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        done = squib.run("build", "clock", "-o", "small/out")
        assert done.returncode == 74, done.stderr
        assert "no space left" in done.stderr
        left = [path for path in small.rglob("*") if path.is_file()]
        assert left == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.root
def test_a_folder_that_may_not_be_written(plain_user: Squib, tmp_path: Path) -> None:
    done = plain_user.run("build", "clock", "-o", "/root/squib-out")
    assert done.returncode == 77, done.stderr
    assert "/root" in done.stderr


@pytest.mark.parametrize("arguments", [("build",), ("run", "--detach"), ("serve",)])
def test_a_working_folder_that_was_deleted(squib: Squib, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        "import os, sys; os.rmdir(os.getcwd()); sys.path.insert(0, sys.argv[1]); sys.argv = ['squib', *sys.argv[2:]];"
        "from squib.__main__ import main; main()"
    )
    there = Squib((squib.command[0], "-c", script, str(PROJECT / "src")), squib.home, cwd=gone)
    done = there.run(*arguments)
    assert done.returncode == 66, done.stderr
    assert "the working folder was deleted" in done.stderr


def test_inputs_that_are_folders_and_outputs_that_are_files(squib: Squib, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments, status, said in (
        (("build", "clock", "--kernel", "/tmp"), 66, "/tmp is a folder, not a kernel"),
        (("build", "clock", "-o", "file"), 74, "file is there, and is not a folder"),
        (("build", "clock", "-o", "/proc/x"), 74, "no folder can be made in /proc"),
    ):
        done = squib.run(*arguments)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tap", "tap1"), "--tap is about a drop"),
        (("--drop", "d", "-o", "out"), "-o has no place there"),
        (("--drop", "d", "--show", "tree"), "--show has no place there"),
        (("--drop", "d", "--sbom", "x.json"), "--sbom has no place there"),
        (("--drop", "d", "--tap", "a name that is too long"), "cannot be the name of a network device"),
        (("--drop", "d", "--tap", "tap1/AA:FC"), "is no tap device"),
        (("--drop", "d", "--ip", "10.0.0.2"), "the length of the network's prefix is missing"),
        (("--drop", "d", "--ip", "10.0.0.300/24"), "is no address for a guest"),
    ],
)
def test_what_cannot_be_dropped(squib: Squib, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = squib.run("build", "clock", *arguments)
    assert done.returncode == 64
    assert message in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_drop_without_firecracker(squib: Squib, tmp_path: Path) -> None:
    squib.extra["PATH"] = "/nowhere"
    done = squib.run("build", "clock", "--drop", "d")
    assert done.returncode == 69
    assert "squib fetch firecracker" in done.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.tool
def test_a_drop_without_the_tuned_kernel(squib: Squib, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    static_program(tmp_path / "bin/firecracker")
    squib.extra["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for name in (tmp_path / "cache/squib/kernels").glob("tuned-*"):
        name.unlink()
    done = squib.run("build", "clock", "--drop", "d")
    assert done.returncode == 66
    assert "squib kernel build" in done.stderr
    assert not (tmp_path / "d").exists()
    squib.ok("build", "clock", "--drop", "d", "--kernel", os.environ.get("SQUIB_TEST_KERNEL") or str(cached_vmlinux(tmp_path)))
    assert {path.name for path in (tmp_path / "d").iterdir()} > {
        "firecracker",
        "rootfs.ext4",
        "run.sh",
        "vm.json",
        "vmlinux.bin",
    }


def cached_vmlinux(home: Path) -> Path:
    record = json.loads((home / "cache/squib/kernels/package.json").read_bytes())
    return home / "cache/squib/kernels" / f"sha256-{record['vmlinux']}"
