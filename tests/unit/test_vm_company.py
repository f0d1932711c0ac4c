"""What stands between a person and a machine: the copy of Firecracker's log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from squib.app.vm.company import LogCopy


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def opened(stack: ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stack.callback(os.close, descriptor)
    return descriptor


def piped(stack: ExitStack) -> tuple[int, int]:
    ends = os.pipe2(os.O_NONBLOCK)
    for end in ends:
        stack.callback(os.close, end)
    return ends


def test_a_log_that_is_written_in_pieces_is_whole(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, said, write = tmp_path / "log", list[str](), os.write
    out, into = piped(stack)
    copy = LogCopy(out, opened(stack, path), path=path, say=said.append)
    write(into, b"0123456789")
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    assert copy.copy() == b"0123456789"
    assert (path.read_bytes(), said) == (b"0123456789", [])


def test_a_log_without_room_is_told_once_and_read_on(stack: ExitStack) -> None:
    full, said = Path("/dev/full"), list[str]()
    out, into = piped(stack)
    copy = LogCopy(out, opened(stack, full), path=full, say=said.append)
    for piece in (b"one ", b"two"):
        os.write(into, piece)
        assert copy.copy() == piece
    assert said == ["no space left to write /dev/full; the rest of Firecracker's log is not kept"]
    assert copy.tail == b"one two", "an end is still explained by it"
