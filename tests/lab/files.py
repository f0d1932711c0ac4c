"""The files that lab hosts are booted from: the root from the last run where nothing in it changed, the others anew."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import host_image, host_kernel, inventory
from lab.layout import Request
from squib.build import ext4, initrd
from squib.host import command
from squib.host.files import publish
from squib.model.tree import File, RootfsTree

_SCRATCH_MIB = 4096


@dataclass(frozen=True, slots=True)
class Files:
    """What lab hosts share: none of them writes it."""

    kernel: Path
    initrd: Path
    root: Path


def build(out: Path, folder: Path, say: Callable[[str], None]) -> Files:
    """The root is kept in `out`, the initrd goes into `folder`."""

    def progress(step: str, done: float | None) -> None:
        if not done:
            say(step)

    kernel = host_kernel.obtain(progress)
    tree = host_image.plan(inventory.collect(out / "inventory", progress))
    root = out / f"root-{_digest(tree)}.ext4"
    if not root.is_file():
        say("writing the lab host's root")
        ext4.write(tree, folder / root.name, ext4.find_programs())
        for old in out.glob("root-*.ext4"):
            old.unlink()
        publish(folder / root.name, root)
    (folder / "initrd.img").write_bytes(initrd.initrd(kernel.modules))
    return Files(kernel.vmlinux, folder / "initrd.img", root)


def scratch(request: Request, disk: Path) -> None:
    """A host's second disk, empty but for the request."""
    options = ("-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0")
    mke2fs = command.find("mke2fs", package="e2fsprogs")
    with tempfile.TemporaryDirectory(dir=disk.parent) as content:
        request.write(Path(content))
        command.run((mke2fs, *options, "-d", content, disk, f"{_SCRATCH_MIB}M"), timeout=60)


def _digest(tree: RootfsTree) -> str:
    whole = hashlib.sha256()
    for entry in tree.entries:
        content = hashlib.sha256(entry.data).digest() if isinstance(entry, File) else repr(entry).encode()
        whole.update(f"{entry.path} {getattr(entry, 'mode', 0)}\0".encode() + content)
    return whole.hexdigest()[:16]
