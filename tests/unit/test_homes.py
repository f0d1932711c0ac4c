"""Squib's cache and state: closed to other users, and not believed where another user could have changed them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squib.build.cache import Cache
from squib.errors import PermissionDeniedError, TakenError
from squib.host import files, homes
from squib.host.files import cache_home, state_home, write_atomic
from squib.store import Store

ANOTHER = 65534
HOMES = [("XDG_CACHE_HOME", cache_home), ("XDG_STATE_HOME", state_home)]


@pytest.fixture
def no_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if not path.is_symlink() and mode(path) & 0o077]


@pytest.mark.usefixtures("no_mask")
def test_what_is_made_in_them_is_their_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    Cache(cache_home() / "bytecode").put("x", ("y",))
    with files.staging(cache_home() / "artifacts") as folder:
        (folder / "made").mkdir()
        files.publish(folder / "made", cache_home() / "artifacts/shop-1")
    with Store():
        pass
    assert open_to_others(tmp_path / "c/squib") == []
    assert open_to_others(tmp_path / "s/squib") == []


@pytest.mark.usefixtures("no_mask")
def test_no_folder_that_squib_makes_is_for_others_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An artifact in one that is would be refused; and so would a home below one, by root."""
    write_atomic(tmp_path / "a/b/image.tar", b"x")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "local/state"))
    with Store():
        pass
    assert {mode(tmp_path / name) for name in ("a", "a/b", "local", "local/state")} == {0o755}


@pytest.mark.parametrize(("variable", "home"), HOMES)
@pytest.mark.parametrize("before", [0o755, 0o750, 0o711, 0o700])
def test_one_that_others_may_look_into_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, home: Callable[[], Path], before: int
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "squib").mkdir()
    (tmp_path / "squib").chmod(before)
    assert home() == tmp_path / "squib"
    assert mode(tmp_path / "squib") == 0o700


def test_one_on_a_read_only_file_system_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that was brought along in a container's image."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "squib").mkdir(mode=0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert cache_home() == tmp_path / "squib"


@pytest.mark.parametrize(("variable", "home"), HOMES)
@pytest.mark.parametrize("before", [0o777, 0o1777, 0o702])
def test_one_that_others_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, home: Callable[[], Path], before: int
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "squib").mkdir()
    (tmp_path / "squib").chmod(before)
    with pytest.raises(PermissionDeniedError, match="other users may write into") as caught:
        home()
    assert "chmod 700" in caught.value.hint
    assert variable in caught.value.hint
    assert mode(tmp_path / "squib") == before


@pytest.mark.root
@pytest.mark.parametrize(("variable", "home"), HOMES)
@pytest.mark.parametrize("whose", ["squib", ".", "above", "link"])
def test_root_believes_nothing_that_another_user_could_have_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, home: Callable[[], Path], whose: str
) -> None:
    """His folder, and any below which he could put another one in its place."""
    configured = tmp_path / "home/cache"
    (configured / "squib").mkdir(parents=True)
    monkeypatch.setenv(variable, str(configured))
    assert home() == configured / "squib"
    match whose:
        case "squib":
            os.chown(configured / "squib", ANOTHER, ANOTHER)
        case ".":
            os.chown(configured, ANOTHER, ANOTHER)
        case "above":
            os.chown(configured.parent, ANOTHER, ANOTHER)
        case _:
            (configured / "squib").rmdir()
            (tmp_path / "elsewhere").mkdir()
            (configured / "squib").symlink_to(tmp_path / "elsewhere")
            os.chown(configured / "squib", ANOTHER, ANOTHER, follow_symlinks=False)
    with pytest.raises(PermissionDeniedError, match="belongs to another user") as caught:
        home()
    assert "sudo -H" in caught.value.hint
    assert variable in caught.value.hint


@pytest.mark.root
def test_root_with_a_users_home_and_nothing_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    os.chown(tmp_path, ANOTHER, ANOTHER)
    with pytest.raises(PermissionDeniedError, match="belongs to another user"):
        cache_home()


@pytest.mark.root
def test_a_plain_user_has_his_own_and_not_roots(tmp_path: Path) -> None:
    """A subprocess, since what it becomes it stays."""
    script = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from squib.errors import PermissionDeniedError
from squib.host.files import cache_home
try:
    print(cache_home())
except PermissionDeniedError as error:
    print("refused:", error)
"""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0:
            path.chmod(path.stat().st_mode | 0o011)
    own = tmp_path / "own"
    (own / "squib").mkdir(parents=True)
    os.chown(own / "squib", ANOTHER, ANOTHER)
    (tmp_path / "roots/squib").mkdir(parents=True)

    def asked(folder: Path) -> str:
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
        return subprocess.run(
            (sys.executable, "-c", script), env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert asked(own) == f"{own / 'squib'}\n"
    roots = tmp_path / "roots/squib"
    for mode, believed in ((0o755, True), (0o705, True), (0o700, False), (0o775, False), (0o757, False)):
        roots.chmod(mode)
        assert ("refused" not in asked(roots.parent)) == believed, f"{mode:o}"


def test_in_a_namespace_that_knows_not_all_users_the_hosts_root_is_not_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "_ALL_USERS", ["0", "1000", "1"])  # as if the host's map were a part of it
    assert homes._is_unmapped(65534)
    assert not homes._is_unmapped(1234)


def test_a_lock_is_waited_for_until_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ALONE_S", 0.1)
    with (
        files.alone_in(tmp_path),
        pytest.raises(TakenError, match=f"process {os.getpid()} has kept .* locked for over") as caught,
        files.alone_in(tmp_path),
    ):
        pytest.fail("it is locked")
    assert "fuser" in caught.value.hint
    with files.alone_in(tmp_path):
        pass


def test_many_who_lock_it_in_turn_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ALONE_S", 0.1)
    looks = iter([True] * 20 + [False])  # 0.4 s
    monkeypatch.setattr(files, "_is_locked", lambda _: next(looks))
    holders = iter(range(1, 100))
    monkeypatch.setattr(files, "_lock_holder", lambda _: next(holders))
    with files.alone_in(tmp_path):
        assert next(looks, None) is None
