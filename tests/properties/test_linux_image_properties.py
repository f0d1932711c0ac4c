"""Whatever the bytes are: a kernel, a module, or an ApplianceError."""

from __future__ import annotations

import contextlib
import gzip

from hypothesis import given
from hypothesis import strategies as st

from kernel_bytes import bzimage, module, vmlinux
from squib.errors import ApplianceError
from squib.formats.kernel_module import read_module
from squib.formats.linux_image import read_kernel

KERNELS = (vmlinux(), bzimage(gzip.compress(vmlinux(), mtime=0)))
# Headers are where a change does most.
OFFSETS = st.one_of(st.integers(0, 250), st.integers(0x1F0, 0x270), st.integers(4096, 4200), st.integers(0, 10**4))


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\x7fELF\2\1\1", b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"BZh"]),
)
def test_any_bytes(data: bytes, magic: bytes) -> None:
    for candidate in (magic + data, bzimage(magic + data)):
        with contextlib.suppress(ApplianceError):
            read_kernel(candidate)
    with contextlib.suppress(ApplianceError):
        read_module("x", magic + data)


@given(st.sampled_from(KERNELS), st.lists(st.tuples(OFFSETS, st.integers(0, 255)), max_size=4), st.integers(0, 10**4))
def test_damaged_and_truncated_kernels(kernel: bytes, changes: list[tuple[int, int]], end: int) -> None:
    damaged = bytearray(kernel)
    for offset, value in changes:
        damaged[offset % len(damaged)] = value
    for candidate in (damaged, damaged[:end]):
        with contextlib.suppress(ApplianceError):
            read_kernel(bytes(candidate))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.integers(0, 400))
def test_damaged_and_truncated_modules(changes: list[tuple[int, int]], end: int) -> None:
    damaged = bytearray(module("virtio", "virtio_ring"))
    for offset, value in changes:
        damaged[offset % len(damaged)] = value
    for candidate in (damaged, damaged[:end]):
        with contextlib.suppress(ApplianceError):
            read_module("x", bytes(candidate))
