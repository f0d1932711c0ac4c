"""What PID 1 closes in the kernel of its machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.guest import kernel_settings


def test_what_the_kernel_has_is_set_and_what_it_lacks_is_no_error(tmp_path: Path) -> None:
    for name in ("user/max_user_namespaces", "kernel/modules_disabled", "kernel/kptr_restrict"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("7")
    assert kernel_settings.close(str(tmp_path)) == []
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {
        "max_user_namespaces": "0",
        "modules_disabled": "1",
        "kptr_restrict": "2",
    }


def test_what_the_kernel_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/modules_disabled").symlink_to("/dev/full")
    assert kernel_settings.close(str(tmp_path)) == ["kernel/modules_disabled: No space left on device"]


def test_a_pid_namespace_is_no_machine_of_ones_own(tmp_path: Path) -> None:
    other = tmp_path / "pid"
    other.touch()
    assert not kernel_settings.machine_is_own(str(other))
    assert kernel_settings.machine_is_own(str(tmp_path / "no-namespaces"))


@pytest.mark.parametrize("name", ["kernel/modules_disabled", "user/max_user_namespaces"])
def test_the_table_has_what_the_page_promises(name: str) -> None:
    assert name in dict(kernel_settings.SETTINGS)
