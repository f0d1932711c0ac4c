"""The cache of computed values: whole or not there."""

from __future__ import annotations

from pathlib import Path

from squib.build.bytecode import compile_module
from squib.build.cache import Cache, key

VALUE = (b"\0\xff", "é", (1, True, ("x",)))


def test_a_value_comes_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new")
    assert cache.get("a") is None
    cache.put("a", VALUE)
    assert cache.get("a") == VALUE


def test_what_is_damaged_or_misplaced_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("a", VALUE)
    data = (tmp_path / "a").read_bytes()
    for at in range(len(data)):
        (tmp_path / "a").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert cache.get("a") is None
        (tmp_path / "a").write_bytes(data[:at])
        assert cache.get("a") is None
    (tmp_path / "b").write_bytes(data)
    assert cache.get("b") is None


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    magic = b"\xa7\r\r\n"
    first = compile_module(b"import os\n", "/app/a.py", magic, Cache(tmp_path))
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert compile_module(b"import os\n", "/app/a.py", magic, Cache(tmp_path)) == first
    assert compile_module(b"import os\n", "/app/b.py", magic, Cache(tmp_path)) != first


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    cache.put("a", VALUE)
    assert cache.get("a") is None


def test_keys_tell_parts_apart() -> None:
    assert len({key("ab", "c"), key("a", "bc"), key("abc"), key(b"abc")}) == 4
