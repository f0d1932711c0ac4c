from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from squib.formats.syscall_program import KEPT, Argument, Call, assemble

string = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"0"))
argument: st.SearchStrategy[Argument] = st.one_of(
    st.integers(-(2**63), 2**64 - 1), string, st.lists(string, max_size=3).map(tuple)
)
calls = st.lists(
    st.builds(
        Call,
        st.integers(0, 2**32 - 1),
        st.lists(argument, max_size=5).flatmap(lambda rest: st.sampled_from([tuple(rest), (KEPT, *rest)])),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
        st.lists(st.integers(1, 4095), max_size=4).map(tuple),
        st.integers(0, 2**31 - 1),
        st.booleans(),
    ),
    max_size=5,
)


def data_segment(program: bytes) -> tuple[int, bytes]:
    _, flags, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", program, 64 + 56)
    assert flags == 4
    assert offset % 4096 == address % 4096
    assert offset + size == len(program)
    return address, program[offset:]


def string_at(address: int, data: bytes, where: int) -> bytes:
    assert address <= where < address + len(data)
    return data[where - address : data.index(b"\0", where - address)]


@given(calls)
def test_every_record_says_what_its_call_said(table: list[Call]) -> None:
    address, data = data_segment(assemble(table))
    for index, call in enumerate(table):
        nr, *args, message, size, retries, flags, _, e1, e2, e3, e4 = struct.unpack_from("<8Q4I4i", data, index * 96)
        assert (nr, retries) == (call.nr, call.retries)
        assert flags == (KEPT in call.args) + 2 * call.keep
        assert tuple(-number for number in (e1, e2, e3, e4) if number) == call.ignore
        said = data[message - address : message - address + size].decode()
        assert said == f"{call.message or f'system call {call.nr} failed'}: error "
        for given_, packed in zip(call.args, args, strict=False):
            check(address, data, given_, packed)
        assert not any(args[len(call.args) :])
    end = struct.unpack_from("<2Q", data, len(table) * 96)
    assert end == (231, 0)


def check(address: int, data: bytes, argument: Argument, packed: int) -> None:
    if isinstance(argument, int):
        assert packed == argument % 2**64
    elif isinstance(argument, bytes):
        assert string_at(address, data, packed) == argument
    elif isinstance(argument, tuple):
        assert packed % 8 == 0
        pointers = struct.unpack_from(f"<{len(argument) + 1}Q", data, packed - address)
        assert pointers[-1] == 0
        assert tuple(string_at(address, data, pointer) for pointer in pointers[:-1]) == argument
    else:
        assert packed == 0


@given(calls)
def test_equal_tables_are_equal_bytes(table: list[Call]) -> None:
    assert assemble(table) == assemble(tuple(table))
