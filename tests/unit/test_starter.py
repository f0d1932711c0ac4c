"""`squib init` writes all of its files or none, over nothing, and its appliance file shows every key."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from squib.app.starter import name_for, write_starter
from squib.errors import PermissionDeniedError, SquibError, StorageError, TakenError, UsageError
from squib.host.appliances import find_appliance
from squib.wire.appliance_file import decode
from squib.wire.appliance_schema import appliance_schema


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_it_writes_is_an_appliance(tmp_path: Path) -> None:
    written = write_starter(tmp_path / "new" / "shop", "shop")
    assert sorted(path.name for path in written) == ["app.py", "appliance.toml", "test_app.py"]
    appliance = find_appliance("new/shop", tmp_path)
    assert (appliance.name, appliance.serve, appliance.network.ports) == ("shop", "app:answer", (8000,))


def uncommented(text: str) -> str:
    return re.sub(r"^# (\w+ = |\[\w+\]$)", r"\1", text, flags=re.MULTILINE)


def test_every_key_is_shown_and_what_is_commented_out_is_right(tmp_path: Path) -> None:
    write_starter(tmp_path, "shop")
    text = uncommented((tmp_path / "appliance.toml").read_text())
    decode(text, tmp_path / "appliance.toml")
    document = tomllib.loads(text)
    for table, keys in _tables().items():
        shown = document if not table else document[table]
        assert keys <= shown.keys(), f"[{table}]"
    for key in document["keys"].values():
        assert key.keys() == {"type", "default", "doc"}


def _tables() -> dict[str, set[str]]:
    """The tables of the schema and their keys; "" is the top."""
    definitions: dict[str, Any] = appliance_schema()["$defs"]
    top = definitions["ApplianceFile"]["properties"]
    below = {name: child["$ref"].rpartition("/")[2] for name, child in top.items() if "$ref" in child}
    return {"": set(top)} | {name: set(definitions[struct]["properties"]) for name, struct in below.items()}


def test_a_default_that_is_commented_out_is_the_default(tmp_path: Path) -> None:
    write_starter(tmp_path, "shop")
    text = (tmp_path / "appliance.toml").read_text()
    definitions = appliance_schema()["$defs"]
    defaults = {
        (struct, name): child["default"]
        for struct, schema in definitions.items()
        for name, child in schema["properties"].items()
        if child.get("default") not in (None, (), [])  # of a list an example says more
    }
    for (_struct, name), default in defaults.items():
        for shown in re.findall(rf"^# {name} = (.*)$", text, re.MULTILINE):
            assert shown == json.dumps(default), name


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("My Shop!", "my-shop"), ("2nd_try", "nd-try"), ("...", "app"), ("x" * 40, "x" * 32), ("größe", "gr-e")],
)
def test_a_name_from_the_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert name_for(tmp_path / folder) == name


def test_no_folder_gives_a_bad_name(tmp_path: Path) -> None:
    for character in map(chr, range(1, 0x250)):
        if character != "/":
            folder = tmp_path / f"new{ord(character)}"
            write_starter(folder, name_for(tmp_path / (character * 3)))


@pytest.mark.parametrize("there", ["app.py", "test_app.py", "appliance.toml"])
def test_nothing_is_overwritten_and_nothing_else_is_written(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(TakenError, match=re.escape(there)):
        write_starter(tmp_path, "shop")
    assert contents(tmp_path) == {there: b"mine"}


def test_a_dangling_link_is_something_too(tmp_path: Path) -> None:
    (tmp_path / "app.py").symlink_to("nowhere")
    with pytest.raises(TakenError):
        write_starter(tmp_path, "shop")
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


def test_an_appliance_in_pyproject_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.squib]\nname = "a"\nserve = "a:b"\n')
    with pytest.raises(TakenError, match=r"tool\.squib"):
        write_starter(tmp_path, "shop")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    write_starter(tmp_path, "shop")


@pytest.mark.parametrize("name", ["", "Shop", "a b", "1a", "a" * 33, '"', "a\n"])
def test_a_wrong_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        write_starter(tmp_path / "new", name)
    assert contents(tmp_path) == {}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("last", ["app.py", "test_app.py", "appliance.toml"])
def test_a_failure_half_way_leaves_nothing(tmp_path: Path, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def full(self: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "x" and self.name == last:
            raise OSError(28, "No space left on device", str(self))
        return real(self, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="no space left"):
        write_starter(tmp_path / "a" / "b", "shop")
    assert list(tmp_path.iterdir()) == []


def test_somebody_who_is_quicker_keeps_his_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def race(self: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "x" and self.name == "test_app.py":
            self.write_bytes(b"theirs")
        return real(self, mode, **options)

    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", **options: real(self, mode, **options) if mode != "x" else race(self, mode, **options),
    )
    with pytest.raises(TakenError):
        write_starter(tmp_path, "shop")
    assert contents(tmp_path) == {"test_app.py": b"theirs"}


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_starter(tmp_path / "file", "shop")
    with pytest.raises(SquibError):
        write_starter(tmp_path / "file" / "below", "shop")


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionDeniedError):
        write_starter(tmp_path / "new", "shop")
