from __future__ import annotations

import gzip
import lzma
import struct

import pytest
import zstandard

from kernel_bytes import RELEASE, module
from squib.build.kernel_modules import read_builtin, select_modules
from squib.errors import ApplianceError
from squib.formats.kernel_module import KernelModule, load_order, module_name, read_module, without_signature
from squib.model.progress import silent

DATA = module("virtio_blk", "virtio", "virtio-ring")


@pytest.mark.parametrize("data", [DATA, gzip.compress(DATA), lzma.compress(DATA), zstandard.ZstdCompressor().compress(DATA)])
def test_a_module_of_each_compression(data: bytes) -> None:
    read = read_module("virtio_blk", data)
    assert (read.name, read.depends, read.release, read.data) == ("virtio_blk", ("virtio", "virtio_ring"), RELEASE, DATA)


@pytest.mark.parametrize(
    "data", [b"", b"no module", DATA[:70], DATA[:-1], module("x", machine=183), gzip.compress(DATA)[:-9], b"\x7fELF"]
)
def test_what_is_no_module(data: bytes) -> None:
    with pytest.raises(ApplianceError, match="the kernel module x"):
        read_module("x", data)


def test_names() -> None:
    assert [module_name(name) for name in ("virtio-rng.ko.xz", "ext4.ko", "a.ko.zst", "a.ko.gz", "modules.dep", "a.c")] == [
        "virtio_rng",
        "ext4",
        "a",
        "a",
        "",
        "",
    ]


def graph(**depends: tuple[str, ...]) -> dict[str, KernelModule]:
    return {name: KernelModule(name, b"", needs, f"{RELEASE} SMP") for name, needs in depends.items()}


def test_dependencies_come_first_and_once() -> None:
    order = load_order(
        ("net", "blk"), graph(net=("failover", "virtio"), blk=("virtio",), virtio=("ring",), ring=(), failover=(), other=())
    )
    assert [one.name for one in order] == ["failover", "ring", "virtio", "net", "blk"]


def test_a_cycle_and_a_missing_one_are_errors() -> None:
    with pytest.raises(ApplianceError, match="a -> b -> a"):
        load_order(("a",), graph(a=("b",), b=("a",)))
    with pytest.raises(ApplianceError, match="kernel module b, which a needs"):
        load_order(("a",), graph(a=("b",)))


def select(present: tuple[str, ...], builtin: str = "", release: str = RELEASE) -> list[str]:
    files = {name: (lambda name=name: module(name)) for name in present}
    return [one.name for one in select_modules(files, read_builtin(builtin), release, silent)]


def test_builtin_modules_are_not_loaded() -> None:
    assert select(("virtio_pci", "virtio_net"), "kernel/drivers/block/virtio_blk.ko\nkernel/x/virtio_mmio.ko\n") == [
        "virtio_pci",
        "virtio_net",
    ]


def test_without_a_disk_driver_no_guest_boots() -> None:
    with pytest.raises(ApplianceError, match="has no virtio_blk"):
        select(("virtio_pci",))


def test_what_is_missing_otherwise_is_told() -> None:
    said: list[str] = []
    select_modules({}, read_builtin("a/virtio_blk.ko"), RELEASE, lambda step, done: said.append(step))
    assert len(said) == 4


def test_modules_of_another_kernel_are_refused() -> None:
    with pytest.raises(ApplianceError, match=r"is for kernel 6\.6\.6-test, and the kernel is 7"):
        select(("virtio_blk",), release="7")


def signed(data: bytes, signature: bytes) -> bytes:
    """As scripts/sign-file.c of the kernel does it."""
    return data + signature + struct.pack(">8xI", len(signature)) + b"~Module signature appended~\n"


def test_a_signature_is_cut_away_and_nothing_else() -> None:
    plain = module("virtio_blk")
    assert without_signature(signed(plain, b"\x30\x82" * 300)) == plain
    assert without_signature(plain) == plain
    for damaged in (b"~Module signature appended~\n", signed(b"", b"x")[1:], signed(plain, b"x" * 9)[-48:]):
        assert without_signature(damaged) == damaged, "a length that cannot be"
    assert read_module("virtio_blk", without_signature(signed(plain, b"x" * 9))).name == "virtio_blk"
