"""`[image] include`: nothing is dropped in silence, nothing leaves the folder, and secrets go in only where they are named."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from squib.build import appliance_files
from squib.build.appliance_files import AppFolder
from squib.build.include import Included, included, tell_left_out
from squib.build.secret_files import secret_by_content, secret_by_name
from squib.errors import ApplianceError, SquibError
from squib.host.untrusted import Bounds, Folder
from squib.model.appliance import Appliance, ImageSettings
from squib.model.progress import Note
from squib.model.tree import Directory, File, RootfsTree, Symlink

KEY = "-----BEGIN {}PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END {}PRIVATE KEY-----\n"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "static" / "css").mkdir(parents=True)
    (folder / "static" / "page.html").write_text("<p>")
    (folder / "static" / "css" / "a.css").write_text("a {}")
    (folder / "lib").mkdir()
    (folder / "lib" / "logo.svg").write_text("<svg/>")
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "secret").write_text("of the host")
    return folder


def include(folder: Path, *names: str, has_modules: tuple[str, ...] = ()) -> Included:
    appliance = Appliance("shop", "shop:answer", folder, image=ImageSettings(include=names))
    with Folder(folder) as held:
        return included(appliance, AppFolder(held), "/app", frozenset(has_modules))


def shown(found: Included) -> dict[str, str]:
    """Path below /app → content, `/` for a folder, `-> target` for a link."""
    entries = {}
    for entry in RootfsTree.of(found.entries).entries:
        match entry:
            case File(data=data):
                entries[entry.path[5:]] = data.decode()
            case Directory():
                entries[entry.path[5:]] = "/"
            case Symlink(target=target):
                entries[entry.path[5:]] = f"-> {target}"
    entries.pop("", None)
    return entries


def test_a_folder_goes_in_whole_with_its_empty_folders(top: Path) -> None:
    (top / "static" / "empty").mkdir()
    (top / "static" / "__pycache__").mkdir()
    (top / "static" / "__pycache__" / "x.pyc").write_text("")
    (top / "static" / "run").write_text("#!")
    (top / "static" / "run").chmod(0o755)
    found = include(top, "static")
    assert shown(found) == {
        "static": "/", "static/css": "/", "static/css/a.css": "a {}", "static/empty": "/", "static/page.html": "<p>", "static/run": "#!",
    }  # fmt: skip
    modes = {entry.path: entry.mode for entry in found.entries if isinstance(entry, File)}
    assert modes == {"/app/static/css/a.css": 0o644, "/app/static/page.html": 0o644, "/app/static/run": 0o755}


def test_links_inside(top: Path) -> None:
    """To what goes in they stay links; to what does not, that goes in in their place."""
    for name, target in {
        "file": "page.html",
        "folder": "css",
        "up": "../static/css/a.css",
        "absolute": str(top / "static" / "page.html"),
        "chain": "file",
        "loop": ".",
        "other": "../lib/logo.svg",
        "others": "../lib",
    }.items():
        (top / "static" / name).symlink_to(target)
    (top / "static" / "css" / "back").symlink_to("../page.html")
    entries = shown(include(top, "static"))
    links = {path[7:]: content for path, content in entries.items() if content.startswith("->")}
    assert links == {
        "file": "-> page.html", "folder": "-> css", "up": "-> css/a.css", "absolute": "-> page.html", "chain": "-> page.html",
        "loop": "-> .", "css/back": "-> ../page.html",
    }  # fmt: skip
    assert (entries["static/other"], entries["static/others"], entries["static/others/logo.svg"]) == ("<svg/>", "/", "<svg/>")
    assert shown(include(top, "static", "lib"))["static/others"] == "-> ../lib"


def test_a_link_that_is_named_goes_in_as_what_it_leads_to(top: Path) -> None:
    (top / "pub").symlink_to("static")
    (top / "logo").symlink_to("lib/logo.svg")
    assert shown(include(top, "pub/page.html", "logo")) == {"pub": "/", "pub/page.html": "<p>", "logo": "<svg/>"}
    assert shown(include(top, "pub"))["pub/css/a.css"] == "a {}"


def test_a_linked_folder_that_modules_lie_in_is_no_link(top: Path) -> None:
    (top / "static" / "v1").symlink_to("css")
    assert shown(include(top, "static", has_modules=("/app", "/app/static", "/app/static/v1")))["static/v1/a.css"] == "a {}"


@pytest.mark.parametrize("target", ["../../secret", "../../outer", "/etc/passwd", "/", "../../app/../secret"])
@pytest.mark.parametrize("named", ["static", "static/link", "deep"])
def test_links_that_leave(top: Path, target: str, named: str) -> None:
    (top / "static" / "link").symlink_to(target)
    (top / "deep").mkdir()
    (top / "deep" / "a").symlink_to("../static/link")
    with pytest.raises(ApplianceError, match="is a symbolic link that leaves"):
        include(top, named)


def test_a_file_behind_a_linked_folder_that_leaves(top: Path) -> None:
    (top / "link").symlink_to("../outer")
    with pytest.raises(ApplianceError, match="link/secret is a symbolic link that leaves"):
        include(top, "link/secret")


def test_links_that_lead_to_nothing_or_round(top: Path) -> None:
    (top / "static" / "gone").symlink_to("nothing")
    with pytest.raises(ApplianceError, match="include: static/gone is a link that leads to nothing"):
        include(top, "static")
    (top / "static" / "gone").unlink()
    (top / "static" / "round").symlink_to("../lib")
    (top / "lib" / "round").symlink_to("../lib")
    with pytest.raises(ApplianceError, match="include: static/round/round is a link that leads round"):
        include(top, "static")
    (top / "static" / "self").symlink_to("self")
    with pytest.raises(ApplianceError, match="lead round in a circle"):
        include(top, "static")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(("kind", "make"), [("a FIFO", os.mkfifo), ("a socket", bound_socket)])
@pytest.mark.parametrize("named", ["static", "static/thing", "deep"])
def test_what_is_no_file(top: Path, kind: str, make: Callable[[Path], None], named: str) -> None:
    make(top / "static" / "thing")
    (top / "deep").mkdir()
    (top / "deep" / "a").symlink_to("../static/thing")
    with pytest.raises(ApplianceError, match=f"{kind}"):
        include(top, named)


@pytest.mark.parametrize("name", ["a\rb", "a\nb", "\x1b[31m", "tab\there", "del\x7f"])
def test_names_with_control_characters(top: Path, name: str) -> None:
    (top / "static" / name).write_text("")
    with pytest.raises(ApplianceError, match="has a control character in its name") as caught:
        include(top, "static")
    assert str(caught.value).isprintable()


def test_strange_names_go_in(top: Path) -> None:
    names = ["a b", "quote\"'", "back\\slash", "é", os.fsdecode(b"\xff\xfe"), " lead", "-rf", "$(x)", "*"]
    for name in names:
        (top / "static" / name).write_text("x")
    assert {f"static/{name}" for name in names} <= set(shown(include(top, "static")))


SECRETS = [
    ".env",
    ".env.production",
    "prod.env",
    ".netrc",
    ".pypirc",
    ".npmrc",
    "id_rsa",
    "ID_ED25519",
    "server.key",
    "a.p12",
    ".git",
    ".ssh",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_of_a_folder_are_left_out_and_said(top: Path, name: str) -> None:
    path = top / "static" / "css" / name
    if name in {".git", ".ssh"}:
        path.mkdir()
        path /= "config"
    path.write_text("password = hidden")
    found = include(top, "static")
    assert not [place for place in shown(found) if name in place]
    assert [str(one.path) for one in found.left_out] == [f"static/css/{name}"]
    said: list[str] = []
    tell_left_out(found.left_out, lambda step, _: said.append(step))
    assert isinstance(said[0], Note)
    assert said[0].startswith(f"left out of the image: static/css/{name} (")
    inside = str(path.relative_to(top))
    named = include(top, "static", inside)
    assert shown(named)[inside] == "password = hidden"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_is_left_out_whatever_its_name(top: Path, kind: str) -> None:
    (top / "static" / "tls.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + KEY.format(kind, kind)
    )
    (top / "static" / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    (top / "static" / "account.json").write_text('{"private_key": "' + KEY.format(kind, kind).replace("\n", "\\n") + '"}')
    (top / "static" / "crypt.js").write_text('if (x == "-----BEGIN RSA PRIVATE KEY-----") { parse() }')
    found = include(top, "static")
    assert [str(one.path) for one in found.left_out] == ["static/account.json", "static/tls.pem"]
    assert {"static/cert.pem", "static/crypt.js"} <= set(shown(found))
    assert "static/tls.pem" in shown(include(top, "static/tls.pem"))


def test_a_secret_by_another_name(top: Path) -> None:
    """A link to it is as good as itself."""
    (top / ".env").write_text("password = hidden")
    (top / "static" / "settings").symlink_to("../.env")
    found = include(top, "static")
    assert [str(one.path) for one in found.left_out] == ["static/settings"]
    assert "hidden" not in str(shown(found))


@pytest.mark.parametrize(
    "name", [".env.example", ".gitignore", ".well-known", "keys.html", "environment", "id_rsa.pub", "app.env.js"]
)
def test_what_is_no_secret(name: str) -> None:
    assert secret_by_name(PurePosixPath("a", name)) == ""


def test_looking_for_a_key_takes_time_by_the_length() -> None:
    for piece in (
        b"-----BEGIN ",
        b"-----BEGIN A PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----\n\n\n",
        b"-----BEGIN PRIVATE KEY-----\\n\\r",
    ):
        assert secret_by_content(piece * (1 << 16)) == ""
        assert secret_by_content(piece + b" " * (1 << 20)) == ""


def test_the_bounds(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(top / "static" / "page.html", 50 << 30)
    for named in ("static", "static/page.html"):
        with pytest.raises(ApplianceError, match="is too large"):
            include(top, named)
    os.truncate(top / "static" / "page.html", 0)
    with monkeypatch.context() as smaller:
        smaller.setattr("squib.build.include.BOUNDS", Bounds(4, 1 << 30, 64))
        with pytest.raises(ApplianceError, match="at most 4 files and folders"):
            include(top, "static", "lib")
    monkeypatch.setattr(appliance_files, "BOUNDS", Bounds(99, 9, 64))
    with pytest.raises(ApplianceError, match="more than 9 bytes together"):
        include(top, "static", "lib")


def test_doubling_links_do_not_multiply_without_end(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squib.build.include.BOUNDS", Bounds(500, 1 << 20, 64))
    for level in range(30):
        (top / f"d{level}").mkdir()
        for name in ("x", "y"):
            (top / f"d{level}" / name).symlink_to(f"../d{level + 1}")
    (top / "d30").mkdir()
    with pytest.raises(ApplianceError, match="at most 500"):
        include(top, "d0")


@pytest.mark.parametrize("name", ["", ".", "..", "/etc", "static/../..", "a/../../b"])
def test_names_that_are_not_below(top: Path, name: str) -> None:
    with pytest.raises(ApplianceError, match="must be a path below"):
        include(top, name)


@pytest.mark.parametrize("name", ["static/page.html/x", "x" * 300, "a\0b"])
def test_names_that_no_file_has(top: Path, name: str) -> None:
    with pytest.raises(SquibError):
        include(top, name)


def test_what_others_may_not_read_is_known(top: Path) -> None:
    (top / "static" / "page.html").chmod(0o600)
    for name, closed in (("static/page.html", True), ("static/css", False)):
        appliance = Appliance("shop", "shop:answer", top, image=ImageSettings(include=(name,)))
        with Folder(top) as held:
            app = AppFolder(held)
            included(appliance, app, "/app", frozenset())
            assert app.closed is closed
