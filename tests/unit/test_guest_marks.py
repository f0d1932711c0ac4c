"""Marks of the start: what the server process hands to PID 1, and what the kernel's log tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.guest import kernel_log
from squib.guest.marks import SERVER_MARKS, SERVER_RECORD_BYTES, Marks

LOG = [
    b"6,1,100,-;Linux version 6.1\n",
    b"6,7,1600000,-;Run /init as init process\n",
    b"6,8,1900000,-;EXT4-fs (vda): mounted filesystem with ordered data mode. Quota mode: none.\n SUBSYSTEM=block\n",
    b"6,9,1950000,-;Run /sbin/init as init process\n",  # not the first
    b"12,10,2500000,-;squib: reading the clock of this log\n",
]


def test_a_record_goes_from_process_to_process() -> None:
    child, parent = Marks(), Marks()
    for name in SERVER_MARKS:
        child.mark(name)
    record = child.to_record()
    assert len(record) == SERVER_RECORD_BYTES
    parent.add_record(record)
    assert parent.moments == child.moments
    assert Marks().to_record() == b"", "a server that marked nothing says nothing"


@given(st.binary(max_size=64).filter(lambda record: len(record) != SERVER_RECORD_BYTES))
def test_anything_else_is_ignored(record: bytes) -> None:
    parent = Marks()
    parent.add_record(record)
    assert parent.moments == []


def test_what_the_kernels_log_tells() -> None:
    # Its clock is 20 ms ahead of the uptime.
    assert kernel_log.found(LOG, 2_480_000_000) == [("user", 1_580_000_000), ("root", 1_880_000_000)]
    assert kernel_log.found(LOG[:-1], 2_480_000_000) == [], "without our own line nothing can be compared"
    assert kernel_log.found(LOG[-1:], 1) == []


@given(st.lists(st.binary(max_size=40)))
def test_any_log_is_read(log: list[bytes]) -> None:
    kernel_log.found([*log, LOG[-1]], 1)


def test_a_log_that_may_not_be_had_tells_nothing(tmp_path: Path) -> None:
    assert kernel_log.moments(str(tmp_path / "none")) == []


def test_memory_that_is_left(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemAvailable:     67048 kB\n")
    assert kernel_log.available_kib(str(tmp_path / "meminfo")) == 67048
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\n")
    assert kernel_log.available_kib(str(tmp_path / "meminfo")) == 0


def test_records_end_where_nothing_waits() -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)  # packets, as /dev/kmsg gives records
    for record in LOG:
        os.write(write_end, record)
    assert kernel_log.records(read_end) == LOG
    os.close(read_end)
    with pytest.raises(OSError, match="Bad file"):
        kernel_log.records(read_end)
    os.close(write_end)
