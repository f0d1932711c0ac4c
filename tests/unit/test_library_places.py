"""Where a library is looked for: what is no shared object, and what never answers, is passed over."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from squib.build.cache import Cache
from squib.build.shared_libraries import Resolver
from squib.formats.elf import Linking

BINARY = Path(sys.executable).resolve().read_bytes()[:64]
SHARED = BINARY[:16] + b"\x03\x00" + BINARY[18:]
CORE = BINARY[:16] + b"\x04\x00" + BINARY[18:]


def sparse(path: Path) -> None:
    path.write_bytes(SHARED)
    os.truncate(path, 50 << 30)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        sparse,
        lambda path: path.write_bytes(CORE),
        lambda path: path.write_text("text"),
        lambda path: path.symlink_to("/dev/zero"),
    ],
)
def test_what_is_no_library(tmp_path: Path, make: Callable[[Path], None]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    make(first / "libx.so")
    (second / "libx.so").write_bytes(SHARED)
    resolver = Resolver(BINARY, (second,), Cache(tmp_path / "cache"))
    linking = Linking(runpath=("$ORIGIN/first",))
    assert resolver.find("libx.so", linking, tmp_path / "module.so") == second / "libx.so"
    assert resolver.find(str(second / "libx.so"), linking, tmp_path / "module.so") is None
    assert resolver.find("a\0b", linking, tmp_path / "module.so") is None
