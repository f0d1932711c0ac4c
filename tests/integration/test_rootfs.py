"""The tree of a root file-system: complete, lean, and it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from squib.build import interpreter
from squib.build.cache import Cache
from squib.errors import ApplianceError
from squib.formats import elf
from squib.guest import spec
from squib.host.appliances import find_appliance
from squib.model.appliance import Appliance
from squib.model.tree import Directory, RootfsTree, Symlink
from support import tool
from trees import files, own, plan, unpack


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def clock(cache: Cache) -> RootfsTree:
    return plan(find_appliance("clock", Path("/")), cache)


def test_the_abi_s_files_are_there(clock: RootfsTree) -> None:
    by_path = {entry.path: entry for entry in clock.entries}
    assert files(clock)["/sbin/init"].data.startswith(b"#!/usr/bin/python3 -IS\n")
    assert isinstance(by_path["/etc/resolv.conf"], Symlink)
    for path in ("/dev", "/proc", "/sys", "/tmp", "/run", "/app"):
        assert isinstance(by_path[path], Directory)
        assert not [other for other in by_path if other.startswith(path + "/")]
    assert "squib:x:65532:65532:" in files(clock)["/etc/passwd"].data.decode()
    read = spec.loads(files(clock)["/etc/squib/appliance"].data)
    assert (read.name, read.serve, read.sys_path) == ("clock", "squib.guest.clock:answer", ("/app",))
    assert [(key.name, key.type, key.default) for key in read.keys] == [("port", "port", 80)]


def test_every_entry_says_why(clock: RootfsTree) -> None:
    assert [entry.path for entry in clock.entries if not entry.why] == []


def test_no_shell_no_package_manager_no_path_of_this_machine(clock: RootfsTree) -> None:
    programs = [path for path, file in files(clock).items() if file.mode & 0o111 and ("/bin/" in path or "/sbin/" in path)]
    assert programs == ["/sbin/init", "/usr/bin/python3"]
    here = str(Path(__file__).parent.parent.parent).encode()
    assert [path for path, file in files(clock).items() if here in file.data] == []
    assert sum(len(file.data) for file in files(clock).values()) < 16 << 20


def test_every_needed_library_is_in_it(clock: RootfsTree) -> None:
    names = {path.rpartition("/")[2] for path in files(clock)}
    for path, file in files(clock).items():
        if file.data.startswith(elf.MAGIC):
            linking = elf.read_linking(file.data)
            assert set(linking.needed) <= names, path
            assert not linking.interpreter or linking.interpreter in files(clock)


@pytest.mark.root
def test_it_runs_with_nothing_else_around_it(clock: RootfsTree, tmp_path: Path) -> None:
    unpack(clock, tmp_path)
    script = "import sys; sys.path.append('/usr/lib/squib'); import squib.guest.serve, squib.guest.init, squib.guest.clock; print(squib.guest.serve.__file__)"
    done = subprocess.run(
        [tool("chroot"), tmp_path, "/usr/bin/python3", "-IS", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "/usr/lib/squib/squib/guest/serve.pyc\n"
    # PID 1's script finds its way to the code, which then refuses to run as any other process.
    done = subprocess.run([tool("chroot"), tmp_path, "/sbin/init"], capture_output=True, text=True, check=False)
    assert done.returncode == 71
    assert "first process" in done.stderr


@pytest.mark.root
def test_an_appliance_with_packages_of_others_runs(tmp_path: Path, cache: Cache) -> None:
    folder, root = tmp_path / "shop", tmp_path / "root"
    folder.mkdir()
    root.mkdir()
    (folder / "goods").mkdir()
    (folder / "goods" / "__init__.py").write_text("from . import list_\n")
    (folder / "goods" / "list_.py").write_text("def all():\n    import sqlite3\n    return sqlite3.sqlite_version\n")
    (folder / "unused.py").write_text("")
    (folder / "static").mkdir()
    (folder / "static" / "page.html").write_text("<p>")
    source = "import json, threading, time\nimport msgspec\nfrom goods import list_\ntry:\n    import nothing\nexcept ImportError:\n    pass\nanswer = print\n"
    tree = plan(own(folder, source, include=("static",)), cache)
    assert {"/app/shop.pyc", "/app/goods/list_.pyc", "/app/static/page.html"} <= set(files(tree))
    assert "/app/unused.pyc" not in files(tree)
    assert files(tree)["/app/goods/__init__.pyc"].why == "imported by shop"
    assert not [path for path in files(tree) if path.endswith(".py") and not path.startswith("/usr/lib/squib/")]
    unpack(tree, root)
    script = (
        "import sys; sys.path[:] = ['/app', *sys.path, '/usr/lib/squib']; import shop, msgspec, time; print(msgspec.json.encode([1]),"
        " shop.list_.all() > '3', time.strptime('1', '%d').tm_mday, ''.encode('idna'))"
    )
    done = subprocess.run(
        [tool("chroot"), root, "/usr/bin/python3", "-IS", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", "b'[1]' True 1 b''\n")


LATER = """
import collections, email.message, functools, importlib.metadata, importlib.resources, gettext, hashlib, logging.config
import multiprocessing, pkgutil, platform, shelve, sysconfig, tarfile, urllib.request, uuid, xml.dom.minidom

def child():
    pass

def answer(request):
    assert importlib.resources.files("goods").joinpath("list.txt").read_text() == "tea"
    assert sysconfig.get_config_var("SOABI")
    assert collections.Counter("aab").most_common(1) == [("a", 2)]
    one = email.message.EmailMessage()
    one.set_content("x")
    assert one.as_bytes() and email.message_from_string("a: b")["a"] == "b"
    assert hashlib.blake2b(b"").hexdigest()
    gettext.translation("nothing", fallback=True)
    assert [module.name for module in pkgutil.iter_modules(["/app"])] == ["goods", "shop"]
    assert platform.platform() and platform.architecture()
    with shelve.open("/tmp/shelf") as shelf:
        shelf["a"] = 1
    tarfile.open("/tmp/x.tar.gz", "w:gz").close()
    urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert uuid.uuid5(uuid.NAMESPACE_URL, "a") and uuid.uuid1()
    assert xml.dom.minidom.parseString("<a/>").documentElement.tagName == "a"
    functools.singledispatch(answer).register(register)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0

def register(request: int):
    pass
"""
"""Uses of the standard library that import more of it, by name or in a function."""


@pytest.mark.root
def test_what_the_library_imports_by_name_is_there_too(tmp_path: Path, cache: Cache) -> None:
    folder, root = tmp_path / "shop", tmp_path / "root"
    (folder / "goods").mkdir(parents=True)
    root.mkdir()
    (folder / "goods" / "__init__.py").write_text("")
    (folder / "goods" / "list.txt").write_text("tea")
    unpack(plan(own(folder, "import goods\n" + LATER, include=("goods/list.txt",)), cache), root)
    script = "import sys; sys.path[:] = ['/app', *sys.path, '/usr/lib/squib']; import shop; shop.answer(None)"
    done = subprocess.run(
        [tool("chroot"), root, "/usr/bin/python3", "-IS", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("source", "module"),
    [("import importlib.resources\n", "importlib/readers"), ("import sysconfig\n", interpreter.sysconfig_data())],
)
def test_a_module_that_the_library_imports_by_name_is_there(tmp_path: Path, cache: Cache, source: str, module: str) -> None:
    tree = files(plan(own(tmp_path, source + "answer = print\n"), cache))
    library = f"/usr/lib/python{interpreter.running().short_version}"
    assert tree[f"{library}/{module}.pyc"].why == f"imported later by {source.split()[1]}"


def test_the_name_of_sysconfig_s_data_is_the_guest_s(monkeypatch: pytest.MonkeyPatch) -> None:
    name = interpreter.sysconfig_data()
    monkeypatch.setenv("_PYTHON_SYSCONFIGDATA_NAME", "of_another_machine")
    assert interpreter.sysconfig_data() == name
    assert os.environ["_PYTHON_SYSCONFIGDATA_NAME"] == "of_another_machine"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages: `Tea-Shop`, whose module is `kettle`, `Plain` without RECORD, and one that nobody imports."""
    folder = tmp_path / "packages"
    for name, module, version in (("Tea_Shop", "kettle", "1.5"), ("Plain", "plain", "2"), ("unused", "unused", "3")):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (folder / module).mkdir()
        (folder / module / "__init__.py").write_text("")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
        (info / "direct_url.json").write_text("{}")
        if name != "Plain":
            (info / "RECORD").write_text(f"{module}/__init__.py,,\n{info.name}/METADATA,,\n")
    (folder / "Tea_Shop-1.5.dist-info" / "entry_points.txt").write_text("[teas]\ngreen = kettle:boil\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def dist_info(tree: RootfsTree) -> list[str]:
    names = (path.removeprefix("/usr/lib/squib/") for path in files(tree) if ".dist-info/" in path)
    return [name for name in names if not name.startswith("httptools-")]  # squib's server brings it


@pytest.mark.root
@pytest.mark.usefixtures("packages")
def test_what_importlib_metadata_reads_is_there(tmp_path: Path, cache: Cache) -> None:
    folder, root = tmp_path / "shop", tmp_path / "root"
    folder.mkdir()
    root.mkdir()
    tree = plan(own(folder, "import kettle, plain, importlib.metadata\nanswer = print\n"), cache)
    unpack(tree, root)
    script = (
        "import sys; sys.path[:] = ['/app', *sys.path, '/usr/lib/squib']; from shop import importlib; of = importlib.metadata;"
        "print(of.version('tea-shop'), of.metadata('plain')['Name'], [point.value for point in of.entry_points(group='teas')])"
    )
    done = subprocess.run(
        [tool("chroot"), root, "/usr/bin/python3", "-IS", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", "1.5 Plain ['kettle:boil']\n")


@pytest.mark.usefixtures("packages")
def test_of_a_distribution_s_metadata_the_installer_s_notes_stay_out(tmp_path: Path, cache: Cache) -> None:
    shop = own(tmp_path, "import kettle, plain\nanswer = print\n")
    tree = plan(shop, cache)
    assert dist_info(tree) == [
        "Plain-2.dist-info/METADATA",
        "Plain-2.dist-info/RECORD",
        "Tea_Shop-1.5.dist-info/METADATA",
        "Tea_Shop-1.5.dist-info/RECORD",
        "Tea_Shop-1.5.dist-info/entry_points.txt",
    ]
    listed = files(tree)["/usr/lib/squib/Tea_Shop-1.5.dist-info/RECORD"].data.decode().splitlines()
    assert {f"/usr/lib/squib/{line.removesuffix(',,')}" for line in listed} <= set(files(tree))
    assert "kettle/__init__.py,," in listed
    assert plan(shop, cache) == tree


@pytest.mark.parametrize(
    ("source", "image", "said"),
    [
        ("import os\nimport nothing_here\n", {}, "shop.py:2: there is no module nothing_here"),
        ("def f(:\n", {}, "shop.py:1: "),
        ("x = " + "(" * 5000 + ")" * 5000, {}, "shop.py"),
        ("x = " + "-" * 20000 + "1", {}, "shop.py:1: too deeply nested"),
        ("answer = 1\n", {"modules": ("nothing.here",)}, "image.modules: there is no module nothing.here"),
        ("answer = 1\n", {"include": ("../x",)}, "image.include: ../x must be a path below"),
        ("answer = 1\n", {"include": ("/etc/passwd",)}, "image.include: /etc/passwd must be"),
        ("answer = 1\n", {"include": ("gone",)}, "image.include: gone is not in"),
        ("answer = 1\n", {"include": ("link",)}, "link is a symbolic link that leaves"),
    ],
)
def test_what_is_wrong_with_an_appliance(
    tmp_path: Path, cache: Cache, source: str, image: dict[str, tuple[str, ...]], said: str
) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ApplianceError) as caught:
        plan(own(tmp_path, source, **image), cache)
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_module_to_serve_that_is_nowhere(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ApplianceError, match="there is no module elsewhere"):
        plan(Appliance("shop", "elsewhere:answer", tmp_path), cache)
