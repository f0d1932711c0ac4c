"""`squib image` from the command line: the file, that it is the same bytes, what it shows, and what it says of bad input."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from program import Squib

REFERENCE = "example/clock"
MIB = 1 << 20


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_file_is_what_the_summary_says_and_small(squib: Squib, tmp_path: Path) -> None:
    said = json.loads(squib.ok("image", "clock", "-t", REFERENCE, "-o", "a/b/clock.tar", "--json"))
    with tarfile.open(tmp_path / "a/b/clock.tar") as tar:
        names = set(tar.getnames())
    assert {"index.json", "manifest.json", "oci-layout"} <= names
    assert {f"blobs/sha256/{one[7:]}" for one in (said["digest"], said["config_digest"])} < names
    assert {f"blobs/sha256/{layer['digest'][7:]}" for layer in said["layers"]} < names
    assert said["reference"] == f"{REFERENCE}:latest"
    assert sum(layer["compressed_bytes"] for layer in said["layers"]) == said["compressed_bytes"] <= 8 * MIB
    # An app that is squib's own: what moves with it is next to nothing.
    assert said["layers"][-1]["name"] == "app"
    assert said["layers"][-1]["compressed_bytes"] < 1024
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == ["clock.tar"]


def test_a_bill_of_materials_beside_it(squib: Squib, tmp_path: Path) -> None:
    said = json.loads(squib.ok("image", "clock", "-o", "clock.tar", "--sbom", "bills/clock.json", "--json"))
    about = json.loads((tmp_path / "bills/clock.json").read_bytes())["metadata"]["component"]
    assert f"sha256:{about['hashes'][0]['content']}" == said["digest"]
    done = squib.run("image", "clock", "--show", "layers", "--sbom", "other.json")
    assert (done.returncode, (tmp_path / "other.json").exists()) == (64, False)


def test_the_same_bytes_elsewhere_and_by_build(squib: Squib, tmp_path: Path) -> None:
    squib.ok("image", "clock", "-t", REFERENCE, "-o", "first.tar")
    shutil.rmtree(tmp_path / "cache/squib/bytecode", ignore_errors=True)
    other = tmp_path / "another folder"
    other.mkdir()
    there = Squib(
        squib.command, squib.home, extra={"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}, cwd=other
    )
    before = os.umask(0o077)
    try:
        said = there.ok("build", "clock", "-o", "out", "--image", "second.tar", "-t", REFERENCE)
    finally:
        os.umask(before)
    assert "second.tar holds example/clock:latest, sha256:" in said
    assert sha256(other / "second.tar") == sha256(tmp_path / "first.tar")
    assert (other / "second.tar").stat().st_mode & 0o777 == 0o644
    assert (other / "out/rootfs.ext4").is_file()


@pytest.mark.root
def test_the_same_bytes_for_another_user(squib: Squib, plain_user: Squib, tmp_path: Path) -> None:
    mine = Squib(plain_user.command, squib.home, extra=plain_user.extra)
    mine.ok("image", "clock", "-o", "out.tar")
    plain_user.ok("image", "clock", "-o", "out.tar")
    assert sha256(plain_user.home / "out.tar") == sha256(tmp_path / "out.tar")


def test_the_tree_of_a_machine_without_what_only_a_machine_needs(squib: Squib, tmp_path: Path) -> None:
    squib.ok("image", "clock", "-o", "out.tar")
    paths: set[str] = set()
    with tarfile.open(tmp_path / "out.tar") as outer:
        for layer in json.load(outer.extractfile("manifest.json"))[0]["Layers"]:  # type: ignore[arg-type]
            with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
                paths |= {f"/{member.name}" for member in tar if member.isfile()}
    machine = {line.split()[0] for line in squib.ok("build", "clock", "--show", "tree").splitlines() if line.startswith("/")}
    assert paths - machine == {"/bin/server", "/usr/lib/squib/squib/guest/container.pyc"}
    only = machine - paths
    assert {"/sbin/init", "/usr/lib/squib/squib/guest/init.pyc", "/usr/lib/squib/squib/guest/mounts.pyc"} <= only
    assert not {path for path in only if path.startswith("/usr/lib/python3") and path.endswith("os.pyc")}
    assert not {path.rpartition("/")[2] for path in paths} & {"sh", "bash", "busybox", "apt", "dpkg", "pip"}


def test_show_and_the_time(squib: Squib, tmp_path: Path) -> None:
    dated = Squib(squib.command, squib.home, extra={"SOURCE_DATE_EPOCH": "1700000000"})
    config = json.loads(dated.ok("image", "clock", "--show", "config"))
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert config["config"]["Entrypoint"] == ["/bin/server"]
    assert config["config"]["Cmd"] == ["--port", "8080"]
    assert config["config"]["User"] == "65532:65532"
    manifest = json.loads(squib.ok("image", "clock", "--show", "manifest", "--compress", "zstd"))
    assert {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]} == {"zstd"}
    table = squib.ok("image", "clock", "--show", "layers").splitlines()
    assert [line.split()[0] for line in table] == ["LAYER", "interpreter", "packages", "app", "total"]
    assert table[0].split() == ["LAYER", "FILES", "COMPRESSED", "SHA256", "WHAT"]
    assert not list(tmp_path.glob("*.tar"))


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "said"),
    [
        (["-t", "Restack/x"], {}, 64, "write it in lower case: restack/x"),
        (["-t", "a:" + "t" * 129], {}, 64, "its tag has 129 characters"),
        (["-t", ""], {}, 64, "cannot name an image"),
        (["-t", "a@sha256:00"], {}, 64, "leave out what begins with @"),
        (["--compress", "lzma"], {}, 64, "lzma"),
        (["-o", "folder"], {}, 74, "folder is a folder, not a file"),
        (["-o", "a-file/out.tar"], {}, 74, "a-file"),
        ([], {"SOURCE_DATE_EPOCH": "yesterday"}, 64, "SOURCE_DATE_EPOCH='yesterday' is no time"),
        ([], {"SOURCE_DATE_EPOCH": "999999999999"}, 64, "is no time"),
    ],
)
def test_bad_input_leaves_nothing(
    squib: Squib, tmp_path: Path, arguments: list[str], environment: dict[str, str], status: int, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a-file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    done = Squib(squib.command, squib.home, extra=environment).run("image", "clock", *arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path for path in sorted(tmp_path.rglob("*")) if "cache" not in path.parts] == [
        path for path in before if "cache" not in path.parts
    ]


def test_a_name_without_an_image(squib: Squib, tmp_path: Path) -> None:
    done = squib.run("build", "clock", "-t", "x")
    assert done.returncode == 64
    assert "--image FILE.tar" in done.stderr
    done = squib.run("build", "clock", "-t", "X", "--image", "x.tar")
    assert done.returncode == 64
    assert not (tmp_path / "build").exists()


def test_two_at_once_into_one_file_leave_one_whole_image(squib: Squib, tmp_path: Path) -> None:
    started = [squib.start("image", "clock", "-t", tag, "-o", "one.tar", "--quiet") for tag in ("a", "b")]
    ends = [process.communicate(timeout=110) for process in started]
    assert [process.returncode for process in started] == [0, 0], ends
    with tarfile.open(tmp_path / "one.tar") as tar:
        (image,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert {image["Config"], *image["Layers"]} <= set(tar.getnames())
    assert image["RepoTags"] in (["a:latest"], ["b:latest"])
    assert list(tmp_path.glob("*.tar*")) + list(tmp_path.glob(".one*")) == [tmp_path / "one.tar"]


@pytest.mark.root
def test_a_full_disk_keeps_what_was_there(squib: Squib, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True)
    try:
        (small / "out.tar").write_bytes(b"before")
        done = squib.run("image", "clock", "-o", "small/out.tar")
        assert done.returncode == 74, done.stderr
        assert "no space left" in done.stderr
        assert [(path.name, path.read_bytes()) for path in small.iterdir()] == [("out.tar", b"before")]
    finally:
        subprocess.run(["umount", small], check=True)
