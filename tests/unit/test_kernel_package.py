"""The distribution's kernel, from an apt and a dpkg that are scripts in a folder: what is asked, kept, and said when it fails."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pwd
import sys
import tarfile
from pathlib import Path

import pytest

from kernel_bytes import RELEASE, bzimage, module, vmlinux
from squib.build.kernel_file import FileKernel
from squib.build.kernel_package import PackageKernel
from squib.errors import ApplianceError, MissingError, SquibError, StorageError, UnavailableError
from squib.model.progress import silent
from support import missing

VIRTIO = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng")
IMAGE, MODULES = f"linux-image-{RELEASE}", f"linux-modules-{RELEASE}"


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def module_files() -> dict[str, bytes]:
    files = {f"lib/modules/{RELEASE}/kernel/{name.replace('_rng', '-rng')}.ko": module(name, "virtio") for name in VIRTIO}
    return {**files, f"lib/modules/{RELEASE}/kernel/virtio.ko": module("virtio")}


class FakeApt:
    """`apt-cache`, `apt-get` and `dpkg-deb` in a folder that is the whole PATH; each call is a line in `log`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        (root / "debs").mkdir()
        self.program(
            "apt-cache",
            "name = sys.argv[-1]; file = root / 'debs' / (name + '.txt')\nprint(file.read_text()) if file.exists() else sys.exit(100)",
        )
        self.program(
            "apt-get",
            "name = sys.argv[-1].partition('=')[0]\n"
            "pathlib.Path(name + '_1_amd64.deb').write_bytes((root / 'debs' / (name + '.deb')).read_bytes())",
        )
        self.program("dpkg-deb", "sys.stdout.buffer.write(pathlib.Path(sys.argv[-1]).read_bytes())")

    def program(self, name: str, text: str) -> None:
        log = f"root = pathlib.Path({str(self.root)!r})\nwith (root / 'log').open('a') as log: log.write({name!r} + chr(10))"
        path = self.bin / name
        path.write_text(f"#!{sys.executable} -IS\nimport pathlib, sys\n{log}\n{text}\n")
        path.chmod(0o755)

    def package(self, name: str, depends: str = "", files: dict[str, bytes] | None = None, version: str = "1") -> None:
        deb = tar(files or {})
        (self.root / "debs" / f"{name}.deb").write_bytes(deb)
        digest = hashlib.sha256(deb).hexdigest()
        text = f"Package: {name}\nVersion: {version}\nDepends: {depends}\nDescription: x\n more\nSHA256: {digest}\n"
        (self.root / "debs" / f"{name}.txt").write_text(text)

    def calls(self) -> list[str]:
        log = self.root / "log"
        return log.read_text().split() if log.exists() else []

    def cached(self) -> list[str]:
        folder = self.root / "cache" / "squib" / "kernels"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    fake = FakeApt(tmp_path)
    monkeypatch.setenv("PATH", str(fake.bin))
    monkeypatch.setattr("squib.host.command._ADMIN_FOLDERS", ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fake


def debian(apt: FakeApt, version: str = "1") -> None:
    kernel = {f"boot/vmlinuz-{RELEASE}": bzimage(gzip.compress(vmlinux(), mtime=0))}
    apt.package("linux-image-cloud-amd64", f"{IMAGE} (= 1)")
    apt.package(IMAGE, "kmod, linux-base (>= 4.3~) | other", {**kernel, **module_files()}, version)


def test_debian_is_followed_to_the_kernel(apt: FakeApt) -> None:
    debian(apt)
    kernel = PackageKernel().obtain(silent)
    assert kernel.record.release == RELEASE
    assert kernel.record.load_mib == 22
    assert [name for name, _ in kernel.modules] == ["virtio", *VIRTIO]
    assert [one.name for one in kernel.inputs] == [IMAGE]
    assert hashlib.sha256(kernel.vmlinux.read_bytes()).hexdigest() == kernel.file.sha256
    assert not [name for name in apt.cached() if "staging" in name]


def test_ubuntu_has_the_modules_in_another_package(apt: FakeApt) -> None:
    apt.package("linux-image-virtual", f"linux-image-unsigned-none | {IMAGE}, linux-firmware")
    apt.package(IMAGE, f"{MODULES}", {f"boot/vmlinuz-{RELEASE}": bzimage(gzip.compress(vmlinux()))})
    apt.package(MODULES, "", module_files())
    kernel = PackageKernel().obtain(silent)
    assert {one.name for one in kernel.inputs} == {IMAGE, MODULES}
    assert len(kernel.modules) == 6


def test_once_cached_nobody_is_asked(apt: FakeApt) -> None:
    debian(apt)
    first = PackageKernel().obtain(silent)
    asked = apt.calls()
    assert PackageKernel().obtain(silent) == first
    assert apt.calls() == asked


def test_refresh_asks_and_downloads_only_what_is_newer(apt: FakeApt) -> None:
    debian(apt)
    first = PackageKernel().obtain(silent)
    assert PackageKernel(refresh=True).obtain(silent) == first
    assert apt.calls().count("apt-get") == 1
    debian(apt, version="2")
    assert PackageKernel(refresh=True).obtain(silent).inputs[0].version == "2"
    assert apt.calls().count("apt-get") == 2


@pytest.mark.parametrize("content", [b"", b"cut off"])
def test_a_damaged_cache_mends_itself(apt: FakeApt, content: bytes) -> None:
    debian(apt)
    first = PackageKernel().obtain(silent)
    first.vmlinux.write_bytes(content)
    assert PackageKernel().obtain(silent) == first
    assert first.vmlinux.stat().st_size == first.file.size
    (first.vmlinux.parent / "package.json").write_bytes(content)
    assert PackageKernel().obtain(silent) == first


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        (
            "pathlib.Path('x_1_amd64.deb').write_bytes(b'half'); sys.exit('E: Failed to fetch: Could not resolve')",
            UnavailableError,
            "network",
        ),
        ("sys.exit('E: Failed to fetch 404  Not Found')", UnavailableError, "apt-get update"),
        ("sys.exit('E: Write error - write (28: No space left on device)')", StorageError, "free some space"),
        ("pathlib.Path('x_1_amd64.deb').write_bytes(b'half')", UnavailableError, "try again"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", UnavailableError, "network"),
        ("pass", UnavailableError, "--kernel"),
    ],
)
def test_a_download_that_fails_leaves_nothing(apt: FakeApt, script: str, error: type[SquibError], message: str) -> None:
    debian(apt)
    apt.program("apt-get", script)
    with pytest.raises(error) as caught:
        PackageKernel().obtain(silent)
    assert message in caught.value.hint
    assert apt.cached() == []


def test_root_lets_apt_s_own_user_download(apt: FakeApt) -> None:
    """The folder is that user's, in folders that let it pass; elsewhere apt would go on as root."""
    debian(apt)
    real = (apt.bin / "apt-get").read_text()
    look = "import os; here = os.getcwd(); (root / 'seen').write_text(f'{here} {os.stat(here).st_uid} {sys.argv[1:-1]}')\n"
    (apt.bin / "apt-get").write_text(real + look)
    PackageKernel().obtain(silent)
    here, owner, options = (apt.root / "seen").read_text().split(maxsplit=2)
    assert not Path(here).exists()
    try:
        user = pwd.getpwnam("_apt").pw_uid
    except KeyError:
        missing("there is no user _apt")
        raise
    if os.geteuid() == 0:
        assert (int(owner), options) == (user, "['-q', 'download']")
        assert all(path.stat().st_mode & 0o001 for path in Path(here).parents)
    else:
        assert int(owner) == os.geteuid()


def test_a_link_in_the_place_of_a_package(apt: FakeApt, tmp_path: Path) -> None:
    debian(apt)
    (tmp_path / "secret").write_text("hidden")
    apt.program("apt-get", "pathlib.Path('x_1_amd64.deb').symlink_to(root / 'secret')")
    with pytest.raises(ApplianceError, match="is a symbolic link, not a regular file"):
        PackageKernel().obtain(silent)
    assert apt.cached() == []


def test_without_apt(apt: FakeApt) -> None:
    (apt.bin / "apt-cache").unlink()
    with pytest.raises(UnavailableError, match="no apt") as caught:
        PackageKernel().obtain(silent)
    assert "--kernel PATH" in caught.value.hint


def test_with_empty_package_lists(apt: FakeApt) -> None:
    with pytest.raises(UnavailableError) as caught:
        PackageKernel().obtain(silent)
    assert "sudo apt-get update" in caught.value.hint


def test_a_package_without_a_kernel(apt: FakeApt) -> None:
    apt.package("linux-image-cloud-amd64", IMAGE)
    apt.package(IMAGE, "", {"README": b"x"})
    with pytest.raises(ApplianceError, match="no kernel in"):
        PackageKernel().obtain(silent)
    assert apt.cached() == []


def test_a_kernel_that_a_person_names(apt: FakeApt, tmp_path: Path) -> None:
    path = tmp_path / "my-vmlinuz"
    path.write_bytes(bzimage(gzip.compress(vmlinux())))
    alone = FileKernel(path).obtain(silent)
    assert (alone.modules, alone.record.source) == ((), "the file my-vmlinuz")
    for name, data in module_files().items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    source = FileKernel(path, tmp_path / "lib" / "modules" / RELEASE)
    first = source.obtain(silent)
    assert [name for name, _ in first.modules] == ["virtio", *VIRTIO]
    assert source.obtain(silent) == first
    assert FileKernel(path).obtain(silent).modules == ()
    assert apt.calls() == []


def test_a_kernel_or_folder_that_is_not_there(apt: FakeApt, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"the kernel .*/none is not there") as caught:
        FileKernel(tmp_path / "none").obtain(silent)
    assert "the path of a vmlinux or a bzImage, or --kernel tuned" in caught.value.hint
    with pytest.raises(MissingError) as caught:
        FileKernel(Path("tuend")).obtain(silent)
    assert caught.value.hint == "did you mean --kernel tuned?"
    path = tmp_path / "vmlinux"
    path.write_bytes(vmlinux())
    with pytest.raises(MissingError, match="there is no folder"):
        FileKernel(path, tmp_path / "none").obtain(silent)
