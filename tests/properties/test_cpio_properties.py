from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.formats.cpio import pack, unpack
from squib.model.tree import Device, Directory, Entry, File, RootfsTree, Symlink

part = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=8).filter(
    lambda name: name not in {".", "..", "TRAILER!!!"}
)
mode = st.integers(0, 0o7777)


@st.composite
def trees(draw: st.DrawFn) -> RootfsTree:
    folders = draw(st.lists(part, unique=True, max_size=3))
    entries: list[Entry] = []
    for name in folders:
        entries.append(Directory(f"/{name}", draw(mode)))
        for leaf in draw(st.lists(part, unique=True, max_size=3)):
            path = f"/{name}/{leaf}"
            entries.append(
                draw(
                    st.one_of(
                        st.builds(File, st.just(path), st.binary(max_size=30), mode),
                        st.builds(Symlink, st.just(path), part),
                        st.builds(Device, st.just(path), st.integers(0, 4095), st.integers(0, 2**20 - 1), mode),
                    )
                )
            )
    return RootfsTree.of(entries)


@given(trees())
def test_unpacking_undoes_packing(tree: RootfsTree) -> None:
    archive = pack(tree)
    assert unpack(archive) == tree
    assert len(archive) % 512 == 0
    assert pack(tree) == archive


@given(trees(), st.data())
def test_a_damaged_archive_is_a_value_error_or_another_whole_one(tree: RootfsTree, data: st.DataObject) -> None:
    archive = bytearray(pack(tree))
    at = data.draw(st.integers(0, len(archive) - 1))
    archive[at] ^= data.draw(st.integers(1, 255))
    try:
        read = unpack(bytes(archive))
    except ValueError:
        return
    assert pack(read) == bytes(archive)


@given(trees(), st.data())
def test_a_truncated_archive_is_a_value_error(tree: RootfsTree, data: st.DataObject) -> None:
    archive = pack(tree)
    with pytest.raises(ValueError):
        unpack(archive[: data.draw(st.integers(0, len(archive) - 1))])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data)
