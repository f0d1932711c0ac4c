"""A kernel is copied into an artifact whatever file-systems the two lie on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from squib.build import artifact


def refusing(number: int) -> object:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_the_kernel_will_not_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "source").write_bytes(bytes(range(256)) * 5000)
    monkeypatch.setattr(os, "copy_file_range", refusing(number))
    artifact._copy(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()


def test_another_error_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"x")
    monkeypatch.setattr(os, "copy_file_range", refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        artifact._copy(tmp_path / "source", tmp_path / "target")
