"""What a console's bytes mean, however they are cut, and the one message for each way a guest fails."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import ApplianceError, GuestError, SquibError, UsageError
from squib.formats.console_lines import Boot, Exit, Ready
from squib.vmm.console_log import ConsoleLog
from squib.vmm.diagnosis import DiedEarlyError, explain_deadline, explain_end, explain_panic, suspect_memory

BOOT = b"squib.boot abi=3 uptime_ms=12\r\n"
PANIC = b"[    1.2] Kernel panic - not syncing: "
WHOLE = (
    b"\x1b[2J\x1bcSeaBIOS\r\n" + BOOT + b"web: up\r\nsquib.ready abi=3 uptime_ms=34 listen=tcp:0.0.0.0:80\r\n\r\n"
    b"bye \xff\r\nsquib.exit abi=3 status=0 reason=stopped cause=none\r\n"
)


def log_of(*pieces: bytes) -> ConsoleLog:
    log = ConsoleLog()
    for piece in pieces:
        log.feed(piece)
    return log


def test_what_is_seen() -> None:
    log = ConsoleLog()
    assert log.feed(WHOLE) == (Boot(12), Ready(34, ("tcp:0.0.0.0:80",)), Exit(0, "stopped"))
    assert (log.boot, log.ready, log.exit) == (Boot(12), Ready(34, ("tcp:0.0.0.0:80",)), Exit(0, "stopped"))
    assert log.before_exit.startswith("bye")
    assert log.received == len(WHOLE)
    assert log.tail.splitlines()[0] == "SeaBIOS"
    assert "\x1b" not in log.tail
    assert "\r" not in log.tail


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_however_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    whole, pieces = log_of(WHOLE), log_of(*(WHOLE[a:b] for a, b in pairwise(places)))
    assert (pieces.boot, pieces.ready, pieces.exit, pieces.tail) == (whole.boot, whole.ready, whole.exit, whole.tail)


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_bytes_leave_a_tail_that_is_safe_to_print(pieces: list[bytes]) -> None:
    tail = log_of(*pieces).tail
    assert all(character in "\n\t" or (character >= " " and not "\x7f" <= character <= "\x9f") for character in tail)
    assert len(tail.splitlines()) <= 20


def test_a_bounded_tail() -> None:
    log = log_of(*[b"x" * 65536] * 20, b"\n", *[b"line %d\n" % number for number in range(1000)], b"no end")
    assert log.tail.splitlines()[-2:] == ["line 999", "no end"]
    assert len(log.tail) < 20 * 4200


def test_what_led_to_a_panic_stays_in_the_tail() -> None:
    log = log_of(BOOT, PANIC + b"Attempted to kill init! exitcode=0x00000100\r\n", *[b"[    1.2]  ? trace+0x1/0x2\r\n"] * 50)
    assert log.tail.splitlines() == [BOOT.decode().strip(), PANIC.decode() + "Attempted to kill init! exitcode=0x00000100"]


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (b"System is deadlocked on memory\n", "ran out of memory", "--memory"),
        (b"Out of memory: compulsory panic_on_oom\n", "ran out of memory", "--memory"),
        (b"VFS: Unable to mount root fs on unknown-block(0,0)\n", "no root file-system", "squib build"),
        (b"No working init found.\n", "no root file-system or no init", "squib build"),
        (b"Attempted to kill init! exitcode=0x0000000b\n", "init, died", "squib build"),
        (b"Fatal exception in interrupt\n", 'kernel panicked: "Fatal exception', "above"),
        (b"\n", 'kernel panicked: "no reason given"', "above"),
    ],
)
def test_panics(said: bytes, message: str, hint: str) -> None:
    for error in (explain_panic(log_of(PANIC + said)), explain_end(log_of(PANIC + said), vmm="QEMU", vmm_end="exit status 0")):
        assert message in str(error)
        assert hint in error.hint
        assert "Kernel panic" in error.detail


@pytest.mark.parametrize(
    ("said", "early"),
    [
        (PANIC + b"IO-APIC + timer doesn't work!\n", True),
        (BOOT + PANIC + b"IO-APIC + timer doesn't work!\n", False),
        (PANIC + b"Attempted to kill init! exitcode=0x0000000b\n", False),
        (PANIC + b"VFS: Unable to mount root fs on unknown-block(0,0)\n", False),
        (PANIC + b"System is deadlocked on memory\n", False),
        (b"[ 0.5] Initramfs unpacking failed: x\n" + PANIC + b"x\n", False),
        (b"hello\n", False),
        (b"", False),
    ],
)
def test_which_deaths_may_not_be_repeated(said: bytes, early: bool) -> None:
    error = explain_end(log_of(said), vmm="QEMU", vmm_end="exit status 0")
    assert isinstance(error, DiedEarlyError) is early


def test_a_broken_initrd_is_the_reason_of_the_panic_behind_it() -> None:
    log = log_of(b"[ 0.5] Initramfs unpacking failed: write error\n", PANIC + b"VFS: Unable to mount root fs\n")
    error = explain_panic(log)
    assert 'could not unpack the initrd: "write error"' in str(error)
    assert "--memory" in error.hint


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (b"", GuestError, "QEMU ended (signal 9) before the guest said anything"),
        (b"hello\n", GuestError, "ended before its init started (QEMU: signal 9)"),
        (BOOT, GuestError, "ended before it was ready"),
        (
            b"web: no such option\nsquib.exit abi=3 status=64 reason=usage cause=none\n",
            UsageError,
            'refused an option: "web: no such option"',
        ),
        (b"squib.exit abi=3 status=64 reason=usage cause=none\n", UsageError, "refused an option"),
        (b"squib.exit abi=3 status=70 reason=crashed cause=none\n", GuestError, "the server crashed, and the guest"),
        (b"squib.exit abi=3 status=70 reason=crashed cause=exit:3\n", GuestError, "the server crashed (exit status 3), and"),
        (b"squib.exit abi=3 status=70 reason=crashed cause=health\n", GuestError, "crashed (its health check failed), and"),
        (
            b"squib.exit abi=3 status=0 reason=finished cause=exit:0\n",
            GuestError,
            "ended with exit status 0 before it was ready",
        ),
        (b"squib.exit abi=3 status=0 reason=stopped cause=exit:0\n", GuestError, "was stopped (stopped) before"),
        (
            b"mount: no\nsquib.exit abi=3 status=71 reason=failed cause=none\n",
            GuestError,
            'could not set itself up: "mount: no"',
        ),
        (b"squib.exit abi=3 status=75 reason=killed cause=none\n", GuestError, "was stopped (killed) before"),
        (b"squib.exit abi=3 status=9 reason=failed cause=none\n", GuestError, "status 9 (failed)"),
        (b"squib.exit abi=3 status=9 reason=odd cause=none\n", GuestError, "before its init started"),
        (
            b'\x1b[1mrun: curl "x" | sh\x1b[0m\xe2\x80\xae\nsquib.exit abi=3 status=65 reason=appliance cause=exit:65\n',
            ApplianceError,
            r'could not be loaded: "run: curl \"x\" | sh\u202e"',
        ),
        (
            b"2026-12-01 05:56:25 +00:00: ERR [app] cannot import app: no\nsquib.exit abi=3 status=65 reason=appliance cause=exit:65\n",
            ApplianceError,
            'could not be loaded: "cannot import app: no"',
        ),
    ],
)
def test_ends(said: bytes, kind: type[SquibError], message: str) -> None:
    error = explain_end(log_of(said), vmm="QEMU", vmm_end="signal 9")
    assert type(error) is kind
    assert message in str(error)
    if kind in {UsageError, ApplianceError} and '"' in message:
        assert "no such option" not in error.detail + error.hint, "it is told once"
        assert "cannot import" not in error.detail + error.hint


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "printed nothing within 5 s"),
        (b"hello\n", "init did not start"),
        (BOOT, "the server was not ready"),
        (
            BOOT + b"squib.health abi=3 uptime_ms=9 state=starting failures=0 check=status:503\n",
            "the server's health check was not good within 5 s: status 503",
        ),
        (PANIC + b"x\n", "panicked"),
    ],
)
def test_deadlines(said: bytes, message: str) -> None:
    error = explain_deadline(log_of(said), timeout=5, elsewhere="try --accel tcg")
    assert message in str(error)
    assert error.hint


def test_little_memory_is_the_first_thing_to_try() -> None:
    late = explain_deadline(log_of(BOOT), timeout=5, elsewhere="try --accel tcg")
    error = suspect_memory(late, mem_size_mib=24, ample_mib=40)
    assert (str(error), error.detail) == (str(late), late.detail)
    assert error.hint == "--memory 40M, for 24 MiB are little for it; or give it more time: --timeout 15"
    assert suspect_memory(late, mem_size_mib=40, ample_mib=40) is late
    panic = explain_panic(log_of(PANIC + b"System is deadlocked on memory\n"))
    assert suspect_memory(panic, mem_size_mib=24, ample_mib=40) is panic


@pytest.mark.parametrize(
    ("line", "panics"),
    [
        (b"[    1.234567] Kernel panic - not syncing: x\n", True),
        (b"Kernel panic - not syncing: x\n", True),
        (b"<0>[    1.2] Kernel panic - not syncing: x\n", True),
        (b"[    1.234567][    T1] Kernel panic - not syncing: x\n", True),
        (b"2026-11-24 03:00:00 +00:00: ERR [http] GET /Kernel panic - not syncing: x\n", False),
    ],
)
def test_a_panic_is_what_the_kernel_says_of_itself(line: bytes, panics: bool) -> None:
    assert bool(log_of(line).panic) is panics
