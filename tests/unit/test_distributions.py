"""Installed distributions: whose a module is, what is read of their metadata, and what they require."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.build.distributions import Distribution, Distributions, parse_metadata, recorded
from squib.build.editable import mapped_modules
from squib.build.module_finder import Form, Kind, Module
from squib.build.requirements import required
from squib.build.time_zones import entries, version
from squib.model.tree import File, Symlink
from trees import distribution


def installed(*folders: Path) -> Distributions:
    return Distributions(folders, Path.read_bytes)


def module(folder: Path, where: str) -> Module:
    name = where.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Module(name, Kind.INSTALLED, Form.SOURCE, folder / where, f"/usr/lib/squib/{where}")


def test_metadata_is_read_up_to_the_description() -> None:
    text = "Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0\nRequires-Dist: a; x == 'y:z'\n\nName: other\nRequires-Dist: b\n"
    assert parse_metadata(text) == ("PyYAML", "6.0", ("a; x == 'y:z'",))
    assert parse_metadata("") == ("", "", ())


@given(st.text())
def test_no_metadata_and_no_record_breaks_the_reading(text: str) -> None:
    parse_metadata(text)
    for path in recorded(text):
        assert not path.startswith("/")
        assert ".." not in path.split("/")


ROW = st.lists(st.text(string.ascii_letters + '., "-', min_size=1).filter(lambda part: part.strip(".") == part), min_size=1)


@given(st.lists(ROW.map("/".join), unique=True))
def test_every_row_of_a_record_is_read(paths: list[str]) -> None:
    wanted = {path for path in paths if not path.endswith((".pyc", ".pyo"))}
    quoted = ('"{}",sha256=x,1'.format(path.replace('"', '""')) for path in paths)
    assert set(recorded("\n".join(quoted))) == wanted


def test_the_first_of_a_name_counts(tmp_path: Path) -> None:
    for folder, number in (("one", "1"), ("two", "2")):
        distribution(tmp_path / folder, "Tea.Pot", number, {"pot.py": ""})
    found = installed(tmp_path / "one", tmp_path / "two").named("tea-pot")
    assert found is not None
    assert (found.name, found.version, [where for where, _ in found.files]) == ("Tea.Pot", "1", ["pot.py"])


def test_a_module_is_of_the_distribution_that_lists_it(tmp_path: Path) -> None:
    distribution(tmp_path, "a-b", "1", {"space/b.py": "", "space,odd.py": ""})
    distribution(tmp_path, "a", "2", {"space/a.py": ""})
    (tmp_path / "alone").mkdir()
    for name in ("__init__.py", "inner.py", "data.txt"):
        (tmp_path / "alone" / name).write_text("")
    all_of_them = installed(tmp_path)
    assert all_of_them.owner(module(tmp_path, "space/a.py")).name == "a"
    assert all_of_them.owner(module(tmp_path, "space/b.py")).name == "a-b"
    alone = all_of_them.owner(module(tmp_path, "alone/inner.py"))
    assert (alone.name, alone.version, alone.info) == ("alone", "", None)
    assert [where for where, _ in alone.files] == ["alone/__init__.py", "alone/data.txt", "alone/inner.py"]


def names(found: Distribution, all_of_them: Distributions) -> list[str]:
    return sorted(other.name for other, _ in required(found, all_of_them))


@pytest.mark.parametrize(
    ("requirement", "wanted"),
    [
        ("b", ["b"]),
        ("B>=1,<2 ; python_version >= '3.11'", ["b"]),
        ("b (>=1)", ["b"]),
        ("b; python_version < '3'", []),
        ("b; extra == 'more'", []),
        ("b[deep]", ["b", "c"]),
        ("b @ file:///somewhere", ["b"]),
        ("absent", []),
        ("b; nonsense == 1", []),
        ("!", []),
    ],
)
def test_requirements_that_hold_here(tmp_path: Path, requirement: str, wanted: list[str]) -> None:
    distribution(tmp_path, "a", "1", {}, f"Requires-Dist: {requirement}")
    distribution(tmp_path, "b", "1", {}, "Requires-Dist: c; extra == 'deep'\nRequires-Dist: a")
    distribution(tmp_path, "c", "1", {})
    all_of_them = installed(tmp_path)
    found = all_of_them.named("a")
    assert found is not None
    assert names(found, all_of_them) == wanted


def test_a_finder_of_an_editable_install_is_read_and_not_run(tmp_path: Path) -> None:
    place = tmp_path / "src" / "pot"
    place.mkdir(parents=True)
    (place / "lid.so").write_bytes(b"")
    ran = tmp_path / "ran"
    (tmp_path / "x.pth").write_text(f"# a comment\n{tmp_path}\nimport _x_editable\nimport sys; sys.exit(1)\nimport absent\n")
    (tmp_path / "_x_editable.py").write_text(
        f"open({str(ran)!r}, 'w')\ninstall({{'pot': {str(place / '__init__.py')!r}, 'pot.lid': {str(place / 'lid.so')!r}, 'gone': '/no/where'}},"
        " {'pot.other': 'relative.so'}, None)\n"
    )
    assert mapped_modules((tmp_path,)) == {"pot.lid": place / "lid.so"}  # pot/__init__.py is not there
    (place / "__init__.py").write_text("")
    assert mapped_modules((tmp_path,)) == {"pot": place, "pot.lid": place / "lid.so"}
    (tmp_path / "_x_editable.py").write_text("no python (")
    assert mapped_modules((tmp_path,)) == {}
    assert not ran.exists()


def test_time_zones_of_a_machine(tmp_path: Path) -> None:
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(b"TZif2")
    (tmp_path / "right").mkdir()
    (tmp_path / "right" / "UTC").write_bytes(b"TZif2")
    (tmp_path / "Berlin").symlink_to("Europe/Berlin")
    (tmp_path / "localtime").symlink_to("/etc/localtime")
    (tmp_path / "out").symlink_to("../elsewhere")
    assert version(tmp_path) == ""
    (tmp_path / "tzdata.zi").write_text("# version 2026a\nR x\n")
    assert version(tmp_path) == "2026a"
    found = {entry.path: entry for entry in entries(Path.read_bytes, tmp_path)}
    zones = "/usr/share/zoneinfo"
    assert set(found) == {f"{zones}/Berlin", f"{zones}/Europe/Berlin", f"{zones}/tzdata.zi"}
    assert isinstance(found[f"{zones}/Berlin"], Symlink)
    assert isinstance(found[f"{zones}/Europe/Berlin"], File)
