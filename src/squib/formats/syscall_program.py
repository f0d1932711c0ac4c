"""A static x86-64 ELF program that is a table of system calls: what an initrd's /init needs, and nothing else.

A small loop of machine code, written out below with its assembly, walks records of one size: number, six arguments, what to do
with an error. There is no allocation, no parsing, no variable but one: the result of the last call that asked to be kept
(a descriptor, since without a /dev/console the kernel starts init with none open and their numbers are not known).

A failed call is ignored for the error numbers it names, else tried again 10 ms later as often as it says, else the program
writes the call's message and the error number to descriptor 2 and ends with status 1. A program ends with status 0.

The file has two segments: code, which may be read and run, and the table with its data, which may only be read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["KEPT", "Argument", "Call", "Kept", "assemble"]


class Kept(Enum):
    """The type of `KEPT`."""

    KEPT = "the kept result"


KEPT: Final = Kept.KEPT
"""As the first argument: the result of the last call with `keep`."""

Argument = int | bytes | tuple[bytes, ...] | Kept
"""A number (64 bits), a string, or a NULL-terminated vector of strings (argv, envp); strings get their NUL here."""

_MAX_IGNORED = 4
_MAX_ERRNO = 4095  # linux/err.h: results from -4095 to -1 are errors


@dataclass(frozen=True, slots=True)
class Call:
    """One system call, by its number (arch/x86/entry/syscalls/syscall_64.tbl).

    `message` is what is said if it fails; `ignore` are at most four error numbers that count as success; `retries` is how
    often it is tried again, 10 ms apart; `keep` keeps the result for `KEPT`.
    """

    nr: int
    args: tuple[Argument, ...] = ()
    message: str = ""
    ignore: tuple[int, ...] = ()
    retries: int = 0
    keep: bool = False


# A record: nr, rdi, rsi, rdx, r10, r8, r9, address of the message; its length, retries, flags, unused; ignored (negative).
_RECORD = struct.Struct("<8Q4I4i")
_TAKES_KEPT = 1
_KEEPS = 2

_EXIT_GROUP = 231

_CODE_ADDRESS = 0x400000
_DATA_ADDRESS = 0x600000
_PAGE = 0x1000

# System calls take their number in rax and arguments in rdi rsi rdx r10 r8 r9, and lose only rcx and r11 (System V ABI, A.2.1).
# rbx: the record; r12: the kept result; r13d: tries that are left; r14: the error. Label, bytes, assembly (GNU as):
LOOP: tuple[tuple[str, str, str], ...] = (
    ("start", "bb 00000000", "mov ebx, 0"),  # patched: the table's address, below 4 GiB
    ("", "45 31 e4", "xor r12d, r12d"),
    ("next", "44 8b 6b 44", "mov r13d, [rbx+68]"),  # retries
    ("again", "48 8b 03", "mov rax, [rbx]"),
    ("", "48 8b 7b 08", "mov rdi, [rbx+8]"),
    ("", "f6 43 48 01", "test byte ptr [rbx+72], 1"),  # _TAKES_KEPT
    ("", "74 03", "jz rest"),
    ("", "4c 89 e7", "mov rdi, r12"),
    ("rest", "48 8b 73 10", "mov rsi, [rbx+16]"),
    ("", "48 8b 53 18", "mov rdx, [rbx+24]"),
    ("", "4c 8b 53 20", "mov r10, [rbx+32]"),
    ("", "4c 8b 43 28", "mov r8, [rbx+40]"),
    ("", "4c 8b 4b 30", "mov r9, [rbx+48]"),
    ("", "0f 05", "syscall"),
    ("", "48 3d 01f0ffff", "cmp rax, -4095"),
    ("", "73 0f", "jae error"),  # unsigned: -4095 to -1
    ("", "f6 43 48 02", "test byte ptr [rbx+72], 2"),  # _KEEPS
    ("", "74 03", "jz done"),
    ("", "49 89 c4", "mov r12, rax"),
    ("done", "48 83 c3 60", "add rbx, 96"),  # the next record
    ("", "eb bf", "jmp next"),
    ("error", "31 c9", "xor ecx, ecx"),
    ("ignored", "48 63 54 8b 50", "movsxd rdx, dword ptr [rbx+rcx*4+80]"),
    ("", "48 39 d0", "cmp rax, rdx"),  # an unused place holds 0, which is no error
    ("", "74 ee", "je done"),
    ("", "ff c1", "inc ecx"),
    ("", "83 f9 04", "cmp ecx, 4"),
    ("", "75 ef", "jne ignored"),
    ("", "45 85 ed", "test r13d, r13d"),
    ("", "74 1a", "jz fail"),
    ("", "41 ff cd", "dec r13d"),
    ("", "68 80969800", "push 10000000"),  # timespec.tv_nsec
    ("", "6a 00", "push 0"),  # timespec.tv_sec
    ("", "b8 23000000", "mov eax, 35"),  # nanosleep
    ("", "48 89 e7", "mov rdi, rsp"),
    ("", "31 f6", "xor esi, esi"),  # what is left of it is not wanted
    ("", "0f 05", "syscall"),
    ("", "58", "pop rax"),
    ("", "58", "pop rax"),
    ("", "eb 91", "jmp again"),
    ("fail", "49 89 c6", "mov r14, rax"),
    ("", "b8 01000000", "mov eax, 1"),  # write
    ("", "bf 02000000", "mov edi, 2"),
    ("", "48 8b 73 38", "mov rsi, [rbx+56]"),  # the message
    ("", "8b 53 40", "mov edx, [rbx+64]"),  # its length
    ("", "0f 05", "syscall"),
    ("", "44 89 f0", "mov eax, r14d"),
    ("", "f7 d8", "neg eax"),  # 1 to 4095
    ("", "48 83 ec 10", "sub rsp, 16"),  # room for its digits
    ("", "48 8d 74 24 0f", "lea rsi, [rsp+15]"),
    ("", "c6 06 0a", "mov byte ptr [rsi], 10"),  # line feed
    ("", "b9 0a000000", "mov ecx, 10"),
    ("digit", "31 d2", "xor edx, edx"),
    ("", "f7 f1", "div ecx"),
    ("", "80 c2 30", "add dl, 48"),  # '0'
    ("", "48 ff ce", "dec rsi"),
    ("", "88 16", "mov [rsi], dl"),
    ("", "85 c0", "test eax, eax"),
    ("", "75 f0", "jnz digit"),
    ("", "48 8d 54 24 10", "lea rdx, [rsp+16]"),
    ("", "48 29 f2", "sub rdx, rsi"),  # how many characters
    ("", "b8 01000000", "mov eax, 1"),  # write
    ("", "bf 02000000", "mov edi, 2"),
    ("", "0f 05", "syscall"),
    ("", "b8 10000000", "mov eax, 16"),  # ioctl: what was written must leave the serial port before the kernel panics
    ("", "bf 02000000", "mov edi, 2"),
    ("", "be 09540000", "mov esi, 0x5409"),  # TCSBRK, with a non-zero argument: tcdrain
    ("", "ba 01000000", "mov edx, 1"),
    ("", "0f 05", "syscall"),
    ("", "b8 e7000000", "mov eax, 231"),  # exit_group
    ("", "bf 01000000", "mov edi, 1"),
    ("", "0f 05", "syscall"),
)

_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474E551
_R, _W, _X = 4, 2, 1


def assemble(calls: Sequence[Call]) -> bytes:
    """The whole ELF file that makes `calls` in order. Raises ValueError for what a record cannot hold."""
    code = b"".join(bytes.fromhex(encoded) for _, encoded, _ in LOOP)
    code_offset = _ELF_HEADER.size + 3 * _PROGRAM_HEADER.size
    data_offset = _aligned(code_offset + len(code))
    table = _DATA_ADDRESS + data_offset  # offset and address agree below the page, as the loader's mmap needs it
    data = _data((*calls, Call(_EXIT_GROUP, (0,))), table)
    code = code[:1] + struct.pack("<I", table) + code[5:]
    headers = (
        _elf_header(_CODE_ADDRESS + code_offset)
        + _segment(_R | _X, 0, _CODE_ADDRESS, code_offset + len(code))
        + _segment(_R, data_offset, table, len(data))
        + _PROGRAM_HEADER.pack(_PT_GNU_STACK, _R | _W, 0, 0, 0, 0, 0, 16)
    )
    return (headers + code).ljust(data_offset, b"\0") + data


def _aligned(offset: int) -> int:
    return -(-offset // 16) * 16


def _elf_header(entry: int) -> bytes:
    identity = b"\x7fELF" + bytes([2, 1, 1])  # 64 bits, little endian, version 1
    return _ELF_HEADER.pack(
        identity, 2, 62, 1, entry, _ELF_HEADER.size, 0, 0, _ELF_HEADER.size, _PROGRAM_HEADER.size, 3, 0, 0, 0
    )


def _segment(flags: int, offset: int, address: int, size: int) -> bytes:
    return _PROGRAM_HEADER.pack(_PT_LOAD, flags, offset, address, address, size, size, _PAGE)


class _Pool:
    """Strings and vectors of strings behind the table, each once."""

    def __init__(self, address: int) -> None:
        self._address = address
        self._known: dict[bytes | tuple[bytes, ...], int] = {}
        self.data = bytearray()

    def address(self, value: bytes | tuple[bytes, ...]) -> int:
        """Where `value` is, or from now on will be."""
        if value not in self._known:
            encoded = self._string(value) if isinstance(value, bytes) else self._vector(value)
            self.data += bytes(-len(self.data) % 8)
            self._known[value] = self._address + len(self.data)
            self.data += encoded
        return self._known[value]

    def _string(self, text: bytes) -> bytes:
        if 0 in text:
            raise ValueError(f"a string with a NUL byte in it: {text!r}")
        return text + b"\0"

    def _vector(self, strings: tuple[bytes, ...]) -> bytes:
        return struct.pack(f"<{len(strings) + 1}Q", *map(self.address, strings), 0)


def _data(calls: Sequence[Call], address: int) -> bytes:
    pool = _Pool(address + len(calls) * _RECORD.size)
    return b"".join([_record(call, pool) for call in calls]) + bytes(pool.data)


def _record(call: Call, pool: _Pool) -> bytes:
    if not 0 <= call.nr < 2**32 or not 0 <= call.retries < 2**31 or len(call.args) > 6:
        raise ValueError(f"not a system call: {call}")
    if len(call.ignore) > _MAX_IGNORED or not all(1 <= number <= _MAX_ERRNO for number in call.ignore):
        raise ValueError(f"at most {_MAX_IGNORED} error numbers of 1 to {_MAX_ERRNO} can be ignored: {call.ignore}")
    if KEPT in call.args[1:]:
        raise ValueError("only the first argument can be the kept result")
    message = f"{call.message or f'system call {call.nr} failed'}: error ".encode()
    args = [_argument(argument, pool) for argument in call.args]
    return _RECORD.pack(
        call.nr,
        *(args + [0] * 6)[:6],
        pool.address(message),
        len(message),
        call.retries,
        (_TAKES_KEPT if KEPT in call.args else 0) | (_KEEPS if call.keep else 0),
        0,
        *([-number for number in call.ignore] + [0] * _MAX_IGNORED)[:_MAX_IGNORED],
    )


def _argument(argument: Argument, pool: _Pool) -> int:
    match argument:
        case Kept.KEPT:
            return 0
        case int():
            if not -(2**63) <= argument < 2**64:
                raise ValueError(f"{argument} does not fit 64 bits")
            return argument % 2**64
        case _:
            return pool.address(argument)
