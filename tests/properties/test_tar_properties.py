"""Our tar archives, read by Python's tarfile: any tree comes back whole, with owner root and no time."""

from __future__ import annotations

import io
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.formats.tar import pack
from squib.model.tree import Device, Directory, Entry, File, RootfsTree, Symlink

name = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=8)
long_name = st.builds(lambda text, count: text * count, name, st.integers(1, 60))
part = st.one_of(name, long_name).filter(lambda text: text not in {".", ".."})
mode = st.integers(0, 0o7777)


@st.composite
def trees(draw: st.DrawFn) -> RootfsTree:
    entries: list[Entry] = []
    for folder in draw(st.lists(part, unique=True, max_size=3)):
        entries.append(Directory(f"/{folder}", draw(mode)))
        for leaf in draw(st.lists(part, unique=True, max_size=3)):
            path = f"/{folder}/{leaf}"
            kinds: tuple[st.SearchStrategy[Entry], ...] = (
                st.builds(File, st.just(path), st.binary(max_size=1100), mode),
                st.builds(Symlink, st.just(path), part),
                st.builds(Device, st.just(path), st.integers(0, 4095), st.integers(0, 2**20 - 1), mode),
            )
            entries.append(draw(st.one_of(kinds)))
    return RootfsTree.of(entries)


def read(archive: bytes) -> RootfsTree:
    entries: list[Entry] = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
            path, bits = f"/{member.name}", stat.S_IMODE(member.mode)
            if member.isdir():
                entries.append(Directory(path, bits))
            elif member.issym():
                entries.append(Symlink(path, member.linkname))
            elif member.ischr():
                entries.append(Device(path, member.devmajor, member.devminor, bits))
            else:
                file = tar.extractfile(member)
                assert file is not None
                entries.append(File(path, file.read(), bits))
    return RootfsTree.of(entries)


@given(trees())
def test_tarfile_reads_what_was_packed(tree: RootfsTree) -> None:
    archive = pack(tree)
    assert read(archive) == tree
    assert len(archive) % 10240 == 0
    assert pack(tree) == archive


def test_names_at_the_edge_of_what_a_header_holds() -> None:
    files = [File(f"/{'n' * length}", b"x" * length) for length in (*range(85, 115), 254, 255)]
    deep = File("/" + "/".join(["d" * 90] * 12), b"deep")
    tree = RootfsTree.of([*files, deep, *(Symlink(f"/l{length}", "t" * length) for length in range(95, 105))])
    found = read(pack(tree))
    assert [(entry.path, getattr(entry, "data", None), getattr(entry, "target", None)) for entry in found.entries] == [
        (entry.path, getattr(entry, "data", None), getattr(entry, "target", None)) for entry in tree.entries
    ]


def test_a_device_number_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="/dev/x"):
        pack(RootfsTree.of([Device("/dev/x", 1, 1 << 30)]))
