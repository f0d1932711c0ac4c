"""Linux kernels for x86-64: a bzImage (Documentation/arch/x86/boot.rst) or an ELF vmlinux, made into what a VMM loads directly.

The result is a small ELF with the loadable segments and the PVH note and nothing else: the kernel's build leaves 2 MiB holes,
section headers and relocations in it, which neither Firecracker nor QEMU reads. Whatever the bytes are, the outcome is a
`KernelImage` or an ApplianceError.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from squib.errors import ApplianceError
from squib.formats.decompress import compression, decompress

__all__ = ["KernelImage", "read_kernel"]

_MIB = 1024 * 1024
_MAX_UNPACKED = 512 * _MIB
_HINT = "give a bzImage or a vmlinux for x86-64, such as /boot/vmlinuz-*"

# The setup header (boot.rst, "The Real-Mode Kernel Header"): offsets from the start of the file.
_SETUP_SECTS, _MAGIC, _VERSION, _KERNEL_VERSION = 0x1F1, 0x202, 0x206, 0x20E
_XLOADFLAGS, _PAYLOAD_OFFSET, _PREF_ADDRESS, _INIT_SIZE, _HEADER_END = 0x236, 0x248, 0x258, 0x260, 0x264
_XLF_KERNEL_64 = 1
_MIN_PROTOCOL = 0x20C  # the first with xloadflags; Linux 3.8

_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_ELF_MAGIC = b"\x7fELF"
_ELF64_LITTLE = bytes([2, 1])
_EM_X86_64 = 62
_PT_LOAD, _PT_NOTE = 1, 4
_MAX_SEGMENTS = 64
_PAGE = 4096
_NOTE_ALIGN = 4  # QEMU steps from note to note by it (include/hw/elf_ops.h, get_elf_note_type)

_PVH_NOTE = (b"Xen\0", 18)  # XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h)
_BANNER = re.compile(rb"Linux version ([!-~]{1,64}) \(")


@dataclass(frozen=True, slots=True)
class KernelImage:
    """`vmlinux`: an ELF to load as it is; `release`: as `uname -r` says; `load_mib`: where the loaded kernel ends, in MiB."""

    vmlinux: bytes
    release: str
    load_mib: int


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    file_size: int
    mem_size: int


def read_kernel(data: bytes) -> KernelImage:
    """The kernel in `data`. Raises ApplianceError, which says what is wrong with it."""
    if data.startswith(_ELF_MAGIC):
        return _read_elf(data)
    if len(data) >= _HEADER_END and data[_MAGIC : _MAGIC + 4] == b"HdrS":
        return _read_bzimage(data)
    if compression(data):
        raise ApplianceError("the kernel is a compressed file, not a bzImage", hint="unpack it first, to a vmlinux")
    if data[0x38:0x3C] == b"ARM\x64":
        raise ApplianceError("the kernel is one for ARM64", hint=_HINT)
    raise ApplianceError("that is not a Linux kernel", hint=_HINT)


def _read_bzimage(data: bytes) -> KernelImage:
    (version,) = struct.unpack_from("<H", data, _VERSION)
    (flags,) = struct.unpack_from("<H", data, _XLOADFLAGS)
    if version < _MIN_PROTOCOL:
        raise ApplianceError(f"the kernel has boot protocol {version >> 8}.{version & 255:02}, older than 2.12", hint=_HINT)
    if not flags & _XLF_KERNEL_64:
        raise ApplianceError("the kernel is not one for x86-64", hint=_HINT)
    offset, length = struct.unpack_from("<II", data, _PAYLOAD_OFFSET)
    start = (data[_SETUP_SECTS] or 4) * 512 + 512 + offset
    if length <= 4 or start + length > len(data):
        raise ApplianceError(
            f"the kernel is cut off: {len(data):,} bytes, and its payload ends at {start + length:,}", hint="get it anew"
        )
    payload = data[start : start + length]
    image = _read_elf(decompress(payload, limit=_MAX_UNPACKED, what="the kernel's payload"))
    pref_address, init_size = struct.unpack_from("<QI", data, _PREF_ADDRESS)
    if pref_address > 1 << 40:
        raise ApplianceError(f"the kernel wants to be loaded at {pref_address:#x}: that cannot be right", hint="get it anew")
    # init_size is what the kernel claims from its load address on before it reads the memory map.
    return KernelImage(image.vmlinux, _release(data) or image.release, -(-(pref_address + init_size) // _MIB))


def _release(data: bytes) -> str:
    """The release that the setup header points to, or an empty string."""
    start = struct.unpack_from("<H", data, _KERNEL_VERSION)[0] + 0x200
    text = data[start : start + 256].partition(b"\0")[0].partition(b" ")[0]
    return text.decode("ascii") if re.fullmatch(rb"[!-~]{1,64}", text) else ""


def _read_elf(data: bytes) -> KernelImage:
    segments = _segments(data)
    loads = [segment for segment in segments if segment.kind == _PT_LOAD]
    if not loads:
        raise ApplianceError("the kernel's ELF file has nothing to load", hint=_HINT)
    notes = [segment for segment in segments if segment.kind == _PT_NOTE]
    if not any(_has_pvh_note(data[note.offset : note.offset + note.file_size]) for note in notes):
        raise ApplianceError("the kernel has no PVH entry point", hint="use a kernel that was built with CONFIG_PVH=y")
    banner = _BANNER.search(data)
    if banner is None:
        raise ApplianceError("the ELF file is not a Linux kernel: it has no version banner", hint=_HINT)
    end = max(segment.paddr + segment.mem_size for segment in loads)
    if end > 1 << 40:
        raise ApplianceError(f"the kernel would end at {end:#x} in memory: that cannot be right", hint="get it anew")
    return KernelImage(_compact(data, loads, notes), banner[1].decode("ascii"), -(-end // _MIB))


def _segments(data: bytes) -> list[_Segment]:
    if len(data) < _ELF_HEADER.size:
        raise ApplianceError("the kernel is cut off inside its ELF header", hint="get it anew")
    identity, _, machine, _, _, table, _, _, _, entry_size, count, *_ = _ELF_HEADER.unpack_from(data)
    if identity[4:6] != _ELF64_LITTLE or machine != _EM_X86_64:
        raise ApplianceError("the kernel is not one for x86-64", hint=_HINT)
    if entry_size != _PROGRAM_HEADER.size or not 0 < count <= _MAX_SEGMENTS:
        raise ApplianceError("the ELF file is not a kernel: its program headers are none that can be loaded", hint=_HINT)
    if table + count * entry_size > len(data):
        raise ApplianceError("the kernel is cut off inside its program headers", hint="get it anew")
    segments = [_segment(data, table + index * entry_size) for index in range(count)]
    return [segment for segment in segments if segment.kind in {_PT_LOAD, _PT_NOTE}]


def _segment(data: bytes, at: int) -> _Segment:
    kind, flags, offset, vaddr, paddr, file_size, mem_size, _ = _PROGRAM_HEADER.unpack_from(data, at)
    if offset + file_size > len(data):
        message = f"the kernel is cut off: {len(data):,} bytes, and a segment ends at {offset + file_size:,}"
        raise ApplianceError(message, hint="get it anew")
    return _Segment(kind, flags, offset, vaddr, paddr, file_size, mem_size)


def _has_pvh_note(notes: bytes) -> bool:
    """Whether the entry point for VMMs is among `notes` (elf(5), "Notes")."""
    offset = 0
    while offset + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, offset)
        name = notes[offset + 12 : offset + 12 + name_size]
        if (name, kind) == _PVH_NOTE and size in {4, 8}:
            return True
        offset += 12 + -(-name_size // 4) * 4 + -(-size // 4) * 4
    return False


def _compact(data: bytes, loads: list[_Segment], notes: list[_Segment]) -> bytes:
    """The same program in the fewest pages: headers, then each segment without the zeros at its end."""
    count = len(loads) + len(notes)
    body = bytearray(_ELF_HEADER.size + count * _PROGRAM_HEADER.size)
    table = []
    for segment in (*loads, *notes):
        content = data[segment.offset : segment.offset + segment.file_size]
        if segment.kind == _PT_LOAD:
            content = content.rstrip(b"\0")  # memory beyond the file's part is zero (elf(5), p_memsz)
        align = _PAGE if segment.kind == _PT_LOAD else _NOTE_ALIGN
        body += bytes((segment.vaddr - len(body)) % align)  # offset and address agree below the alignment (elf(5), p_align)
        place = (len(body), segment.vaddr, segment.paddr, len(content), max(segment.mem_size, len(content)))
        table.append(_PROGRAM_HEADER.pack(segment.kind, segment.flags, *place, align))
        body += content
    identity, kind, machine, version, entry, *_ = _ELF_HEADER.unpack_from(data)
    sizes = (_ELF_HEADER.size, _PROGRAM_HEADER.size, count, 0, 0, 0)
    header = _ELF_HEADER.pack(identity, kind, machine, version, entry, _ELF_HEADER.size, 0, 0, *sizes)
    body[: len(header) + count * _PROGRAM_HEADER.size] = header + b"".join(table)
    return bytes(body)
