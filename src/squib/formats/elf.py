"""What the dynamic linker reads of an ELF file, and the file without all that it does not read.

Only 64-bit little-endian files are known: what squib's machines run. The rule: a cut file is the bytes up to the end of the
last segment, and no section headers; nothing that is mapped at run time changes. The kernel and ld.so work from the program
headers alone (System V ABI, chapter 5), so no `strip` program is needed, and its version cannot change the result.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

__all__ = ["MAGIC", "Linking", "cut_symbols", "go_architecture", "is_loadable", "is_same_machine", "read_linking"]

MAGIC = b"\x7fELF"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_CLASS_64_LITTLE = b"\x7fELF\x02\x01"
_GO_ARCHITECTURES = {62: "amd64", 183: "arm64"}
"""e_machine → GOARCH."""


@dataclass(frozen=True, slots=True)
class Linking:
    """`interpreter` is PT_INTERP or empty; `needed` the DT_NEEDED in order; `rpath` and `runpath` as written, split at `:`."""

    interpreter: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


def read_linking(data: bytes) -> Linking:
    """What `data` asks of the dynamic linker. Raises ValueError where it is no ELF file."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    interpreter, soname, needed = "", "", []
    paths: dict[str, tuple[str, ...]] = {}
    try:
        for segment in ELFFile(io.BytesIO(data)).iter_segments():
            if isinstance(segment, InterpSegment):
                interpreter = segment.get_interp_name()
            elif isinstance(segment, DynamicSegment):
                for tag in segment.iter_tags():
                    match tag.entry.d_tag:
                        case "DT_NEEDED":
                            needed.append(_text(tag, "needed"))
                        case "DT_SONAME":
                            soname = _text(tag, "soname")
                        case "DT_RPATH":
                            paths["rpath"] = tuple(filter(None, _text(tag, "rpath").split(":")))
                        case "DT_RUNPATH":
                            paths["runpath"] = tuple(filter(None, _text(tag, "runpath").split(":")))
    except (ELFError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"no ELF file: {error}") from error
    return Linking(interpreter, soname, tuple(needed), paths.get("rpath", ()), paths.get("runpath", ()))


def _text(tag: object, name: str) -> str:
    # pyelftools sets these attributes as it reads; its types do not have them.
    return str(getattr(tag, name))


def is_same_machine(data: bytes, other: bytes) -> bool:
    """Whether both begin as ELF files of one class, byte order and machine; 20 bytes of each are enough."""
    return data[:4] == MAGIC and data[4:6] == other[4:6] and data[18:20] == other[18:20]


def is_loadable(data: bytes) -> bool:
    """Whether `data` is a whole 64-bit little-endian ELF file with segments: a program or a shared library, no object file."""
    try:
        cut_symbols(data)
    except ValueError:
        return False
    return int(_HEADER.unpack_from(data)[10]) > 0


def go_architecture(data: bytes) -> str:
    """The processor that `data` is for, by the name that container images use; empty where it is another."""
    return _GO_ARCHITECTURES.get(int.from_bytes(data[18:20], "little"), "") if data[:6] == _CLASS_64_LITTLE else ""


def cut_symbols(data: bytes) -> bytes:
    """`data` without section headers and without what lies behind the last segment: symbol tables, debug information.

    Raises ValueError where it is no 64-bit little-endian ELF file or ends inside a segment.
    """
    if data[:6] != _CLASS_64_LITTLE or len(data) < _HEADER.size:
        raise ValueError("no 64-bit little-endian ELF file")
    fields = list(_HEADER.unpack_from(data))
    table, entry_size, count = fields[5], fields[9], fields[10]
    end = max(_HEADER.size, table + entry_size * count)
    if end > len(data) or (count and entry_size < _PROGRAM_HEADER.size):
        raise ValueError("its program headers are cut off")
    for number in range(count):
        _, _, offset, _, _, size, _, _ = _PROGRAM_HEADER.unpack_from(data, table + number * entry_size)
        end = max(end, offset + size) if size else end
    if end > len(data):
        raise ValueError("it ends inside a segment")
    fields[6] = fields[12] = fields[13] = 0  # e_shoff, e_shnum, e_shstrndx: no section headers
    return _HEADER.pack(*fields) + data[_HEADER.size : end]
