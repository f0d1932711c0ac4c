"""The kernels to boot: the distribution's, and the tuned one where it was built."""

from __future__ import annotations

import sys

import msgspec

from squib.build.kernels import Kernel
from squib.errors import MissingError
from squib.model.progress import silent
from squib.wiring import kernel_source

_UNPACKS = b"Trying to unpack rootfs image as initramfs"  # init/initramfs.c, with CONFIG_BLK_DEV_INITRD


class Candidate(msgspec.Struct, frozen=True):
    """`name` as it stands in results."""

    name: str
    kernel: Kernel

    @property
    def takes_initramfs(self) -> bool:
        """Whether it was built to unpack one."""
        return _UNPACKS in self.kernel.vmlinux.read_bytes()


def candidates() -> list[Candidate]:
    """Raises SquibError."""
    found = [Candidate("distribution's", kernel_source(None, None).obtain(silent))]
    try:
        found.append(Candidate("tuned", kernel_source("tuned", None).obtain(silent)))
    except MissingError as error:
        print(f"bench: boot: without the tuned kernel: {error}; {error.hint}", file=sys.stderr)
    return found
