"""The log's lines, thresholds, and what happens when nobody reads them."""

from __future__ import annotations

import os

from squib.guest.logs import DEBUG, ERROR, INFO, KEEP_BYTES, QUIET, WARNING, Logs, Sink

AT = 1795474942.7


def lines(thresholds: tuple[tuple[str, int], ...], *entries: tuple[str, int, str]) -> list[str]:
    read_end, write_end = os.pipe()
    logs = Logs(thresholds, fd=write_end, wall=lambda: AT)
    for source, level, text in entries:
        logs.source(source).add(level, text)
    logs.warn_of_unknown_sources()
    logs.flush()
    os.close(write_end)
    with os.fdopen(read_end) as file:
        return file.read().splitlines()


def test_the_seeds_form() -> None:
    assert lines((), ("http", INFO, "listening on 8080/TCP")) == [
        "2026-11-23 23:02:22 +00:00: INF [http] listening on 8080/TCP"
    ]


def test_thresholds() -> None:
    entries = (("http", DEBUG, "a"), ("http", INFO, "b"), ("http", ERROR, "c"), ("app", INFO, "d"), ("app", WARNING, "e"))

    def kept(*thresholds: tuple[str, int]) -> str:
        return "".join(line[-1] for line in lines(thresholds, *entries))

    assert kept() == "bcde"
    assert kept(("*", DEBUG)) == "abcde"
    assert kept(("*", QUIET)) == ""
    assert kept(("http", QUIET)) == "de"
    assert kept(("http", DEBUG), ("*", ERROR)) == "abc"
    assert kept(("*", ERROR), ("*", INFO)) == "bcde"


def test_an_unknown_source_is_a_warning() -> None:
    assert lines((("foo", DEBUG),)) == ["2026-11-23 23:02:22 +00:00: WRN [log] there is no log source foo; there are http, app"]


def test_nobody_forges_a_line_or_moves_the_cursor() -> None:
    found = lines((), ("app", ERROR, "a\x1b[2Jb\rc\nd\u2028e"))
    assert [line.partition("[app] ")[2] for line in found] == ["a\\x1b[2Jb", "c", "d", "e"]


def test_a_full_pipe_loses_lines_and_counts_them() -> None:
    read_end, write_end = os.pipe()
    sink = Sink(write_end)
    line = b"x" * 1023 + b"\n"
    for _ in range(1000):
        sink.add(line)
        sink.flush()
    assert sink._kept_bytes <= KEEP_BYTES
    assert sink._lost > 0
    os.set_blocking(read_end, False)
    found = b""
    for _ in range(20):
        try:
            while True:
                found += os.read(read_end, 65536)
        except BlockingIOError:
            sink.flush()
    assert found.count(line) + int(found.split(b"[log] ")[1].split()[0]) == 1000
    os.close(read_end)
    os.close(write_end)


def test_a_broken_or_closed_descriptor_loses_lines_and_nothing_else() -> None:
    read_end, write_end = os.pipe()
    sink = Sink(write_end)
    os.close(read_end)
    sink.add(b"a\n")
    sink.flush()
    os.close(write_end)
    sink.add(b"a\n")
    sink.flush()
    assert sink._kept == []
