"""Files from outside: opened beneath their folder, regular, bounded, and never by way of a link that leads out."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import descriptors
from squib.errors import ApplianceError, HostError, MissingError, PermissionDeniedError, StorageError
from squib.host import ownership, untrusted
from squib.host.untrusted import Bounds, Folder, open_file, read_file

SECRET = b"secret of the host"
MANY = Bounds(entries=1000, total_bytes=1 << 20, depth=20)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with a file and a folder; beside it what must not be read."""
    folder = tmp_path / "top"
    (folder / "inner").mkdir(parents=True)
    (folder / "file").write_bytes(b"content")
    (folder / "inner" / "deep").write_bytes(b"deep content")
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "secret").write_bytes(SECRET)
    return folder


def read(folder: Path, name: str, *, max_bytes: int = 1000, follow: bool = True) -> bytes:
    with Folder(folder) as held:
        return held.read(name, max_bytes=max_bytes, follow=follow)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("link", "inner/deep"),
        ("link", "inner/../inner/./deep"),
        ("inner/link", "../inner/deep"),
        ("link", "../top/inner/deep"),
        ("link", "TOP/inner/deep"),
        ("link", "TOP/../top/inner/deep"),
    ],
)
def test_links_that_stay_inside_are_followed(top: Path, name: str, target: str) -> None:
    (top / name).symlink_to(target.replace("TOP", str(top)))
    assert read(top, name) == b"deep content"
    with Folder(top) as held:
        assert held.resolve(name) == PurePosixPath("inner/deep")
        assert stat.S_ISLNK(held.status(name).st_mode)
        assert stat.S_ISREG(held.status(name, follow=True).st_mode)


@pytest.mark.parametrize(
    "target",
    [
        "../secret",
        "TOP/../secret",
        "/etc/passwd",
        "inner/../../secret",
        "inner/../../outer/secret",
        "../top/../secret",
        "/",
        "..",
    ],
)
@pytest.mark.parametrize("follow", [True, False])
def test_links_that_leave_are_refused(top: Path, target: str, follow: bool) -> None:
    (top / "link").symlink_to(target.replace("TOP", str(top)))
    with pytest.raises(ApplianceError, match=r"link.* is a symbolic link"):
        read(top, "link", follow=follow)


def test_a_chain_and_a_folder_that_leave(top: Path) -> None:
    (top / "a").symlink_to("b")
    (top / "b").symlink_to("inner/c")
    (top / "inner" / "c").symlink_to("../../outer")
    for name in ("a", "a/secret", "inner/c/secret"):
        with pytest.raises(ApplianceError, match="leaves"):
            read(top, name)


def test_a_linked_folder_inside_is_gone_through_only_where_links_are_followed(top: Path) -> None:
    (top / "other").symlink_to("inner")
    assert read(top, "other/deep") == b"deep content"
    with pytest.raises(ApplianceError, match="other is a symbolic link"):
        read(top, "other/deep", follow=False)


def test_links_in_a_circle(top: Path) -> None:
    (top / "a").symlink_to("b")
    (top / "b").symlink_to("a")
    with pytest.raises(ApplianceError, match="circle"):
        read(top, "a")


def test_the_folder_itself_may_be_named_by_a_link(top: Path) -> None:
    link = top.parent / "link"
    link.symlink_to("top")
    (top / "absolute").symlink_to(top / "file")
    assert read(link, "absolute") == b"content"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


KINDS: list[tuple[str, Callable[[Path], None]]] = [
    ("a FIFO", fifo),
    ("a socket", bound_socket),
    ("a folder", Path.mkdir),
    ("a symbolic link", lambda path: path.symlink_to("/dev/zero")),
]


@pytest.mark.parametrize(("kind", "make"), KINDS)
def test_only_regular_files_are_opened(tmp_path: Path, kind: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / "thing")
    with pytest.raises(ApplianceError, match=f"thing is {kind}"):
        read(tmp_path, "thing", follow=False)
    with pytest.raises(ApplianceError, match=f"thing is {kind}"):
        read_file(tmp_path / "thing", max_bytes=10)


@pytest.mark.root
def test_a_device_is_not_opened(tmp_path: Path) -> None:
    os.mknod(tmp_path / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    with pytest.raises(ApplianceError, match="zero is a device"):
        read(tmp_path, "zero")
    with pytest.raises(ApplianceError, match="is a device"):
        read_file(Path("/dev/zero"), max_bytes=10)


def test_what_is_not_there(top: Path) -> None:
    (top / "dangling").symlink_to("gone")
    for name in ("gone", "gone/deeper", "dangling"):
        with pytest.raises(MissingError, match=f"{top}/{name} is not there"):
            read(top, name)
    with pytest.raises(StorageError, match=f"{top}/file/below"):
        read(top, "file/below")
    with pytest.raises(HostError, match="too long"):
        read(top, "x" * 300)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "inner/../file"])
def test_names_are_below_the_folder(top: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name below"):
        read(top, name)


def test_a_file_that_is_too_large_is_not_read(top: Path) -> None:
    os.truncate(top / "file", 50 << 30)
    before = time.thread_time()
    with pytest.raises(ApplianceError, match=r"file is too large: at most 1,000 bytes"):
        read(top, "file")
    assert time.thread_time() - before < 1
    os.truncate(top / "file", 1000)
    assert read(top, "file") == b"content" + bytes(993)


def test_a_file_that_tells_no_size_is_read_within_its_bound() -> None:
    assert b"processor" in read_file(Path("/proc/cpuinfo"), max_bytes=1 << 20)
    with pytest.raises(ApplianceError, match="too large"):
        read_file(Path("/proc/cpuinfo"), max_bytes=10)


def test_a_slow_file_has_an_end(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "_DEADLINE_S", -1.0)
    with pytest.raises(HostError, match="could not be read within"):
        read(top, "file")


@pytest.mark.parametrize("change", ["link", "fifo", "large"])
def test_what_is_put_in_its_place_before_it_is_opened(top: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the opening; the descriptor decides."""
    really = os.open

    def swapped(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "file":
            (top / "file").unlink()
            match change:
                case "link":
                    (top / "file").symlink_to("../secret")
                case "fifo":
                    os.mkfifo(top / "file")
                case "large":
                    (top / "file").write_bytes(bytes(2000))
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ApplianceError, match=r"changed while|is a FIFO|too large"):
        read(top, "file")


def test_a_folder_that_becomes_a_link_on_the_way(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def swapped(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "inner":
            (top / "inner").rename(top / "moved")
            (top / "inner").symlink_to("../outer")
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises((ApplianceError, StorageError)):
        read(top, "inner/deep")


def test_an_open_file_outlives_its_folder_and_a_renaming(top: Path) -> None:
    with Folder(top) as held:
        file = held.open("file", max_bytes=100)
    (top / "file").rename(top / "elsewhere")
    with file:
        assert file.read() == b"content"


def test_a_walk_gives_all_in_order_and_enters_no_link(top: Path) -> None:
    (top / "inner" / "out").symlink_to("../../outer")
    (top / "empty").mkdir()
    with Folder(top) as held:
        assert [str(found.path) for found in held.walk("", MANY)] == ["empty", "file", "inner", "inner/deep", "inner/out"]
        assert [str(found.path) for found in held.walk("inner", MANY)] == ["inner/deep", "inner/out"]
        assert held.link_target("inner/out") == "../../outer"
        assert [str(found.path) for found in held.walk("", MANY, lambda path: path.name == "inner")] == ["empty", "file"]
        assert held.names("inner", max_entries=2) == ("deep", "out")
        with pytest.raises(ApplianceError, match="more than 1 entries"):
            held.names("inner", max_entries=1)


@pytest.mark.parametrize("kind", [("a FIFO", fifo), ("a socket", bound_socket)])
def test_a_walk_refuses_what_is_no_file(top: Path, kind: tuple[str, Callable[[Path], None]]) -> None:
    kind[1](top / "inner" / "thing")
    with Folder(top) as held, pytest.raises(ApplianceError, match=f"inner/thing is {kind[0]}"):
        list(held.walk("", MANY))


def test_a_walk_has_bounds(top: Path) -> None:
    os.truncate(top / "file", 50 << 30)
    deep = top / "inner"
    for _ in range(5):
        deep /= "d"
        deep.mkdir()
    with Folder(top) as held:
        for bounds, message in (
            (Bounds(3, 1 << 40, 20), "more than 3"),
            (Bounds(99, 1 << 30, 20), "more than 1,073,741,824 bytes"),
            (Bounds(99, 1 << 40, 4), "more than 4 folders"),
        ):
            with pytest.raises(ApplianceError, match=f"too large: {message}"):
                list(held.walk("", bounds))


def test_nothing_stays_open(top: Path) -> None:
    (top / "out").symlink_to("inner/../../outer/secret")
    before = descriptors()
    for name in ("file", "inner/deep", "out", "gone", "inner/gone"):
        try:
            read(top, name)
        except (ApplianceError, MissingError):
            continue
    with Folder(top) as held:
        walk = held.walk("", MANY)
        assert next(walk).path.name == "file"
        assert isinstance(walk, Iterator)
        walk.close()  # type: ignore[attr-defined]
    assert descriptors() == before


NAMES = st.sampled_from(["a", "b", "c"])
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", "top", "out"]), min_size=1, max_size=5).map("/".join)


@given(
    links=st.lists(
        st.tuples(st.lists(NAMES, min_size=1, max_size=3), TARGETS, st.sampled_from(["", "TOP/", "OUT/"])), max_size=6
    ),
    asked=st.lists(NAMES, min_size=1, max_size=4),
)
def test_whatever_the_links_only_what_is_inside_is_read(links: list[tuple[list[str], str, str]], asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        top, out = outer / "top", outer / "out"
        for folder in (top, out, top / "a", top / "a" / "b", out / "a"):
            folder.mkdir()
        for folder in (top, top / "a", top / "a" / "b", out, out / "a"):
            (folder / "c").write_text(str(folder / "c"))
        for place, target, start in links:
            path = top.joinpath(*place)
            if path.parent.is_dir() and not os.path.lexists(path):
                path.symlink_to(start.replace("TOP", str(top)).replace("OUT", str(out)) + target)
        wanted = top.joinpath(*asked)
        try:
            content = read(top, "/".join(asked))
        except (ApplianceError, MissingError, StorageError):
            real = Path(os.path.realpath(wanted))
            # What is refused leads out at some step, is no file, or is not there.
            assert not real.is_file() or not real.is_relative_to(top) or passes_outside(top, asked)
        else:
            assert content.decode() == os.path.realpath(wanted)
            assert content.decode().startswith(f"{top}/")


def passes_outside(top: Path, asked: list[str]) -> bool:
    """Whether the kernel goes through a folder outside that is not one of those above `top`."""
    waiting, here = list(reversed(asked)), top
    for _ in range(200):
        if not waiting:
            break
        part = waiting.pop()
        if part == "..":
            here = here.parent
        elif (here / part).is_symlink():
            target = os.readlink(here / part)  # noqa: PTH115 - as text: pathlib takes `.` out
            here = Path("/") if target.startswith("/") else here
            waiting += reversed([name for name in target.split("/") if name not in {"", "."}])
        else:
            here /= part
        if not here.is_relative_to(top) and not top.is_relative_to(here):
            return True
    return False


def test_whose_it_is(tmp_path: Path) -> None:
    with Folder(tmp_path) as held:
        tmp_path.chmod(0o755)
        held.check_owned()
        for mode in (0o757, 0o1777):
            tmp_path.chmod(mode)
            with pytest.raises(PermissionDeniedError, match="can be changed by other users"):
                held.check_owned()
        tmp_path.chmod(0o700)


def test_a_group_that_is_its_owners_alone_is_no_other_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o770)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        for private in (True, False):
            monkeypatch.setattr(ownership, "_group_is_private", lambda *_, private=private: private)
            if private:
                ownership.check_owned(descriptor, tmp_path)
            else:
                with pytest.raises(PermissionDeniedError):
                    ownership.check_owned(descriptor, tmp_path)
    finally:
        os.close(descriptor)


@pytest.mark.root
def test_another_users_folder(tmp_path: Path) -> None:
    """Root trusts no folder of a user, and a user none of another user, but those of root."""
    os.chown(tmp_path, 65534, 65534)
    with Folder(tmp_path) as held:
        with pytest.raises(PermissionDeniedError, match=r"belongs to another user \(uid 65534\)"):
            held.check_owned()
        status = as_user(65533, held)
        assert status == errno.EACCES
        assert as_user(65534, held) == 0
        os.chown(tmp_path, 0, 0)
        assert as_user(65534, held) == 0


def as_user(uid: int, held: Folder) -> int:
    """What `check_owned` says to the user `uid`."""
    child = os.fork()
    if child == 0:
        os.setresuid(uid, uid, uid)
        try:
            held.check_owned()
        except PermissionDeniedError:
            os._exit(errno.EACCES)
        except BaseException:  # noqa: BLE001 - told by the status
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.root
def test_a_file_that_this_user_may_not_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "file").write_bytes(SECRET)
        (top / "file").chmod(0o600)
        child = os.fork()
        if child == 0:
            os.setresuid(65534, 65534, 65534)
            try:
                open_file(top / "file", max_bytes=100)
            except PermissionDeniedError:
                os._exit(3)
            except BaseException:  # noqa: BLE001 - told by the status
                os._exit(99)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
