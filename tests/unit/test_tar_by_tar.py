"""Our archives, read by GNU tar."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from squib.formats.tar import pack
from squib.model.tree import Device, Directory, File, RootfsTree, Symlink
from support import tool

LONG = "a-long-name-" * 20
TREE = RootfsTree.of(
    [
        File("/bin/server", b"#!" + bytes(range(256)) * 9, 0o755),
        Directory("/tmp", 0o1777),
        Device("/dev/null", 1, 3, 0o666),
        File("/etc/a name with spaces, é", b"x", 0o640),
        File(f"/etc/{LONG}", b"long"),
        File("/etc/empty", b""),
        Symlink("/etc/link", "../bin/server"),
        Symlink("/etc/longlink", LONG),
    ]
)


@pytest.mark.tool
def test_listing() -> None:
    done = subprocess.run(
        [tool("tar"), "-tv", "--numeric-owner", "--full-time"],
        input=pack(TREE), capture_output=True, check=True, timeout=20, env={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )  # fmt: skip
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(TREE.entries)
    assert all(line.split()[1] == "0/0" and "1970-01-01 00:00:00" in line for line in lines)
    assert [line[:10] for line in lines] == [
        *("drwxr-xr-x", "-rwxr-xr-x", "drwxr-xr-x", "crw-rw-rw-", "drwxr-xr-x"),
        *("-rw-r-----", "-rw-r--r--", "-rw-r--r--", "lrwxrwxrwx", "lrwxrwxrwx", "drwxrwxrwt"),
    ]


@pytest.mark.tool
def test_contents(tmp_path: Path) -> None:
    tree = RootfsTree.of(entry for entry in TREE.entries if not isinstance(entry, Device))
    subprocess.run([tool("tar"), "-xp", "-C", tmp_path], input=pack(tree), check=True, timeout=20)
    for entry in tree.entries:
        path = tmp_path / entry.path[1:]
        match entry:
            case File(data=data, mode=mode):
                assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (data, mode)
            case Symlink(target=target):
                assert str(path.readlink()) == target
            case Directory(mode=mode):
                assert (path.is_dir(), path.stat().st_mode & 0o7777) == (True, mode)
