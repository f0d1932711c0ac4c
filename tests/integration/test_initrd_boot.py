"""The initrd and the distribution's kernel in a real, emulated machine; the disk's /sbin/init is again a table of system calls."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from squib.build.initrd import initrd
from squib.build.kernel_package import PackageKernel
from squib.build.kernels import Kernel
from squib.errors import UnavailableError
from squib.formats.syscall_program import Call, assemble
from squib.model.progress import silent
from support import missing, tool

pytestmark = [pytest.mark.vm, pytest.mark.timeout(240)]

WRITE, IOCTL, ACCESS, MKDIR, REBOOT = 1, 16, 21, 83, 169
GREETING = b"the disk is the root\n"
DRAIN = Call(IOCTL, (1, 0x5409, 1))
RESTART = Call(REBOOT, (0xFEE1DEAD, 672274793, 0x01234567, 0), "cannot reboot")
INIT = (
    Call(ACCESS, (b"/dev/vda", 0), "/dev did not move along"),
    Call(ACCESS, (b"/modules", 0), "the initrd is still there", ignore=(errno.ENOENT,)),
    Call(MKDIR, (b"/new", 0o755), "written to", ignore=(errno.EROFS,)),
    Call(WRITE, (1, GREETING, len(GREETING))),
    DRAIN,
    RESTART,
)


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    try:
        return PackageKernel().obtain(silent)
    except UnavailableError as error:
        missing(f"no kernel: {error} ({error.hint})")
        raise


def boot(folder: Path, kernel: Kernel, modules: tuple[tuple[str, bytes], ...], *devices: str) -> str:
    """Boots until QEMU ends, at most 60 s, and gives the console. QEMU is killed on every exit (subprocess.run)."""
    image = folder / "initrd.img"
    image.write_bytes(initrd(modules))
    machine = ("-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "128M", "-nodefaults", "-no-user-config", "-no-reboot")
    line = "console=ttyS0 quiet reboot=t panic=-1 cryptomgr.notests"
    argv = [tool("qemu-system-x86_64"), *machine, "-display", "none", "-serial", "stdio"]
    argv += ["-kernel", str(kernel.vmlinux), "-initrd", str(image), "-append", line, *devices]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace")


def disk(folder: Path, *calls: Call) -> tuple[str, ...]:
    """The arguments for a virtio disk with a small ext4, whose /sbin/init makes `calls`."""
    tree = folder / "tree"
    (tree / "sbin").mkdir(parents=True)
    (tree / "dev").mkdir()
    if calls:
        (tree / "sbin" / "init").write_bytes(assemble(calls))
        (tree / "sbin" / "init").chmod(0o755)
    image = folder / "disk.ext4"
    subprocess.run([tool("mke2fs"), "-q", "-t", "ext4", "-d", tree, image, "2M"], check=True, timeout=30, capture_output=True)
    return drive(image)


def drive(image: Path) -> tuple[str, ...]:
    return ("-drive", f"file={image},if=none,id=d,format=raw,read-only=on", "-device", "virtio-blk-pci,drive=d")


def test_it_hands_over_to_the_disk(tmp_path: Path, kernel: Kernel) -> None:
    console = boot(tmp_path, kernel, kernel.modules, *disk(tmp_path, *INIT))
    assert GREETING.decode().strip() in console
    assert "error" not in console
    assert "panic" not in console


def test_without_a_disk_it_says_so_and_the_machine_ends(tmp_path: Path, kernel: Kernel) -> None:
    console = boot(tmp_path, kernel, kernel.modules)
    assert "squib: initrd: the machine has no disk /dev/vda that this kernel knows: error 2" in console
    assert "Kernel panic - not syncing: Attempted to kill init" in console


def test_a_disk_that_is_no_ext4(tmp_path: Path, kernel: Kernel) -> None:
    (tmp_path / "zeros").write_bytes(bytes(1 << 20))
    console = boot(tmp_path, kernel, kernel.modules, *drive(tmp_path / "zeros"))
    assert "squib: initrd: cannot mount /dev/vda as ext4: error 22" in console


def test_a_disk_without_init(tmp_path: Path, kernel: Kernel) -> None:
    console = boot(tmp_path, kernel, kernel.modules, *disk(tmp_path))
    assert "squib: initrd: cannot start /sbin/init on the disk: error 2" in console


def test_a_module_that_is_none(tmp_path: Path, kernel: Kernel) -> None:
    console = boot(tmp_path, kernel, (("broken", b"no module"),))
    assert "squib: initrd: cannot load the kernel module broken: error 8" in console
