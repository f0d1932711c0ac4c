"""A stranger's folder: what is no file, has no end, or leads elsewhere is refused soon, in little memory, and by its name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from program import Squib
from support import tool

APPLIANCE = 'name = "shop"\nserve = "shop:answer"\n'
SECRET = "password = 'hidden'\n"
MOST_MIB, MOST_CPU_S = 1024, 20
"""For all of squib: what it needs for an honest folder, and much less than these folders would take."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests here, so that Python's library is compiled once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def bounded(home: Path) -> Squib:
    return Squib(
        (sys.executable, "-m", "squib"), home, prefix=(tool("prlimit"), f"--as={MOST_MIB << 20}", f"--cpu={MOST_CPU_S}")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shop"
    (place / "static").mkdir(parents=True)
    (place / "appliance.toml").write_text(APPLIANCE + '[image]\ninclude = ["static"]\n')
    (place / "shop.py").write_text("import goods\n\n\ndef answer(request): ...\n")
    (place / "goods").mkdir()
    (place / "goods" / "__init__.py").write_text("")
    (tmp_path / "secret").write_text(SECRET)
    return place


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has at most 107 bytes
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 50 << 30)


KINDS: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a socket": bound_socket,
    "a folder": Path.mkdir,
    "too large": sparse,
    "that leaves": lambda path: path.symlink_to("/dev/zero"),
}


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 65, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") <= 4, done.stderr
    assert "hidden" not in done.stderr
    assert "mistake in squib" not in done.stderr


@pytest.mark.tool
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("goods/__init__.py", kind) for kind in KINDS),
        *(("appliance.toml", kind) for kind in ("a FIFO", "too large", "that leaves")),
        *(("pyproject.toml", kind) for kind in ("a socket", "a folder")),
        *(("static/page", kind) for kind in ("a FIFO", "too large", "that leaves")),
        ("shop.py", "a FIFO"),
    ],
)
def test_what_is_no_file_of_a_sane_size(bounded: Squib, folder: Path, kind: str, name: str) -> None:
    if name == "pyproject.toml":
        (folder / "appliance.toml").unlink()
    (folder / name).unlink(missing_ok=True)
    KINDS[kind](folder / name)
    done = bounded.run("image", str(folder), "--show", "layers", timeout=60)
    refused(done, kind)
    assert name in done.stderr


@pytest.mark.tool
def test_a_link_out_of_the_folder(bounded: Squib, folder: Path, tmp_path: Path) -> None:
    """Module, package, parent, chain; the same inside the folder is fine."""
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "__init__.py").write_text(SECRET)
    (folder / "goods" / "__init__.py").unlink()
    (folder / "goods").rmdir()
    links = {
        "goods.py": "../secret",
        "goods": "../outer",
        "a": "b",
        "b": f"{tmp_path}/outer",
    }
    for name in ("goods.py", "goods"):
        (folder / name).symlink_to(links[name])
        refused(bounded.run("image", str(folder), "--show", "layers"), f"{name} is a symbolic link that leaves {folder}")
        (folder / name).unlink()
    for name in ("a", "b"):
        (folder / name).symlink_to(links[name])
    (folder / "goods").symlink_to("a")
    refused(bounded.run("image", str(folder), "--show", "layers"), "goods is a symbolic link that leaves")
    (folder / "b").unlink()
    (folder / "b").mkdir()
    (folder / "b" / "__init__.py").symlink_to("../real.py")
    (folder / "real.py").write_text("")
    bounded.ok("image", str(folder), "--show", "layers")


@pytest.mark.parametrize("line", ["import a{}\n", "from a{} import x\n", "import os{}\n"])
def test_an_import_of_very_many_parts(bounded: Squib, folder: Path, line: str) -> None:
    with (folder / "shop.py").open("a") as file:
        file.write(line.format(".a" * 3_000))
    done = bounded.run("image", str(folder), "--show", "layers", timeout=60)
    refused(done, "there is no module ")
    assert len(done.stderr) < 5_000


LARGE_TOML = {
    "a dotted key": (".".join("a" * 20_000) + " = 1\n", "a key of more than 16 parts"),
    "a dotted table": (f"[{'.'.join('a' * 20_000)}]\n", "a key of more than 16 parts"),
    "deep arrays": (f"a = {'[' * 40_000}\n", "too deep within each other"),
    "many lines before a mistake": (APPLIANCE + "# nothing\n" * 4000 + "nope = 1\n", ":4003: nope: unknown key"),
    "many keys before a mistake": (
        "".join(f"[keys.a{i}]\ntype = 'int'\ndefault = 1\n" for i in range(900)) + APPLIANCE,
        "unknown key",
    ),
    "many mistakes": ("".join(f"a{i} = 1\n" for i in range(5000)), ":1: a0: unknown key"),
    "a long number": (f"a = {'9' * 40_000}\n", "limit"),
}


@pytest.mark.tool
@pytest.mark.parametrize("case", LARGE_TOML)
def test_40_kb_of_toml(bounded: Squib, folder: Path, case: str) -> None:
    text, said = LARGE_TOML[case]
    (folder / "appliance.toml").write_text(text)
    refused(bounded.run("image", str(folder), "--show", "layers"), said)


DEEP = {
    "minus": "a = " + "-" * 10_000 + "1\n",
    "attributes": "a = b" + ".c" * 10_000 + "\n",
    "elif": "if a: pass\n" + "elif a: pass\n" * 10_000,
    "lambda": "a = " + "lambda: " * 900 + "1\n",
    "parentheses": "a = " + "(" * 10_000 + "\n",
    "null bytes": "a = 1\0\n",
    "encoding": "# coding: nope\n",
    "number": "a = " + "9" * 10_000 + "\n",
}


@pytest.mark.tool
@pytest.mark.parametrize("case", DEEP)
def test_source_that_python_does_not_take(bounded: Squib, folder: Path, case: str) -> None:
    (folder / "goods" / "__init__.py").write_text("import os\n" + DEEP[case] if case != "encoding" else DEEP[case])
    refused(bounded.run("image", str(folder), "--show", "layers"), f"{folder}/goods/__init__.py:")


@pytest.mark.tool
def test_honest_source_that_is_long(bounded: Squib, folder: Path) -> None:
    """A chain of hundreds of branches or terms, and data written as a module."""
    (folder / "goods" / "__init__.py").write_text(
        "import os\nif os: pass\n" + "elif os: pass\n" * 700 + "a = " + "+".join("1" * 700) + "\nimport json\n"
    )
    (folder / "shop.py").write_text("import goods, table\n\n\ndef answer(request): ...\n")
    (folder / "table.py").write_text("TABLE = {\n" + "".join(f"    {i}: 'row {i}',\n" for i in range(40_000)) + "}\n")
    bounded.ok("image", str(folder), "--show", "layers")


@pytest.fixture
def _plain_user(tmp_path: Path) -> Iterator[None]:
    """The folders above let another user in, for the time of a test."""
    opened = [
        (path, path.stat().st_mode)
        for path in (tmp_path, *tmp_path.parents)
        if path.stat().st_uid == os.geteuid() and path != Path("/")
    ]
    for path, mode in opened:
        path.chmod(mode | 0o011)
    yield
    for path, mode in opened:
        path.chmod(mode)


@pytest.mark.tool
@pytest.mark.root
@pytest.mark.usefixtures("_plain_user")
@pytest.mark.parametrize("kind", ["a FIFO", "too large", "that leaves"])
def test_as_a_plain_user(bounded: Squib, folder: Path, kind: str) -> None:
    bounded.prefix = (tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", *bounded.prefix)
    bounded.extra["XDG_CACHE_HOME"] = bounded.extra["XDG_STATE_HOME"] = "/nonexistent"
    (folder / "goods" / "__init__.py").unlink()
    KINDS[kind](folder / "goods" / "__init__.py")
    refused(bounded.run("image", str(folder), "--show", "layers"), kind)


@pytest.mark.tool
def test_what_was_closed_stays_closed(bounded: Squib, folder: Path, tmp_path: Path) -> None:
    (folder / "static" / "page").write_text("for some only")
    for mode, expected in ((0o640, 0o600), (0o644, 0o644)):
        (folder / "static" / "page").chmod(mode)
        bounded.ok("image", str(folder), "-o", str(tmp_path / "shop.tar"))
        assert (tmp_path / "shop.tar").stat().st_mode & 0o777 == expected


def test_a_secret_that_is_left_out_is_said(bounded: Squib, folder: Path) -> None:
    (folder / "static" / ".env").write_text(SECRET)
    done = bounded.run("image", str(folder), "--show", "layers")
    assert (done.returncode, "left out of the image: static/.env" in done.stderr) == (0, True)
    assert "left out" not in bounded.run("image", str(folder), "--show", "layers", "-q").stderr
    (folder / "appliance.toml").write_text(APPLIANCE + '[image]\ninclude = ["static", "static/.env"]\n')
    assert "left out" not in bounded.run("image", str(folder), "--show", "layers").stderr
