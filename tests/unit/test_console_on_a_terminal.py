"""A guest's console on a terminal: whole lines, made visible, and an endless one in pieces."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterable

import pytest

from squib.cli.narrator import Narrator
from squib.cli.terminal import VisibleLines
from squib.cli.vm_voice import VmVoice

PIECE = 1 << 16


class Terminal(io.TextIOWrapper):
    """Takes what a terminal would be sent."""

    def __init__(self) -> None:
        self.sent = io.BytesIO()
        super().__init__(self.sent)

    def isatty(self) -> bool:
        return True


VOICES: list[Callable[[], Narrator | VmVoice]] = [
    lambda: Narrator(quiet=True, console=True),
    lambda: VmVoice(raw=False, debug=False),
]


def shown(voice: Callable[[], Narrator | VmVoice], pieces: Iterable[bytes]) -> bytes:
    """What the terminal is sent of a console."""
    terminal = Terminal()
    with contextlib.redirect_stdout(terminal):
        told = voice()
        for piece in pieces:
            told.output(piece)
    return terminal.sent.getvalue()


@pytest.mark.parametrize("voice", VOICES)
def test_lines_however_they_are_cut(voice: Callable[[], Narrator | VmVoice]) -> None:
    console = b"one\r\n\x1b[2Jtwo\n\nthree"
    assert shown(voice, (bytes((byte,)) for byte in console)) == rb"one" b"\n" rb"\x1b[2Jtwo" b"\n\n"


@pytest.mark.parametrize("voice", VOICES)
def test_an_endless_line_is_shown_in_pieces(voice: Callable[[], Narrator | VmVoice]) -> None:
    sent = shown(voice, [b"10 %\r" * 2000] * 10)
    assert sent.count(rb"10 %\r") >= PIECE // 5
    assert (sent.count(b"10 %") <= PIECE // 5 + 1, b"\n" in sent) == (True, False)


def test_what_is_shown_is_whole_and_no_more_than_a_piece_is_kept() -> None:
    lines, shown = VisibleLines(), b""
    for data in (b"x" * 200_000, b"y" * 10, b"z\n", b"\n"):
        shown += lines.feed(data)
        assert len(lines._lines._rest) < PIECE
    assert shown == b"x" * 200_000 + b"y" * 10 + b"z\n\n"


def test_an_endless_line_in_small_pieces_takes_no_square_of_time() -> None:
    """Joining what is kept to each of these pieces would copy 2 GB a line."""
    lines, begin = VisibleLines(), time.process_time()
    for _ in range(8 << 20 >> 5):
        lines.feed(b"x" * 32)
    assert time.process_time() - begin < 5
