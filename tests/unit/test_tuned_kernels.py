"""The tuned kernels that were built: which one is meant, what is current, what removing takes along."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squib.build import kernel_cache
from squib.build.apt import Package
from squib.build.kernel_build import FRAGMENT, BuildKey, config_path, fragment
from squib.build.kernels import Kernel
from squib.build.tuned_kernels import TunedKernel, find, installed, remove
from squib.cli.json_output import kernel_json
from squib.errors import MissingError, UsageError
from squib.formats.linux_image import KernelImage
from squib.host.files import write_atomic
from squib.model.image import InputRecord
from squib.model.progress import silent
from squib.wiring import house, kernel_source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "squib/kernels"


def keep(name: str, content: bytes, *, made_from: bytes | None = None, built: int = 0) -> Kernel:
    """A kernel as `squib kernel build` would have kept it."""
    digest = kernel_cache.sha256_hex(fragment() if made_from is None else made_from)
    write_atomic(config_path(name), b"CONFIG_SMP=y\n")
    kernel = kernel_cache.store(
        name, KernelImage(content, "6.1-squib", 17), (), source="a test", inputs=(InputRecord(FRAGMENT, "", digest),), needs_initrd=False
    )  # fmt: skip
    os.utime(kernel_cache.folder() / f"{name}.json", (built, built))
    return kernel


def test_the_newest_of_this_squib_is_meant() -> None:
    keep("tuned-a", b"old", built=1000)
    mine = keep("tuned-b", b"new", built=2000)
    keep("tuned-c", b"another", made_from=b"CONFIG_OLD=y\n", built=3000)
    assert [(one.name, one.current) for one in installed()] == [("tuned-c", False), ("tuned-b", True), ("tuned-a", True)]
    assert TunedKernel().obtain(silent) == mine
    assert mine.needs_initrd is False
    assert find("tuned-a").kernel.vmlinux.read_bytes() == b"old"
    assert find("tuned").config == "CONFIG_SMP=y\n"
    assert kernel_json(find("tuned"))["current"] is True


def test_none_is_built() -> None:
    with pytest.raises(MissingError, match=r"no tuned kernel is built yet$") as caught:
        TunedKernel().obtain(silent)
    assert caught.value.hint.startswith("squib kernel build")
    keep("tuned-c", b"another", made_from=b"CONFIG_OLD=y\n")
    with pytest.raises(MissingError, match="of another squib"):
        TunedKernel().obtain(silent)
    with pytest.raises(MissingError, match="no kernel tuned-x"):
        find("tuned-x")


def test_a_damaged_one_is_none() -> None:
    keep("tuned-a", b"kernel").vmlinux.write_bytes(b"cut")
    assert installed() == ()


def test_removing_takes_what_is_nobody_elses(cache: Path) -> None:
    keep("tuned-a", b"same")
    keep("tuned-b", b"same")
    keep("tuned-c", b"another")
    assert remove("tuned-a").name == "tuned-a"
    assert find("tuned-b").kernel.vmlinux.read_bytes() == b"same"
    remove("tuned-b")
    remove("tuned")
    assert list(cache.iterdir()) == []
    with pytest.raises(MissingError):
        remove("tuned-a")


def test_the_package_kernel_is_none_of_them() -> None:
    kernel_cache.store("package", KernelImage(b"k", "6.1", 67), (), source="a test", inputs=())
    assert installed() == ()
    found = kernel_cache.load("package")
    assert found is not None
    assert found.needs_initrd


def test_the_word_and_the_path(tmp_path: Path) -> None:
    assert isinstance(kernel_source("tuned", None), TunedKernel)
    assert not isinstance(kernel_source("./tuned", None), TunedKernel)
    with pytest.raises(UsageError, match="--modules goes with --kernel PATH"):
        house(kernel="tuned", modules=tmp_path)


def test_a_name_follows_from_all_that_goes_in() -> None:
    source = Package("linux-source-6.1", "6.1.1", "a" * 64, ())
    records = [InputRecord("cc1", "12", "b" * 64), InputRecord("cc1", "13", "b" * 64), InputRecord("ld", "12", "b" * 64)]
    names = {BuildKey(source, (record,)).name for record in records} | {BuildKey(source, tuple(records)).name}
    assert len(names) == 4
    assert all(name.startswith("tuned-") and len(name) == 18 for name in names)
