"""Programs of system calls, run as plain processes, and their file as readelf and the GNU assembler see it."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from squib.formats.syscall_program import KEPT, LOOP, Call, assemble
from support import tool, waited_for

OPEN, WRITE, CLOSE, FCHDIR, EXECVE, EXIT_GROUP, SYMLINK = 2, 1, 3, 81, 59, 231, 88
O_CLOEXEC = 0o2000000


def run(tmp_path: Path, *calls: Call) -> subprocess.CompletedProcess[bytes]:
    program = tmp_path / "program"
    program.write_bytes(assemble(calls))
    program.chmod(0o755)
    return subprocess.run([program], cwd=tmp_path, capture_output=True, timeout=20, check=False)


def test_it_writes_and_ends(tmp_path: Path) -> None:
    done = run(tmp_path, Call(WRITE, (1, b"hello\n", 6)), Call(EXIT_GROUP, (7,)))
    assert (done.returncode, done.stdout, done.stderr) == (7, b"hello\n", b"")


def test_the_end_of_the_table_is_success(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 0


def test_an_error_is_named_and_ends_it(tmp_path: Path) -> None:
    done = run(tmp_path, Call(OPEN, (b"missing", 0), "cannot open it"), Call(WRITE, (1, b"more", 4)))
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"cannot open it: error 2\n")


@pytest.mark.parametrize("number", [9, 38])
def test_error_numbers_are_decimal(tmp_path: Path, number: int) -> None:
    call = Call(CLOSE, (999,), "x") if number == errno.EBADF else Call(0xFFFF, (), "x")
    assert run(tmp_path, call).stderr == f"x: error {number}\n".encode()


def test_an_ignored_error_goes_on(tmp_path: Path) -> None:
    ignored = Call(OPEN, (b"missing", 0), ignore=(errno.EACCES, errno.EIO, errno.EPERM, errno.ENOENT))
    assert run(tmp_path, ignored, Call(WRITE, (1, b"on", 2))).stdout == b"on"
    assert run(tmp_path, Call(OPEN, (b"missing", 0), ignore=(errno.EEXIST,))).returncode == 1


def test_the_kept_result_outlives_other_calls(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    done = run(
        tmp_path,
        Call(OPEN, (b"/", O_CLOEXEC)),  # so that the number of the next is not the first free one
        Call(OPEN, (b"inner", O_CLOEXEC), keep=True),
        Call(WRITE, (1, b"moving ", 7)),
        Call(FCHDIR, (KEPT,)),
        Call(CLOSE, (KEPT,)),
        Call(FCHDIR, (KEPT,), ignore=(errno.EBADF,)),
        Call(SYMLINK, (b"to", b"here")),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"moving ", b"")
    assert (tmp_path / "inner" / "here").is_symlink()


def test_argv_and_environment_reach_the_next_program(tmp_path: Path) -> None:
    next_program = os.fsencode(tool("env"))
    done = run(tmp_path, Call(EXECVE, (next_program, (b"env",), (b"A=1", b"B=two words"))))
    assert done.stdout == b"A=1\nB=two words\n"


def test_a_call_is_tried_again_until_it_works(tmp_path: Path) -> None:
    program = tmp_path / "program"
    reader, writer = os.pipe()
    # It opens a file that is not there, and says so by a first write; the file comes, and the same call works.
    program.write_bytes(
        assemble((Call(WRITE, (1, b"1", 1)), Call(OPEN, (b"later", 0), retries=1000), Call(WRITE, (1, b"2", 1))))
    )
    program.chmod(0o755)
    with waited_for(subprocess.Popen([program], cwd=tmp_path, stdout=writer)) as process:
        os.close(writer)
        assert os.read(reader, 1) == b"1"
        (tmp_path / "later").touch()
        assert os.read(reader, 1) == b"2"
        assert process.wait(20) == 0
    os.close(reader)


def test_retries_end(tmp_path: Path) -> None:
    assert run(tmp_path, Call(OPEN, (b"missing", 0), "gone", retries=3)).stderr == b"gone: error 2\n"


@pytest.mark.parametrize(
    "call",
    [
        Call(-1),
        Call(2**32),
        Call(1, (0,) * 7),
        Call(1, (2**64,)),
        Call(1, (-(2**63) - 1,)),
        Call(1, (b"a\0b",)),
        Call(1, ((b"a\0b",),)),
        Call(1, (0, KEPT)),
        Call(1, ignore=(1, 2, 3, 4, 5)),
        Call(1, ignore=(0,)),
        Call(1, ignore=(4096,)),
        Call(1, retries=-1),
    ],
)
def test_what_a_record_cannot_hold_is_refused(call: Call) -> None:
    with pytest.raises(ValueError):
        assemble((call,))


@pytest.mark.tool
def test_the_bytes_are_the_assembly_beside_them(tmp_path: Path) -> None:
    source = tmp_path / "loop.s"
    lines = [f"{label}:\n {text}" if label else f" {text}" for label, _, text in LOOP]
    source.write_text(".intel_syntax noprefix\n" + "\n".join(lines) + "\n")
    subprocess.run([tool("as"), "--64", "-o", tmp_path / "loop.o", source], check=True, timeout=20)
    subprocess.run(
        [tool("objcopy"), "-O", "binary", "-j", ".text", tmp_path / "loop.o", tmp_path / "loop"], check=True, timeout=20
    )
    assert (tmp_path / "loop").read_bytes() == b"".join(bytes.fromhex(encoded) for _, encoded, _ in LOOP)


@pytest.mark.tool
def test_readelf_finds_nothing_wrong_and_nothing_both_writable_and_runnable(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(assemble((Call(WRITE, (1, b"hello", 5)),)))
    done = subprocess.run([tool("readelf"), "-hlW", program], capture_output=True, check=True, timeout=20, text=True)
    assert done.stderr == ""
    segments = [line for line in done.stdout.splitlines() if line.strip().startswith(("LOAD", "GNU_STACK"))]
    assert [line[line.index("0x") :].split()[5:-1] for line in segments] == [["R", "E"], ["R"], ["RW"]]
