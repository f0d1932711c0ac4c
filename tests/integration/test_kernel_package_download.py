"""The distribution's real package, downloaded into an empty cache as whoever runs the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.build.kernel_package import PackageKernel
from squib.errors import UnavailableError
from squib.formats.linux_image import read_kernel
from squib.model.progress import silent
from support import missing, tool


@pytest.mark.tool
@pytest.mark.timeout(300)
def test_download_and_use_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool("apt-get")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        kernel = PackageKernel().obtain(silent)
    except UnavailableError as error:
        missing(f"no package of a kernel here: {error} ({error.hint})")
        raise
    data = kernel.vmlinux.read_bytes()
    assert read_kernel(data).vmlinux == data
    assert kernel.record.release in kernel.inputs[0].name
    assert kernel.record.load_mib > 16
    assert all(content.startswith(b"\x7fELF") for _, content in kernel.modules)
    # From now on there is no apt, and none is missed.
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert PackageKernel().obtain(silent) == kernel
    assert not [path.name for path in (tmp_path / "squib" / "kernels").iterdir() if path.name.startswith(".")]
