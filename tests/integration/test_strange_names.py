"""Names that are strange and legal: ext4, tar and cpio hold them byte for byte, as programs of others read them."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from squib.build import ext4
from squib.formats import cpio, tar
from squib.model.tree import Directory, Entry, File, RootfsTree, Symlink
from support import tool

pytestmark = pytest.mark.tool

NAMES = st.one_of(
    st.text(st.sampled_from("ab \"'\\#<>-;$()*?{}[]é☃\u0085\u00a0\u2028%=~`|&:@"), min_size=1, max_size=12).map(os.fsencode),
    st.binary(min_size=1, max_size=12).map(lambda data: bytes(byte for byte in data if byte > 0x20 and byte not in b"\x7f/")),
    st.sampled_from([b"x" * 255, b'"' * 200, b"\xff" * 255, b"--help", b"<2>", b"lost+found", b"TRAILER", b" "]),
).filter(lambda name: name not in {b"", b".", b".."})


@st.composite
def trees(draw: st.DrawFn) -> RootfsTree:
    entries: list[Entry] = []
    for folder in draw(st.lists(NAMES, unique=True, min_size=1, max_size=3)):
        path = f"/top/{os.fsdecode(folder)}"
        entries.append(Directory(path))
        for name in draw(st.lists(NAMES, unique=True, max_size=4)):
            below = f"{path}/{os.fsdecode(name)}"
            if draw(st.booleans()):
                entries.append(File(below, os.fsencode(below), draw(st.sampled_from([0o644, 0o755]))))
            else:
                entries.append(Symlink(below, os.fsdecode(draw(NAMES))))
    return RootfsTree.of(entries)


def on_disk(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """Everything below `root`: its path, and what it is with its content."""
    found: dict[bytes, tuple[str, bytes]] = {}
    for path in root.rglob("*"):
        key = os.fsencode(path).removeprefix(os.fsencode(root))
        if path.is_symlink():
            found[key] = ("link", os.readlink(os.fsencode(path)))  # noqa: PTH115 - as bytes
        else:
            found[key] = ("folder", b"") if path.is_dir() else ("file", path.read_bytes())
    return found


def as_on_disk(tree: RootfsTree) -> dict[bytes, tuple[str, bytes]]:
    found: dict[bytes, tuple[str, bytes]] = {}
    for entry in tree.entries:
        key = os.fsencode(entry.path)
        match entry:
            case File(data=data):
                found[key] = ("file", data)
            case Symlink(target=target):
                found[key] = ("link", os.fsencode(target))
            case _:
                found[key] = ("folder", b"")
    return found


QUOTES = RootfsTree.of([File('/top/"/a"" b"', b"1"), Symlink('/top/"/\\"', '""'), Directory("/top/ \\")])


@settings(max_examples=40, deadline=None)
@given(tree=trees())
@example(tree=QUOTES)
def test_ext4(tree: RootfsTree) -> None:
    with tempfile.TemporaryDirectory() as name:
        image, out = Path(name, "image"), Path(name, "out")
        out.mkdir()
        ext4.write(tree, image, ext4.find_programs())
        subprocess.run([tool("e2fsck"), "-fn", image], capture_output=True, check=True)
        done = subprocess.run(
            [tool("debugfs"), "-R", f"rdump /top {out}", image], capture_output=True, check=True, env={"LC_ALL": "C"}
        )
        if os.geteuid() == 0:  # others may not give files to root, which rdump says
            assert len(done.stderr.splitlines()) == 1, done.stderr
        assert on_disk(out) == as_on_disk(tree)
        # Whoever built it and when: nothing of it is in any inode.
        for number in range(11, 12 + len(tree.entries)):
            shown = subprocess.run([tool("debugfs"), "-R", f"stat <{number}>", image], capture_output=True, check=True).stdout
            assert b"User:     0   Group:     0" in shown
            assert set(re.findall(rb"[acm]r?time: (\S+)", shown)) == {b"0x00000000:00000000"}


@settings(max_examples=60, deadline=None)
@given(tree=trees())
@example(tree=QUOTES)
@pytest.mark.parametrize("form", ["tar", "cpio"])
def test_archives(form: str, tree: RootfsTree) -> None:
    with tempfile.TemporaryDirectory() as name:
        if form == "tar":
            line, data = [tool("tar"), "-x", "--no-same-owner"], tar.pack(tree)
        else:
            line, data = [tool("cpio"), "-i", "--quiet", "--no-preserve-owner"], cpio.pack(tree)
            assert cpio.pack(cpio.unpack(data)) == data
        done = subprocess.run(line, input=data, cwd=name, capture_output=True, check=True, env={"LC_ALL": "C"})
        assert done.stderr == b""
        assert on_disk(Path(name)) == as_on_disk(tree)
