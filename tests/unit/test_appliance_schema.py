"""The JSON Schema and the decoder take the same files, and the schema, the docs and the structs name the same keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import ApplianceError
from squib.host.appliances import packaged
from squib.model.appliance import RESERVED_KEY_NAMES
from squib.wire.appliance_file import decode
from squib.wire.appliance_schema import appliance_schema
from support import PROJECT

SCHEMA = json.loads(json.dumps(appliance_schema()))
CHECK = jsonschema.Draft202012Validator(SCHEMA)
HEAD = 'name = "a"\nserve = "a:b"\n'

SHAPES = [  # each is wrong in one thing
    "",
    "name = 1\n",
    'name = "A b"\nserve = "a:b"\n',
    'name = "a"\nserve = "a"\n',
    HEAD + 'summary = "two\\nlines"\n',
    HEAD + "[machin]\nvcpus = 1\n",
    HEAD + '[machine]\nmemry = "1G"\n',
    HEAD + 'machine.memory = "12 apples"\n',
    HEAD + 'machine.memory = "0M"\n',
    HEAD + "machine.memory = 128\n",
    HEAD + "machine.vcpus = 0\n",
    HEAD + "machine.vcpus = 33\n",
    HEAD + 'keys.y = { type = "ints", default = 1 }\n',
    HEAD + 'keys.y = { type = "int", dfault = 1 }\n',
    HEAD + 'keys.y = { type = "int" }\n',
    HEAD + 'keys.x = { type = "int", default = "one" }\n',
    HEAD + 'keys.x = { type = "int", default = true }\n',
    HEAD + 'keys.x = { type = "bool", default = 1 }\n',
    HEAD + 'keys.x = { type = "string", default = 1 }\n',
    HEAD + 'keys.x = { type = "string", default = "\\u0000" }\n',
    HEAD + 'keys.x = { type = "port", default = 70000 }\n',
    HEAD + 'keys.x = { type = "port", default = 0 }\n',
    HEAD + 'keys.x = { type = "int", default = 1, doc = "\\u0007" }\n',
    HEAD + 'keys.help = { type = "int", default = 1 }\n',
    HEAD + 'keys."a b" = { type = "int", default = 1 }\n',
    HEAD + 'keys.port = { type = "int", default = 1 }\n',
    HEAD + "network.ports = [80, 80]\n",
    HEAD + "network.ports = [80, 'a']\n",
    HEAD + "network.ports = [0]\n",
    HEAD + "network.ports = 80\n",
    HEAD + 'network.outbound = "yes"\n',
    HEAD + 'image.include = ["../secrets"]\n',
    HEAD + 'image.include = ["a/../../b"]\n',
    HEAD + 'image.include = ["/etc/passwd"]\n',
    HEAD + 'image.include = [""]\n',
    HEAD + 'image.modules = ["a/b"]\n',
    HEAD + 'image.modules = ["../a"]\n',
    HEAD + 'image.modules = ["a..b"]\n',
    HEAD + 'image.modules = ["a."]\n',
    HEAD + 'image.modules = [""]\n',
    HEAD + 'restart.policy = "sometimes"\n',
    HEAD + "restart.tries = 0\n",
    HEAD + "restart.tries = 101\n",
    HEAD + 'health.path = "healthz"\n',
    HEAD + 'health.path = "/a b"\n',
    HEAD + 'health.path = "/a#b"\n',
    HEAD + 'health.interval = "0s"\n',
    HEAD + 'health.interval = "500ms"\n',
    HEAD + "health.interval = 10\n",
    HEAD + 'health.timeout = "1h"\n',
    HEAD + 'health.timeout = "10000s"\n',
    HEAD + "health.failures = 0\n",
    HEAD + 'health.start_period = "-1s"\n',
    HEAD + 'health.start_periode = "1s"\n',
    HEAD + "health = true\n",
    HEAD + "budget.boot_ms = 0\n",
    HEAD + "budget.boot_ms = 600001\n",
    HEAD + 'budget.boot_ms = "1s"\n',
    HEAD + "budget.rootfs_mib = 1.5\n",
    HEAD + "budget.memory_mib = 1048577\n",
    HEAD + "budget.boot_s = 1\n",
]


def decodes(text: str) -> bool:
    try:
        decode(text, Path("/srv/appliance.toml"))
    except ApplianceError:
        return False
    return True


def test_it_is_a_schema_of_2020_12() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    assert "null" not in json.dumps(SCHEMA), "TOML has no null"


@pytest.mark.parametrize("name", packaged())
def test_packaged_appliances_are_valid(name: str) -> None:
    CHECK.validate(tomllib.loads((PROJECT / "src/squib/appliances" / name / "appliance.toml").read_text()))


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + "network.ports = []\n",
        HEAD + 'machine.memory = "1GiB"\nmachine.vcpus = 32\n',
        HEAD + 'machine.memory = "64m"\nsummary = "ä shop"\n',
        HEAD + 'keys.port = { type = "port", default = 65535 }\nkeys.x = { type = "bool", default = false, doc = "x" }\n',
        HEAD + "[health]\n",
        HEAD + "[budget]\n",
        HEAD + "[budget]\nboot_ms = 600000\nrootfs_mib = 1\nmemory_mib = 1048576\n",
        HEAD + 'health = { path = "/h?a=b%20", interval = "9999m", timeout = "1ms", failures = 1, start_period = "0s" }\n',
        HEAD + 'restart = { policy = "on-failure", tries = 100 }\n',
        HEAD + 'image = { include = ["static", "a/b..c"], modules = ["a.b", "_c", "_d__x86_64-e", "f.2g"] }\n',
    ],
)
def test_what_the_decoder_takes_is_valid(text: str) -> None:
    assert decodes(text)
    CHECK.validate(tomllib.loads(text))


@pytest.mark.parametrize("text", SHAPES)
def test_what_the_decoder_refuses_is_not_valid(text: str) -> None:
    assert not decodes(text)
    assert not CHECK.is_valid(tomllib.loads(text))


_WORD = st.one_of(
    st.sampled_from(["a", "a:b", "/", "never", "9s", "1ms", "0m", "128M", "1G", "2GB", "0M", "port", "int", "bool", "string", "x/../y", "..", "a.b", *RESERVED_KEY_NAMES]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), max_size=6),
)  # fmt: skip
_VALUE: st.SearchStrategy[Any] = st.one_of(
    _WORD, st.booleans(), st.integers(-1, 70000), st.lists(st.one_of(_WORD, st.integers(0, 70000)), max_size=3)
)


def _toml(value: object) -> str:
    return json.dumps(value)


@given(
    st.sampled_from(["name", "serve", "summary", "machine.memory", "machine.vcpus", "network.ports", "network.outbound",
                     "image.include", "image.modules", "restart.policy", "restart.tries", "budget.boot_ms", "budget.memory_mib", "health.path", "health.interval", "health.timeout",
                     "health.failures", "health.start_period", "keys.x.type", "keys.x.default", "keys.x.doc", "keys.port.type", "keys.port.default"]),
    _VALUE,
)  # fmt: skip
def test_any_value_anywhere_is_judged_alike(key: str, value: object) -> None:
    lines = {"name": '"a"', "serve": '"a:b"', "keys.x.type": '"string"', "keys.x.default": '"v"', "keys.port.type": '"port"', "keys.port.default": "80"}  # fmt: skip
    lines[key] = _toml(value)
    text = "".join(f"{name} = {right}\n" for name, right in lines.items())
    assert decodes(text) == CHECK.is_valid(tomllib.loads(text)), text


@given(_WORD)
def test_any_name_of_a_key_is_judged_alike(name: str) -> None:
    text = HEAD + f'keys."{name}" = {{ type = "port", default = 80 }}\n'
    assert decodes(text) == CHECK.is_valid(tomllib.loads(text)), text


def _dotted(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Every key that holds a value, by its dotted name."""
    found: dict[str, dict[str, Any]] = {}
    for name, child in node["properties"].items():
        target = child.get("additionalProperties", child)  # a mapping's values
        where = f"{prefix}{name}" + (".NAME" if target is not child else "")
        if "$ref" in target:
            found |= _dotted(schema, schema["$defs"][target["$ref"].rpartition("/")[2]], f"{where}.")
        else:
            found[where] = child
    return found


def test_every_key_is_described_and_in_the_docs_with_its_default() -> None:
    keys = _dotted(SCHEMA, SCHEMA["$defs"]["ApplianceFile"])
    rows = re.findall(
        r"^\| `([\w.]+)` \| ([^|]*) \| ([^|]*) \|", (PROJECT / "docs/appliance-file.md").read_text(), re.MULTILINE
    )
    documented = {name: default.strip() for name, _, default in rows}
    assert set(documented) == set(keys)
    for name, schema in keys.items():
        assert schema["description"], name
        if "default" in schema:
            assert documented[name] == f"`{json.dumps(schema['default'])}`", name


def test_squib_schema_prints_it() -> None:
    done = subprocess.run([sys.executable, "-m", "squib", "schema"], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == SCHEMA
