from __future__ import annotations

from squib.build.initrd import initrd, plan
from squib.formats.cpio import unpack
from squib.model.tree import Device, File, RootfsTree

MODULES = (("virtio", b"first"), ("virtio_blk", b"second"))


def files(tree: RootfsTree) -> dict[str, bytes]:
    return {entry.path: entry.data for entry in tree.entries if isinstance(entry, File)}


def test_it_holds_init_the_console_and_the_modules() -> None:
    tree = plan(MODULES)
    assert Device("/dev/console", 5, 1, 0o600, "the kernel opens it for /init, before anything is mounted") in tree.entries
    assert set(files(tree)) == {"/init", "/modules/virtio.ko", "/modules/virtio_blk.ko"}
    assert all(entry.why for entry in tree.entries)


def test_modules_are_named_in_the_order_to_load_them() -> None:
    init = files(plan(MODULES))["/init"]
    assert 0 < init.index(b"/modules/virtio.ko\0") < init.index(b"/modules/virtio_blk.ko\0") < init.index(b"/sbin/init\0")
    turned = files(plan(MODULES[::-1]))["/init"]
    assert 0 < turned.index(b"/modules/virtio_blk.ko\0") < turned.index(b"/modules/virtio.ko\0")


def test_without_modules_there_is_nothing_of_them() -> None:
    tree = plan(())
    assert set(files(tree)) == {"/init"}
    assert b"/modules" not in files(tree)["/init"]


def test_equal_modules_are_equal_bytes_that_can_be_read_back() -> None:
    assert initrd(MODULES) == initrd(MODULES)
    assert files(unpack(initrd(MODULES))) == files(plan(MODULES))
