from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
from collections.abc import Callable

import lz4.block
import pytest
import zstandard
from elftools.elf.elffile import ELFFile

from kernel_bytes import RELEASE, bzimage, note, vmlinux
from squib.errors import ApplianceError
from squib.formats.linux_image import read_kernel


def lz4_legacy(data: bytes) -> bytes:
    blocks = [lz4.block.compress(data[at : at + (8 << 20)], store_size=False) for at in range(0, len(data), 8 << 20)]
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(block)) + block for block in blocks)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4_legacy,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_bzimage_of_each_compression(compression: str) -> None:
    kernel = vmlinux(fill=20000)
    payload = COMPRESSIONS[compression](kernel) + struct.pack("<I", len(kernel))
    image = read_kernel(bzimage(payload))
    assert (image.release, image.load_mib) == (RELEASE, 22)  # 16 + 5.5 MiB
    assert image.vmlinux == read_kernel(kernel).vmlinux


def test_more_than_one_lz4_block() -> None:
    kernel = vmlinux(fill=9 << 20)
    assert read_kernel(bzimage(lz4_legacy(kernel) + struct.pack("<I", len(kernel)))).vmlinux == read_kernel(kernel).vmlinux


def test_a_vmlinux_loses_only_what_nobody_loads() -> None:
    kernel = vmlinux(fill=5000)
    image = read_kernel(kernel)
    assert (image.release, image.load_mib) == (RELEASE, 19)
    assert len(image.vmlinux) < len(kernel)
    assert b"relocations" not in image.vmlinux
    before, after = (ELFFile(io.BytesIO(data)) for data in (kernel, image.vmlinux))
    assert after.header["e_entry"] == before.header["e_entry"]
    for old, new in zip(before.iter_segments(), after.iter_segments(), strict=True):
        for field in ("p_type", "p_flags", "p_vaddr", "p_paddr", "p_memsz"):
            assert old[field] == new[field]
        assert old.data().rstrip(b"\0") == new.data().rstrip(b"\0")
        assert new["p_offset"] % new["p_align"] == new["p_vaddr"] % new["p_align"]
    assert read_kernel(image.vmlinux) == image


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a Linux kernel"),
        (b"#!/bin/sh\n", "not a Linux kernel"),
        (gzip.compress(b"x", mtime=0), "compressed file"),
        (vmlinux()[:30], "cut off inside its ELF header"),
        (vmlinux()[:100], "cut off inside its program headers"),
        (vmlinux()[:-90], "a segment ends at"),
        (vmlinux(machine=183), "not one for x86-64"),
        (vmlinux(notes=note(kind=17)), "no PVH entry point"),
        (vmlinux(notes=note(name=b"GNU\0")), "no PVH entry point"),
        (vmlinux(banner="Windows"), "no version banner"),
        (bzimage(b"\x89PNG\r\n\x1a\n"), "compressed in a way"),
        (bzimage(gzip.compress(b"x")), "not a Linux kernel|cut off|not one|ELF"),
        (bzimage(gzip.compress(vmlinux())[:-20]), "damaged or cut off"),
        (bzimage(lzma.compress(vmlinux())[:-20]), "damaged or cut off"),
        (bzimage(gzip.compress(vmlinux()))[:-40], "its payload ends at"),
        (bzimage(gzip.compress(vmlinux()), version=0x204), "boot protocol 2.04"),
        (bzimage(gzip.compress(vmlinux()), flags=0), "not one for x86-64"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(ApplianceError, match=message):
        read_kernel(data)
