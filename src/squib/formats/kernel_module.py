"""Linux kernel modules: what a .ko file says of itself, and in which order several have to be loaded. Pure.

A module's `.modinfo` section is a list of NUL-terminated `key=value` strings (include/linux/module.h, MODULE_INFO); `depends`
names the modules that must be there before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from squib.errors import ApplianceError
from squib.formats.decompress import compression, decompress

__all__ = ["SUFFIXES", "KernelModule", "load_order", "module_name", "read_module", "without_signature"]

SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")

_MAX_UNPACKED = 64 * 1024 * 1024

# elf(5): Elf64_Ehdr; Elf64_Shdr is name, type, flags, addr, offset, size, link, info, addralign, entsize
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_EM_X86_64 = 62

# include/linux/module_signature.h: at the file's end stand the signature, a `struct module_signature` (8 bytes, then the
# signature's length, big-endian), and this.
_SIGNED = b"~Module signature appended~\n"
_SIGNATURE = struct.Struct(">8xI")


@dataclass(frozen=True, slots=True)
class KernelModule:
    """`name` with `_` for `-`, as the kernel lists it; `data` is the unpacked .ko; `depends` are names like it."""

    name: str
    data: bytes
    depends: tuple[str, ...]
    vermagic: str

    @property
    def release(self) -> str:
        """The kernel release that it was built for."""
        return self.vermagic.partition(" ")[0]


def module_name(file_name: str) -> str:
    """The module in a file of that name (`virtio-rng.ko.xz` is `virtio_rng`), or an empty string for any other file."""
    for suffix in SUFFIXES:
        if file_name.endswith(suffix):
            return file_name.removesuffix(suffix).replace("-", "_")
    return ""


def read_module(name: str, data: bytes) -> KernelModule:
    """The module `name` in `data`, packed or not. Raises ApplianceError where it is none, or damaged."""
    what = f"the kernel module {name}"
    if compression(data):
        data = decompress(data, limit=_MAX_UNPACKED, what=what)
    info = _modinfo(data, what)
    if "vermagic" not in info:
        raise ApplianceError(f"{what} is no kernel module: it does not say for which kernel it is", hint="get it anew")
    depends = tuple(part.replace("-", "_") for part in info.get("depends", "").split(",") if part)
    return KernelModule(info.get("name", name).replace("-", "_"), data, depends, info["vermagic"])


def without_signature(data: bytes) -> bytes:
    """An unpacked .ko without the signature at its end; as it is where it has none, or one that makes no sense."""
    if not data.endswith(_SIGNED) or len(data) < len(_SIGNED) + _SIGNATURE.size:
        return data
    signature_end = len(data) - len(_SIGNED) - _SIGNATURE.size
    (length,) = _SIGNATURE.unpack_from(data, signature_end)
    return data[: signature_end - length] if length <= signature_end else data


def _modinfo(data: bytes, what: str) -> dict[str, str]:
    try:
        content = _section(data, b".modinfo")
    except (struct.error, IndexError, ValueError) as error:
        raise ApplianceError(f"{what} is damaged, cut off, or not one for x86-64", hint="get it anew") from error
    pairs = [line.decode("utf-8", "replace").partition("=") for line in content.split(b"\0") if line]
    return {key: value for key, _, value in pairs}


def _section(data: bytes, name: bytes) -> bytes:
    """The content of a section of an x86-64 object file, empty where there is none. Raises ValueError and struct.error."""
    identity, _, machine, _, _, _, table, _, _, _, _, entry_size, count, names_index = _ELF_HEADER.unpack_from(data)
    if not identity.startswith(b"\x7fELF\x02\x01") or machine != _EM_X86_64 or entry_size != _SECTION_HEADER.size:
        raise ValueError("not an ELF file for x86-64")
    sections = [_SECTION_HEADER.unpack_from(data, table + index * entry_size) for index in range(count)]
    names = _content(data, sections[names_index])
    for section in sections:
        if names[section[0] :].partition(b"\0")[0] == name:
            return _content(data, section)
    return b""


def _content(data: bytes, section: tuple[int, ...]) -> bytes:
    offset, size = section[4], section[5]
    if offset + size > len(data):
        raise ValueError(f"a section ends at {offset + size}")
    return data[offset : offset + size]


def load_order(wanted: Iterable[str], modules: Mapping[str, KernelModule]) -> tuple[KernelModule, ...]:
    """`wanted` and all they depend on, each once, dependencies first; the order is the same for the same input.

    Raises ApplianceError for one that is not in `modules`, and for modules that depend on each other.
    """
    ordered: dict[str, KernelModule] = {}
    for name in wanted:
        _visit(name, modules, ordered, ())
    return tuple(ordered.values())


def _visit(name: str, modules: Mapping[str, KernelModule], ordered: dict[str, KernelModule], above: tuple[str, ...]) -> None:
    if name in ordered:
        return
    if name in above:
        raise ApplianceError(f"kernel modules depend on each other: {' -> '.join((*above, name))}", hint="get them anew")
    module = modules.get(name)
    if module is None:
        needed_by = f", which {above[-1]} needs" if above else ""
        raise ApplianceError(f"the kernel module {name}{needed_by} is not there", hint="give a whole lib/modules/RELEASE")
    for other in module.depends:
        _visit(other, modules, ordered, (*above, name))
    ordered[name] = module
