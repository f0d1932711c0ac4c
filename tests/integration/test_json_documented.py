"""docs/json.md says of every field what the real output has: the same names, and values of the types it tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from squib.app.inspecting import inspect
from squib.cli.doctor import report_json
from squib.cli.json_output import inspection_json, machine_json
from squib.host.process import myself
from squib.model.findings import Level, Row
from squib.model.machine import Accel, EndedBy
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.store import Machine, Reservation, Store
from squib.wire import run_spec
from support import PROJECT

_ROW = re.compile(r"^\| `(?P<field>[\w.]+)` \| (?P<type>[a-z ]+) \|", re.MULTILINE)
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def documented(section: str) -> dict[str, str]:
    text = (PROJECT / "docs/json.md").read_text()
    body = re.split(r"^## ", text.partition(f"## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return {match["field"]: match["type"].strip() for match in _ROW.finditer(body)}


def fields(
    value: dict[str, object], prefix: str = "", free: tuple[str, ...] = ("spec.values",)
) -> Iterator[tuple[str, object]]:
    """Every field with its value; those of objects in objects and arrays with a dotted name. `free` have keys of users."""
    for name, inner in value.items():
        path = prefix + name
        yield path, inner
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict) and path not in free:
                yield from fields(one, f"{path}.")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, ...]]:
    """One that runs (as far as anybody can see: its VMM is this process), one that has ended, one of which little is known."""
    artifact = tmp_path / "out"
    artifact.mkdir()
    spec = RunSpec((("port", "81"),), 128, 1, (Publish(LOOPBACK, 0, 80),), "clock", Accel.TCG)
    with Store(tmp_path / "squib") as store:
        wish = Reservation(
            *("clock", "clock", (Publish(LOOPBACK, 0, 80),), "qemu", Accel.TCG, "a" * 64, 128, 1),
            *("because", run_spec.encode(spec), artifact, "b" * 64),
        )
        running = store.reserve(wish)
        store.started(running.id, myself())
        store.ready(running.id, 2500)
        store.detached(running.id)
        running.run_dir.mkdir(parents=True)
        (running.run_dir / "console.log").touch()
        ended = store.reserve(Reservation("ended", "clock", (), "qemu", Accel.TCG, "a" * 64, 128, 1))
        store.exited(ended.id, 70, "crashed", EndedBy.SERVER)
        store.reserve(Reservation("new", "clock", (), "qemu", Accel.TCG, "a" * 64, 128, 1))
        yield store.list()


def hold(section: dict[str, str], outputs: list[dict[str, object]]) -> None:
    seen: dict[str, list[object]] = {}
    for output in outputs:
        json.dumps(output)
        for name, value in fields(output):
            seen.setdefault(name, []).append(value)
    assert set(seen) == set(section)
    for name, values in seen.items():
        allowed = tuple(kind for word in section[name].split(" or ") for kind in _TYPES[word])
        for value in values:
            right = isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)
            assert right, f"{name} is {value!r}, and should be {section[name]}"


def test_a_machine(machines: tuple[Machine, ...]) -> None:
    hold(documented("A machine"), [machine_json(machine) for machine in machines])


def test_an_inspected_machine(machines: tuple[Machine, ...]) -> None:
    outputs = [inspection_json(inspect(machine)) for machine in machines]
    # An image that is there: as inspect shows it, with a file.
    image = outputs[0]["image"]
    assert isinstance(image, dict)
    image["files"] = [{"name": "vmlinux", "size": 1, "sha256": "c" * 64}]
    hold(documented("A machine") | documented("An inspected machine"), outputs)


def test_a_doctors_report() -> None:
    rows = [Row("kvm", Level.WARNING, "no", "squib doctor --retry"), Row("memory", Level.OK, "enough")]
    hold(
        documented("A doctor's report"), [report_json(rows), report_json([*rows, Row("qemu", Level.MISSING, "not installed")])]
    )


def test_null_is_told_where_it_comes(machines: tuple[Machine, ...]) -> None:
    """A field that was null in one of these must be documented so; one that never is, is null nowhere."""
    section = documented("A machine")
    nulls = {name for machine in machines for name, value in machine_json(machine).items() if value is None}
    assert nulls == {name for name, kind in section.items() if "null" in kind}
