"""Firecracker's configuration file: any configuration comes back as it was, and any text is read or refused, never a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from firecracker_machines import MACHINES, TEXT
from squib.errors import ApplianceError
from squib.wire.firecracker import requests, vm_json
from squib.wire.firecracker.resources import FullVmConfiguration

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(MACHINES)
def test_round_trip(machine: FullVmConfiguration) -> None:
    assert vm_json.decode(vm_json.encode(machine).decode(), Path("vm.json")) == machine


@given(MACHINES)
def test_the_requests_say_what_the_file_says(machine: FullVmConfiguration) -> None:
    file = msgspec.json.decode(vm_json.encode(requests.addressable(machine)))
    told: dict[str, Any] = {}
    for request in requests.configure(machine):
        name, *rest = request.path.removeprefix("/").replace("mmds/config", "mmds-config").split("/")
        body = json.loads(request.body)
        if rest:
            assert [body[{"drives": "drive_id", "network-interfaces": "iface_id"}[name]]] == rest
            assert re.fullmatch(r"[A-Za-z0-9_]+", rest[0])
            told.setdefault(name, []).append(body)
        else:
            told[name] = body
    file.pop("cpu-config", None)  # the path of a file
    assert told == {name: value for name, value in file.items() if value != []}


@given(MACHINES)
def test_ids_for_paths_are_as_different_as_ids_were_and_those_that_fit_stay(machine: FullVmConfiguration) -> None:
    ids = [drive.drive_id for drive in machine.drives]
    made = [drive.drive_id for drive in requests.addressable(machine).drives]
    assert len(set(zip(ids, made, strict=True))) == len(set(ids)) == len(set(made))
    assert all(before == after for before, after in zip(ids, made, strict=True) if re.fullmatch(r"[A-Za-z0-9_]+", before))


@given(st.text())
def test_any_text(text: str) -> None:
    for decode in (vm_json.decode, vm_json.decode_metadata, vm_json.decode_cpu_config):
        try:
            decode(text, Path("f"))
        except ApplianceError as error:
            assert str(error).startswith("f:")


@given(st.data())
def test_a_file_with_something_wrong_in_it(data: st.DataObject) -> None:
    document = msgspec.json.decode(vm_json.encode(data.draw(MACHINES)))
    at: Any = document
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            at[key] = data.draw(JSON)
            break
        at = at[key]
    try:
        vm_json.decode(json.dumps(document), Path("f"))
    except ApplianceError as error:
        assert str(error).startswith("f:")


@given(st.dictionaries(TEXT, JSON))
def test_metadata_comes_through_whole(value: dict[str, Any]) -> None:
    assert json.loads(vm_json.decode_metadata(json.dumps(value, indent=1), Path("f"))) == value
