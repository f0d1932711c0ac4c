"""Small kernels and modules for tests, made as the formats' documents say; nothing in them can run."""

from __future__ import annotations

import struct

RELEASE = "6.6.6-test"


def note(kind: int = 18, name: bytes = b"Xen\0") -> bytes:
    return struct.pack("<III", len(name), 4, kind) + name + struct.pack("<I", 0x1000000)


def vmlinux(
    *, banner: str = f"Linux version {RELEASE} (someone)", machine: int = 62, notes: bytes | None = None, fill: int = 0
) -> bytes:
    """An ELF kernel: 4 KiB of headers, one segment at 16 MiB that is 3 MiB long in memory, a note, bytes that nobody loads."""
    notes = note() if notes is None else notes
    content = notes + banner.encode() + b"\0" + b"\x5a" * fill
    load = struct.pack("<IIQQQQQQ", 1, 5, 4096, 0xFFFFFFFF81000000, 0x1000000, len(content) + 64, 3 << 20, 4096)
    pt_note = struct.pack("<IIQQQQQQ", 4, 4, 4096, 0xFFFFFFFF81000000, 0x1000000, len(notes), len(notes), 4)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, 0x1000000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    return (header + load + pt_note).ljust(4096, b"\0") + content + bytes(64) + b"relocations"


def bzimage(payload: bytes, *, version: int = 0x20F, flags: int = 1, release: str = RELEASE) -> bytes:
    """A bzImage whose payload is `payload`: load address 16 MiB, init_size 5.5 MiB."""
    data = bytearray(1024)
    data[0x1F1] = 1
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x206, version)
    struct.pack_into("<H", data, 0x20E, 0x300 - 0x200)
    struct.pack_into("<H", data, 0x236, flags)
    struct.pack_into("<II", data, 0x248, 64, len(payload))
    struct.pack_into("<QI", data, 0x258, 0x1000000, 0x580000)
    text = f"{release} (someone) #1".encode() + b"\0"
    data[0x300 : 0x300 + len(text)] = text
    return bytes(data) + bytes(64) + payload + b"after the payload"


def module(name: str, *depends: str, release: str = RELEASE, machine: int = 62) -> bytes:
    """A .ko with a .modinfo section."""
    info = f"name={name}\0depends={','.join(depends)}\0vermagic={release} SMP mod_unload\0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    table = 64 + len(info) + len(names)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 1, machine, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    sections = (
        bytes(64)
        + struct.pack("<IIQQQQIIQQ", 1, 1, 2, 0, 64, len(info), 0, 0, 1, 0)
        + struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, 64 + len(info), len(names), 0, 0, 1, 0)
    )
    return header + info + names + sections
