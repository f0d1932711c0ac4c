"""An artifact of a few bytes, for tests that boot nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from squib.build.kernels import Kernel
from squib.model.appliance import Appliance
from squib.model.image import MANIFEST, FileRecord, KernelRecord, Manifest
from squib.model.progress import Progress
from squib.wire import guest_spec, manifest

NAMES = ("initrd.img", "rootfs.ext4", "vmlinux")


class NoKernel:
    """A kernel source that is not to be asked."""

    def obtain(self, progress: Progress) -> Kernel:
        pytest.fail("nothing is to be built")


def write(folder: Path, content: str = "first") -> Path:
    """An artifact whose files are a few bytes, and whose manifest is right."""
    folder.mkdir(exist_ok=True)
    records = []
    for name in NAMES:
        data = f"{content} {name}".encode()
        (folder / name).write_bytes(data)
        records.append(FileRecord(name, len(data), hashlib.sha256(data).hexdigest()))
    known = Manifest("0", guest_spec.ABI, Appliance("shop", "a:b", folder), KernelRecord("6", "test", 1), tuple(records), ())
    (folder / MANIFEST).write_bytes(manifest.encode(known))
    return folder
