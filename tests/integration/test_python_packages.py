"""What of Python is in an image: the standard library as far as code can get, and installed distributions as they were."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httptools
import pytest

from squib.build import interpreter
from squib.build.cache import Cache
from squib.model.tree import RootfsTree, Symlink
from support import tool
from trees import distribution, files, own, plan, run_answer

CODECS = """
import codecs, io, zipfile

def answer(request):
    names = ["ascii", "big5", "big5hkscs", "cp037", "cp437", "cp932", "cp949", "cp950", "cp1252", "euc_jis_2004", "euc_jp",
        "euc_kr", "gb18030", "gb2312", "gbk", "hz", "idna", "iso2022_jp", "iso2022_jp_2004", "iso2022_kr", "iso8859_15", "johab",
        "koi8_r", "latin_1", "mac_roman", "punycode", "raw_unicode_escape", "shift_jis", "tis_620", "unicode_escape", "utf_7",
        "utf_8_sig", "utf_16", "utf_32_le"]
    for name in names:
        assert "abc".encode(name).decode(name) == "abc", name
    for name in ["base64", "bz2", "hex", "quopri", "uu", "zlib"]:
        assert codecs.decode(codecs.encode(b"abc", name), name) == b"abc", name
    assert codecs.encode("abc", "rot13") == "nop"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    assert zipfile.ZipFile(file).read("a") == b"b"
    print("done")
"""

LIBRARY = """
import asyncio, concurrent.futures, dbm, email, http.client, inspect, json.tool, logging.config, os, pprint, shutil, sqlite3
import tempfile, time, urllib.request, warnings, xml.sax

async def several():
    process = await asyncio.create_subprocess_exec("/usr/bin/python3", "-IS", "-c", "")
    return await asyncio.gather(asyncio.to_thread(len, "abc"), process.wait())

def answer(request):
    os.makedirs("/tmp/a/b")
    for kind in ["zip", "tar", "gztar", "bztar", "xztar"]:
        shutil.unpack_archive(shutil.make_archive("/tmp/" + kind, kind, "/tmp/a"), "/tmp/out-" + kind)
    assert asyncio.run(several()) == [3, 0]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert list(pool.map(len, ["a"])) == [1]
    logging.config.dictConfig({"version": 1, "handlers": {"a": {"class": "logging.handlers.MemoryHandler", "capacity": 1}}})
    with dbm.open("/tmp/dbm", "c") as base:
        base["a"] = "b"
    assert "".join(sqlite3.connect(":memory:").iterdump())
    xml.sax.parseString(b"<a/>", xml.sax.ContentHandler())
    assert time.strptime("2020", "%Y").tm_year == 2020
    warnings.warn("a warning", stacklevel=1)
    assert email.message_from_string("a: b").as_bytes()
    assert inspect.signature(answer) and pprint.pformat({}) == "{}"
    print("done")
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, the only one but for what squib itself brings into an image."""
    folder, brought = tmp_path / "packages", tmp_path / "brought"
    folder.mkdir()
    brought.mkdir()
    (brought / "httptools").symlink_to(Path(httptools.__file__).parent)
    search_in(monkeypatch, folder, brought)
    return folder


def search_in(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    found = replace(interpreter.running(), search_path=folders)
    monkeypatch.setattr(interpreter, "running", lambda: found)


@pytest.mark.root
def test_every_codec_is_there(tmp_path: Path, cache: Cache) -> None:
    assert run_answer(plan(own(tmp_path / "shop", CODECS), cache), tmp_path / "root") == "done\n"


@pytest.mark.root
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_functions_of_the_library_import_is_there(tmp_path: Path, cache: Cache) -> None:
    source = LIBRARY.replace(
        '    warnings.warn("a warning", stacklevel=1)\n', "    warnings.simplefilter('ignore'); warnings.warn('a')\n"
    )
    assert run_answer(plan(own(tmp_path / "shop", source), cache), tmp_path / "root") == "done\n"


def test_what_no_appliance_can_reach_stays_out(tmp_path: Path, cache: Cache) -> None:
    tree = plan(own(tmp_path / "shop", "import asyncio, shutil, json.tool, multiprocessing, xml.sax\nanswer = print\n"), cache)
    library = f"/usr/lib/python{interpreter.running().short_version}/"
    tops = {
        path.removeprefix(library).partition("/")[0].removesuffix(".pyc") for path in files(tree) if path.startswith(library)
    }
    assert not tops & {
        "test",
        "idlelib",
        "tkinter",
        "lib2to3",
        "ensurepip",
        "pydoc_data",
        "pydoc",
        "doctest",
        "unittest",
        "turtle",
    }


def test_the_clock_has_what_squib_needs_and_no_more(cache: Cache) -> None:
    from squib.host.appliances import find_appliance

    names = files(plan(find_appliance("clock", Path("/")), cache))
    assert not [path for path in names if path.endswith(("shutil.pyc", "cp437.pyc", "inspect.pyc"))]


ZONES = """
import datetime, os, time, zoneinfo

def answer(request):
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    assert datetime.datetime(2026, 7, 1, tzinfo=zone).utcoffset() == datetime.timedelta(hours=2)
    assert "Europe/Berlin" in zoneinfo.available_timezones()
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    assert time.localtime(1782864000).tm_hour == 2, time.tzname
    print("done")
"""


@pytest.mark.root
def test_time_zones_come_from_the_distribution_where_it_is_installed(tmp_path: Path, cache: Cache) -> None:
    tree = plan(own(tmp_path / "shop", ZONES), cache)  # the tests' own environment has tzdata
    (link,) = (entry for entry in tree.entries if entry.path == "/usr/share/zoneinfo")
    assert isinstance(link, Symlink)
    assert run_answer(tree, tmp_path / "root") == "done\n"


@pytest.mark.root
@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    "source", [ZONES, ZONES.replace(", zoneinfo\n", "\n").replace("    zone", "    # ").replace("    assert ", "    # ", 2)]
)
def test_time_zones_come_from_this_machine_else(tmp_path: Path, cache: Cache, source: str) -> None:
    if not Path("/usr/share/zoneinfo/Europe/Berlin").exists():
        pytest.skip("this machine has no time zone database")
    appliance = own(tmp_path / "shop", source)
    tree = plan(appliance, cache)
    assert "/usr/share/zoneinfo/Europe/Berlin" in {entry.path for entry in tree.entries}
    assert plan(appliance, cache) == tree
    assert run_answer(tree, tmp_path / "root") == "done\n"


KETTLE: dict[str, str | bytes] = {
    "kettle/__init__.py": "import inspect\nfrom kettle import boil\nSOURCE = inspect.getsource(boil)\n",
    "kettle/boil.py": "def boil():\n    return 100  # degrees\n",
    "kettle/unused.py": "def late():\n    import wave\n    import cmd\n",
    "kettle/kettle.h": "int boil(void);\n",
    "kettle/boil.pyi": "def boil() -> int: ...\n",
    "kettle/py.typed": "",
    "kettle/{{name}}/__init__.py": "{{code}}",
    "kettle/template/app.py": "x = 1\n",
    "kettle/tests/__init__.py": "",
    "kettle/tests/test_boil.py": "import turtle\n",
    "kettle/tests/data.json": "{}",
    "kettle_extra.py": "",
}

READS = """
import importlib, importlib.metadata, importlib.resources, inspect, kettle

def answer(request):
    folder = importlib.resources.files("kettle")
    read = [folder.joinpath(name).read_text() for name in ("kettle.h", "boil.pyi", "template/app.py", "{{name}}/__init__.py")]
    assert all(read) and "degrees" in kettle.SOURCE and "degrees" in inspect.getsource(kettle.boil.boil)
    importlib.import_module(kettle.__name__ + chr(46) + "unused").late()
    found = importlib.metadata.distribution("Tea-Kettle")
    assert found.version == "1.5" and all(file.locate().exists() for file in found.files), found.files
    assert importlib.metadata.packages_distributions()["kettle"] == ["Tea-Kettle"]
    print("done")
"""


@pytest.mark.root
def test_a_distribution_is_whole(tmp_path: Path, packages: Path, cache: Cache) -> None:
    distribution(packages, "Tea-Kettle", "1.5", KETTLE)
    tree = plan(own(tmp_path / "shop", READS), cache)
    assert run_answer(tree, tmp_path / "root") == "done\n"
    names = set(files(tree))
    assert {
        "/usr/lib/squib/kettle_extra.py",
        "/usr/lib/squib/kettle/__pycache__/boil.cpython-{}{}.pyc".format(*sys.version_info),
    } <= names
    # Nobody speaks of its tests; and what tells of this machine stays out.
    assert not [path for path in names if "/tests/" in path or path.endswith(("direct_url.json", "INSTALLER"))]


@pytest.mark.parametrize("where", ["package", "appliance"])
def test_tests_that_code_reads_go_in(tmp_path: Path, packages: Path, cache: Cache, where: str) -> None:
    reader = "\nDATA = __import__('pathlib').Path(__file__).parent / 'tests' / 'data.json'\n"
    distribution(packages, "Tea-Kettle", "1.5", {**KETTLE, "kettle/paths.py": reader if where == "package" else ""})
    source = "import kettle\nanswer = print\n" + ("TEXT = 'tests/data.json'\n" if where == "appliance" else "")
    names = set(files(plan(own(tmp_path / "shop", source), cache)))
    assert {"/usr/lib/squib/kettle/tests/data.json", "/usr/lib/squib/kettle/tests/test_boil.py"} <= names


def test_what_a_distribution_requires_goes_in_too(tmp_path: Path, packages: Path, cache: Cache) -> None:
    wanted = ["Requires-Dist: Water (>=1)", "Requires-Dist: cup[handle]", "Requires-Dist: sugar; extra == 'sweet'"]
    wanted += ["Requires-Dist: ice; python_version < '3'", "Requires-Dist: not a requirement", "Requires-Dist: absent"]
    distribution(packages, "kettle", "1", {"kettle.py": ""}, "\n".join(wanted))
    distribution(packages, "cup", "1", {"cup.py": ""}, "Requires-Dist: handle.part; extra == 'handle'\nRequires-Dist: kettle")
    for name in ("water", "sugar", "ice", "handle_part"):
        distribution(packages, name, "1", {f"{name}.py": ""})
    tree = files(plan(own(tmp_path / "shop", "import kettle\nanswer = print\n"), cache))
    found = {
        path.removeprefix("/usr/lib/squib/") for path in tree if path.startswith("/usr/lib/squib/") and path.count("/") == 4
    }
    assert found == {"kettle.py", "water.py", "cup.py", "handle_part.py"}
    assert tree["/usr/lib/squib/water.py"].why == "part of water, required by kettle"


EDITABLE = {
    "a path": {"shop_lib.pth": "{src}\n"},
    "setuptools": {
        "__editable__.shop_lib-1.pth": "import __editable___shop_lib_1_finder; __editable___shop_lib_1_finder.install()\n",
        "__editable___shop_lib_1_finder.py": "MAPPING: dict[str, str] = {{'shop_lib': '{src}/shop_lib', 'spaces.deep': '{src}/spaces/deep'}}\n"
        "NAMESPACES: dict[str, list[str]] = {{'spaces': []}}\nraise SystemExit('this must not be run')\n",
    },
    "editables": {
        "_shop_lib.pth": "import _editable_impl_shop_lib\n",
        "_editable_impl_shop_lib.py": "from editables.redirector import RedirectingFinder as F\nF.install()\n"
        "F.map_module('shop_lib', '{src}/shop_lib/__init__.py')\nF.map_module('spaces.deep', '{src}/spaces/deep/__init__.py')\n",
    },
}


@pytest.mark.root
@pytest.mark.parametrize("kind", EDITABLE)
def test_an_editable_install_is_found(
    tmp_path: Path, packages: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = tmp_path / "project" / "src"
    for name in ("shop_lib", "spaces/deep"):
        (source / name).mkdir(parents=True)
        (source / name / "__init__.py").write_text("from . import inner\n")
        (source / name / "inner.py").write_text("VALUE = 7\n")
    (source / "shop_lib" / "data.txt").write_text("tea")
    if kind == "a path":
        search_in(monkeypatch, *interpreter.running().search_path, source)  # site.py puts it on sys.path
    distribution(packages, "shop-lib", "1", {name: text.format(src=source) for name, text in EDITABLE[kind].items()})
    url = f'{{"url": "file://{tmp_path}/project", "dir_info": {{"editable": true}}}}'
    (packages / "shop_lib-1.dist-info" / "direct_url.json").write_text(url)
    distribution(packages, "needing", "1", {"needing.py": ""}, "Requires-Dist: shop-lib")
    required = files(plan(own(tmp_path / "other", "import needing\nanswer = print\n"), cache))
    assert {"/usr/lib/squib/shop_lib/data.txt", "/usr/lib/squib/shop_lib/inner.py"} <= set(required)
    app = """
import importlib.metadata, importlib.resources, shop_lib, spaces.deep
def answer(request):
    text = importlib.resources.files("shop_lib").joinpath("data.txt").read_text()
    print(shop_lib.inner.VALUE, spaces.deep.inner.VALUE, text, importlib.metadata.version("shop-lib"))
"""
    tree = plan(own(tmp_path / "shop", app), cache)
    assert run_answer(tree, tmp_path / "root") == "7 7 tea 1\n"
    assert not [path for path, file in files(tree).items() if str(tmp_path).encode() in file.data]


@pytest.mark.root
def test_packages_of_the_distribution_are_known_by_their_egg_info(tmp_path: Path, packages: Path, cache: Cache) -> None:
    info = packages / "Tea_Pot-2.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.2\nName: Tea-Pot\nVersion: 2\n")
    (info / "top_level.txt").write_text("_pot\npot\n")
    (info / "requires.txt").write_text("lid>=1\n\n[extra]\nspoon\n")
    for name in ("_pot", "pot"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("")
    for name in ("lid", "spoon"):
        distribution(packages, name, "1", {f"{name}.py": ""})
    app = "import importlib.metadata, pot\ndef answer(request):\n    import _pot\n    print(importlib.metadata.version('tea-pot'))\n"
    tree = plan(own(tmp_path / "shop", app), cache)
    assert run_answer(tree, tmp_path / "root") == "2\n"
    assert "/usr/lib/squib/lid.py" in files(tree)
    assert "/usr/lib/squib/spoon.py" not in files(tree)


@pytest.mark.root
def test_portions_of_a_namespace_come_from_all_their_distributions(tmp_path: Path, packages: Path, cache: Cache) -> None:
    distribution(packages, "vast-one", "1", {"vast/one/__init__.py": "", "vast/one/data.txt": "1"})
    distribution(packages, "vast-two", "1", {"vast/two.py": ""}, "Requires-Dist: vast-one")
    distribution(packages, "vast-three", "1", {"vast/three.py": ""})
    tree = plan(
        own(tmp_path / "shop", "import vast.two\ndef answer(request):\n    import vast.one\n    print(vast.__path__)\n"), cache
    )
    assert run_answer(tree, tmp_path / "root").startswith("_NamespacePath(['/usr/lib/squib/vast'")
    assert "/usr/lib/squib/vast/one/data.txt" in files(tree)
    assert "/usr/lib/squib/vast/three.py" not in files(tree)


def compiled(path: Path, code: str, *options: str) -> bytes:
    """A shared library made of C."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".c")
    source.write_text(code)
    subprocess.run([tool("gcc"), "-shared", "-fPIC", "-o", path, source, *options], check=True)
    source.unlink()
    return path.read_bytes()


@pytest.mark.root
@pytest.mark.tool
def test_what_compiled_code_imports_is_there(tmp_path: Path, packages: Path, cache: Cache) -> None:
    code = 'void *PyImport_ImportModule(const char *);\nint go(void) { return PyImport_ImportModule("colorsys") && PyImport_ImportModule("xml.dom.pulldom"); }\n'
    module = compiled(tmp_path / "made" / "_c.so", code)
    loads = "import ctypes, pathlib\nlibrary = ctypes.PyDLL(str(pathlib.Path(__file__).parent / '_c.so'))\n"
    distribution(packages, "kettle", "1", {"kettle/__init__.py": loads, "kettle/_c.so": module})
    app = "import kettle\ndef answer(request):\n    print(kettle.library.go())\n"
    assert run_answer(plan(own(tmp_path / "shop", app), cache), tmp_path / "root") == "1\n"


@pytest.mark.root
@pytest.mark.tool
@pytest.mark.parametrize("numbers", [(7, 7), (7, 8)], ids=["alike", "different"])
def test_two_distributions_bring_a_library_of_one_name(
    tmp_path: Path, packages: Path, cache: Cache, numbers: tuple[int, int]
) -> None:
    for name, number in zip(("alpha", "beta"), numbers, strict=True):
        made = tmp_path / name
        quad = compiled(
            made / f"{name}.libs" / "libquad-1.so.0", f"int quad(void) {{ return {number}; }}\n", "-Wl,-soname,libquad-1.so.0"
        )
        code = "int quad(void);\nint go(void) { return quad(); }\n"
        module = compiled(
            made / name / "_c.so", code, str(made / f"{name}.libs" / "libquad-1.so.0"), f"-Wl,-rpath,$ORIGIN/../{name}.libs"
        )
        loads = "import ctypes, pathlib\ngo = ctypes.CDLL(str(pathlib.Path(__file__).parent / '_c.so')).go\n"
        distribution(
            packages, name, "1", {f"{name}/__init__.py": loads, f"{name}/_c.so": module, f"{name}.libs/libquad-1.so.0": quad}
        )
    for first, second in (("alpha", "beta"), ("beta", "alpha")):
        app = f"import {first}\nimport {second}\ndef answer(request):\n    print({first}.go())\n"
        tree = plan(own(tmp_path / "shop", app), cache)
        assert {"/usr/lib/squib/alpha.libs/libquad-1.so.0", "/usr/lib/squib/beta.libs/libquad-1.so.0"} <= set(files(tree))
        assert not [path for path in files(tree) if "libquad" in path and not path.startswith("/usr/lib/squib/")]
        assert run_answer(tree, tmp_path / f"root-{first}") == f"{dict(zip(('alpha', 'beta'), numbers, strict=True))[first]}\n"


@pytest.mark.tool
def test_a_library_that_only_unused_code_wants_may_be_missing(tmp_path: Path, packages: Path, cache: Cache) -> None:
    absent = tmp_path / "absent.so"
    compiled(absent, "int quad(void) { return 1; }\n", "-Wl,-soname,libabsent.so.1")
    plugin = compiled(tmp_path / "plugin.so", "int quad(void);\nint go(void) { return quad(); }\n", str(absent))
    distribution(packages, "kettle", "1", {"kettle/__init__.py": "", "kettle/plugin.so": plugin})
    tree: RootfsTree = plan(own(tmp_path / "shop", "import kettle\nanswer = print\n"), cache)
    assert "/usr/lib/squib/kettle/plugin.so" in files(tree)


@pytest.mark.root
def test_modules_that_the_appliance_names_in_strings_are_there(tmp_path: Path, cache: Cache) -> None:
    folder = tmp_path / "shop"
    (folder / "teas").mkdir(parents=True)
    for name in ("__init__", "green", "black", "cup"):
        (folder / "teas" / f"{name}.py").write_text("VALUE = 1\n")
    (folder / "pots.py").write_text("VALUE = 2\n")
    app = """
import sys
from importlib import import_module
if sys.platform == "win32":
    import winreg_of_another_system
def answer(request):
    wanted = "pots"
    print(import_module(f"teas.{'green'}").VALUE + import_module(wanted).VALUE + __import__("colorsys").ONE_THIRD)
"""
    tree = plan(own(folder, app), cache)
    assert run_answer(tree, tmp_path / "root").startswith("3.33")
    assert "/app/teas/black.pyc" in files(tree)
