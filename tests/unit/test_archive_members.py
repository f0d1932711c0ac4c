"""Files out of archives: the ones that were asked for, in bounds, whatever else is in there."""

from __future__ import annotations

import contextlib
import gzip
import io
import resource
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.formats.archive_members import tgz_members, zip_members

MIB = 1 << 20


def tgz(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(**contents: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_what_was_asked_for_in_that_order() -> None:
    data = tgz((member("../x"), b"no"), (member("b"), b"two"), (member("a"), b"one"))
    assert tgz_members(data, ["a", "b"], max_bytes=3, max_unpacked=MIB) == [b"one", b"two"]
    assert zip_members(io.BytesIO(zipped(b=b"two", a=b"one")), ["a", "b"], max_bytes=3) == [b"one", b"two"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_only_regular_files(kind: bytes) -> None:
    with pytest.raises(ValueError, match="it holds no file a"):
        tgz_members(tgz((member("b"), b"two"), (member("a", kind, "b"), b"")), ["a"], max_bytes=9, max_unpacked=MIB)


def test_what_is_missing_or_too_long() -> None:
    for name, message in (("c", "c"), ("a", "longer than 2 bytes")):
        with pytest.raises(ValueError, match=message):
            tgz_members(tgz((member("a"), b"one")), [name], max_bytes=2, max_unpacked=MIB)
        with pytest.raises(ValueError, match=message):
            zip_members(io.BytesIO(zipped(a=b"one")), [name], max_bytes=2)


def test_what_unpacks_without_end() -> None:
    """A thousand times its length: little of it is ever unpacked, and less is kept."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = tgz((member("bomb"), bytes(200 * MIB)), (member("a"), b"one"))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    with pytest.raises(ValueError, match="unpacks to more than 4,194,304 bytes"):
        tgz_members(bomb, ["a"], max_bytes=MIB, max_unpacked=4 * MIB)
    with pytest.raises(ValueError, match="longer than 1,048,576 bytes"):
        zip_members(io.BytesIO(zipped(a=bytes(200 * MIB))), ["a"], max_bytes=MIB)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < held + 300 * 1024
    # A header that announces a gigabyte of names.
    header = member("x", tarfile.XHDTYPE)
    header.size = 1 << 30
    with pytest.raises(ValueError, match="unpacks to more than"):
        tgz_members(gzip.compress(header.tobuf() + bytes(64 * MIB)), ["a"], max_bytes=MIB, max_unpacked=4 * MIB)


TGZ, ZIP = tgz((member("a"), b"one" * 50), (member("b"), b"")), zipped(a=b"one" * 50, b=b"")


@given(st.sampled_from([TGZ, ZIP, gzip.decompress(TGZ)]), st.data())
def test_a_damaged_archive_is_a_value_error(whole: bytes, data: st.DataObject) -> None:
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    broken = broken[: data.draw(st.integers(0, len(broken)))]
    raw = bytes(broken) if whole is not gzip.decompress(TGZ) else gzip.compress(bytes(broken))
    for archive in (raw, gzip.compress(raw)):
        with contextlib.suppress(ValueError):
            assert len(tgz_members(archive, ["a", "b"], max_bytes=MIB, max_unpacked=MIB)) == 2
    with contextlib.suppress(ValueError):
        assert len(zip_members(io.BytesIO(raw), ["a", "b"], max_bytes=MIB)) == 2
