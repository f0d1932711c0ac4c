"""The ext4 image, read by other people's programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squib.build import ext4
from squib.errors import ApplianceError, HostError, UnavailableError
from squib.host import command
from squib.model.tree import Device, Directory, File, RootfsTree, Symlink
from support import tool

pytestmark = pytest.mark.tool

TREE = RootfsTree.of(
    [
        File("/bin/program", b"\x7fELF" + bytes(range(256)) * 100, 0o755),
        File("/etc/secret", b"hidden", 0o600),
        File("/etc/empty", b""),
        File("/app/a name with spaces é", b"x" * 4096),
        Symlink("/etc/resolv.conf", "/run/resolv.conf"),
        Symlink("/long", "/" + "x" * 100),
        Directory("/tmp", 0o1777),
    ]
)


@pytest.fixture
def programs() -> ext4.Programs:
    tool("mke2fs")
    return ext4.find_programs()


def debugfs(image: Path, request: str) -> bytes:
    return subprocess.run([tool("debugfs"), "-R", request, image], capture_output=True, check=True).stdout


def assert_clean(image: Path) -> None:
    done = subprocess.run([tool("e2fsck"), "-fn", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_everything_in_it_is_as_the_tree_says(tmp_path: Path, programs: ext4.Programs) -> None:
    image = tmp_path / "image"
    ext4.write(TREE, image, programs)
    assert_clean(image)
    for entry in TREE.entries:
        quoted = f'"{entry.path}"'
        shown = debugfs(image, f"stat {quoted}").decode()
        assert "User:     0   Group:     0" in shown
        assert shown.count("0x00000000:00000000") >= 4  # the four times
        match entry:
            case File(data=data, mode=mode):
                assert f"Type: regular    Mode:  0{mode:o}" in shown
                assert debugfs(image, f"cat {quoted}") == data
            case Directory(mode=mode):
                assert f"Type: directory    Mode:  0{mode:o}" in shown
            case Symlink(target=target):
                assert "Type: symlink" in shown
                assert target.encode() in (shown.encode() if len(target) < 60 else debugfs(image, f"cat {quoted}"))
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_the_same_bytes_whatever_the_umask_clock_and_locale(
    tmp_path: Path, programs: ext4.Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ext4.write(TREE, tmp_path / "first", programs)
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("MKE2FS_CONFIG", "/nowhere")
    before = os.umask(0o077)
    try:
        ext4.write(TREE, tmp_path / "there/second", programs)
    finally:
        os.umask(before)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "there/second").read_bytes()


@settings(max_examples=5, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300_000), max_size=40),
    names=st.integers(0, 120),
    length=st.integers(4, 200),
)
def test_the_computed_size_always_suffices(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], names: int, length: int
) -> None:
    entries = [File(f"/data/{number}", bytes(size)) for number, size in enumerate(sizes)]
    entries += [File(f"/many/{number:0{length}}", b"") for number in range(names)]
    image = tmp_path_factory.mktemp("sizes") / "image"
    ext4.write(RootfsTree.of(entries), image, ext4.find_programs())
    assert_clean(image)


def test_more_than_one_block_group(tmp_path: Path, programs: ext4.Programs) -> None:
    tree = RootfsTree.of([File("/big", bytes(140 << 20))])
    ext4.write(tree, tmp_path / "image", programs)
    assert_clean(tmp_path / "image")


@pytest.mark.parametrize("entry", [Device("/dev/null", 1, 3), File("/a\rb", b""), File("/a\nb", b""), File("/a\x1b", b"")])
def test_what_it_cannot_hold_is_refused_with_nothing_left(
    tmp_path: Path, programs: ext4.Programs, entry: File | Device
) -> None:
    with pytest.raises((HostError, ApplianceError)) as caught:
        ext4.write(RootfsTree.of([entry]), tmp_path / "image", programs)
    assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir() if path.name != "image"] == []


def test_missing_programs_name_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(command, "_ADMIN_FOLDERS", ())
    with pytest.raises(UnavailableError) as caught:
        ext4.find_programs()
    assert "e2fsprogs" in caught.value.hint


def test_what_debugfs_complains_of_is_an_error(
    tmp_path: Path, programs: ext4.Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with status 0, with the owner and the times of whoever builds left in the image."""
    script = ext4.debugfs_script
    monkeypatch.setattr(ext4, "debugfs_script", lambda tree: script(tree) + b"sif /not/there mode 0\n")
    with pytest.raises(HostError, match="debugfs failed") as caught:
        ext4.write(TREE, tmp_path / "image", programs)
    assert "File not found" in caught.value.detail
