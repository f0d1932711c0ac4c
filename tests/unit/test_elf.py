"""ELF files as ld.so reads them, and cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from squib.formats import elf
from support import tool

BINARY = Path(sys.executable).resolve()


def test_what_the_interpreter_needs() -> None:
    linking = elf.read_linking(BINARY.read_bytes())
    assert linking.interpreter.startswith("/lib")
    assert "libc.so.6" in linking.needed


def test_a_cut_program_still_runs_and_needs_the_same(tmp_path: Path) -> None:
    data = BINARY.read_bytes()
    cut = elf.cut_symbols(data)
    assert len(cut) < len(data)
    assert elf.read_linking(cut) == elf.read_linking(data)
    assert elf.cut_symbols(cut) == cut
    program = tmp_path / "python3"
    program.write_bytes(cut)
    program.chmod(0o755)
    done = subprocess.run(
        [program, "-IS", "-c", "print(6 * 7)"], env={"PYTHONHOME": sys.base_prefix}, capture_output=True, check=False
    )
    # -I ignores PYTHONHOME: where the library is not found, the binary still starts and says so.
    assert done.stdout == b"42\n" or b"encodings" in done.stderr


@pytest.mark.tool
def test_readelf_finds_no_sections_and_the_same_segments(tmp_path: Path) -> None:
    readelf = tool("readelf")
    (tmp_path / "cut").write_bytes(elf.cut_symbols(BINARY.read_bytes()))

    def headers(path: Path) -> list[str]:
        text = subprocess.run([readelf, "-lW", path], capture_output=True, text=True, check=True).stdout
        return [line for line in text.splitlines() if line.split()[:1] in (["LOAD"], ["DYNAMIC"], ["INTERP"], ["TLS"])]

    assert headers(tmp_path / "cut") == headers(BINARY)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 20, BINARY.read_bytes()[:5000]])
def test_what_is_no_whole_elf_file(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"ELF|segment|cut off"):
        elf.cut_symbols(data)
