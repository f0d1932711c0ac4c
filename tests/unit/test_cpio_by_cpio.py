"""Our archives, read by GNU cpio."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from squib.formats.cpio import pack
from squib.model.tree import Device, Directory, File, RootfsTree, Symlink
from support import tool

TREE = RootfsTree.of(
    [
        File("/init", b"\x7fELF" + bytes(range(256)) * 9, 0o755),
        Directory("/dev", 0o755),
        Device("/dev/console", 5, 1, 0o600),
        File("/etc/a name with spaces, é", b"x", 0o640),
        File("/etc/empty", b""),
        Symlink("/etc/link", "../init"),
    ]
)


@pytest.mark.tool
def test_listing() -> None:
    done = subprocess.run(
        [tool("cpio"), "-tv", "--numeric-uid-gid", "--quiet"],
        input=pack(TREE),
        capture_output=True,
        check=True,
        timeout=20,
        env={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )
    assert done.stderr == b""
    fields = [line.split(maxsplit=8) for line in done.stdout.decode().splitlines()]
    assert {field[8 if field[0][0] != "c" else -1].split("1970 ")[-1] for field in fields} >= {
        "init",
        "dev/console",
        "etc/link -> ../init",
    }
    assert [field[0] for field in fields] == [
        "drwxr-xr-x",
        "crw-------",
        "drwxr-xr-x",
        "-rw-r-----",
        "-rw-r--r--",
        "lrwxrwxrwx",
        "-rwxr-xr-x",
    ]
    assert all(field[2:4] == ["0", "0"] and "1970" in " ".join(field) for field in fields)


@pytest.mark.tool
def test_contents(tmp_path: Path) -> None:
    without_nodes = RootfsTree.of(entry for entry in TREE.entries if not isinstance(entry, Device))
    subprocess.run(
        [tool("cpio"), "-idm", "--quiet", "--no-preserve-owner"],
        input=pack(without_nodes),
        cwd=tmp_path,
        check=True,
        timeout=20,
    )
    for entry in without_nodes.entries:
        path = tmp_path / entry.path[1:]
        match entry:
            case File(data=data, mode=mode):
                assert path.read_bytes() == data
                assert path.stat().st_mode & 0o7777 == mode
            case Symlink(target=target):
                assert str(path.readlink()) == target
            case _:
                assert path.is_dir()
