"""Lines of a console: however it is cut into chunks and pieces, and from whichever end it is read, they are the same."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from squib.app import logs
from squib.app.logs import Selection, recorded
from squib.app.passages import Splitter
from squib.formats import lines
from squib.store import Machine

LONGEST = 8
WORDS = [b"a", b"bc", b"\n", b"\n\n", b"\r\n", b"\n" * 6, b" ", b"x" * 7, b"y" * 8, b"z" * 20, b"\t", b"\r"]
WORDS += [b"2026-11-24 03:00:%02d +00:00: INF [http] x\n" % second for second in (1, 2)]
CONSOLES = st.lists(st.sampled_from(WORDS), max_size=40).map(b"".join)


def model(data: bytes) -> list[bytes | int]:
    """The lines; a run of more than three that are empty as its number."""
    cut: list[bytes] = []
    for line in data.splitlines(keepends=True) if b"\r" not in data else [*_by_line_feed(data)]:
        text = line.removesuffix(b"\n")
        parts = [text[at : at + LONGEST] for at in range(0, len(text), LONGEST)] or [b""]
        cut += [*parts[:-1], parts[-1] + line[len(text) :]]
    found: list[bytes | int] = []
    for blank, run in itertools.groupby(cut, lambda line: line.endswith(b"\n") and not line.strip(b"\t\r \n")):
        those = list(run)
        found += [len(those)] if blank and len(those) > 3 else those
    return found


def _by_line_feed(data: bytes) -> list[bytes]:
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def said(raw: bytes, *, told: bool) -> bytes | int:
    return int(raw.split()[0][1:].replace(b",", b"")) if told else raw


@given(CONSOLES, st.integers(1, 50))
def test_lines_however_they_are_cut(data: bytes, size: int) -> None:
    with mock.patch.object(lines, "MAX_LINE", LONGEST):
        splitter = Splitter()
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        passages = [one for chunk in chunks for one in splitter.feed(chunk)] + list(splitter.end())
    assert [said(line.raw, told=one.told) for one in passages for line in one.lines()] == model(data)
    assert all(one.count == len(list(one.lines())) for one in passages)


@given(CONSOLES, st.lists(st.integers(0, 400), max_size=3), st.integers(0, 20), st.integers(1, 60), st.integers(1, 60))
def test_the_last_lines_are_the_end_of_all_lines(data: bytes, cuts: list[int], newest: int, near: int, chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console.log"
        ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for number, (begin, end) in enumerate(itertools.pairwise([0, *ends])):
            older = len(ends) - 1 - number
            console.with_name(f"console.log.{older}" if older else "console.log").write_bytes(data[begin:end])
        machine = cast("Machine", SimpleNamespace(run_dir=console.parent, ready_ms=None, boot_ms=None, restarts=1))
        with (
            mock.patch.object(lines, "MAX_LINE", LONGEST),
            mock.patch.object(logs, "_NEAR", near),
            mock.patch.object(logs, "_READ", chunk),
        ):
            last, whole, since = (
                [said(line.raw, told=one.told) for one in recorded(machine, wanted) for line in one.lines()]
                for wanted in (Selection(newest=newest), Selection(), Selection(newest=newest, since=0.0))
            )
            late = [said(line.raw, told=one.told) for one in recorded(machine, Selection(since=0.0)) for line in one.lines()]
    assert whole == model(data)
    assert last == whole[max(0, len(whole) - newest) :]
    assert since == late[max(0, len(late) - newest) :]
