"""manifest.json: decode∘encode is the identity, and no other bytes are taken without a clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import ApplianceError
from squib.model.appliance import (
    RESERVED_KEY_NAMES,
    Appliance,
    BudgetSettings,
    HealthSettings,
    ImageSettings,
    Key,
    KeyType,
    MachineSettings,
    NetworkSettings,
    RestartPolicy,
    RestartSettings,
)
from squib.model.image import FileRecord, InputRecord, KernelRecord, Manifest
from squib.wire.manifest import MAX_BYTES, decode, encode

FOLDER = Path("/srv/artifact")
NAMES = ("initrd.img", "rootfs.ext4", "vmlinux")

name = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
line = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)
identifier = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
digest = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
port = st.integers(1, 65535)
mib = st.integers(1, 1 << 20)
defaults = {
    KeyType.BOOL: st.booleans(),
    KeyType.INT: st.integers(-(10**18) + 1, 10**18 - 1),
    KeyType.PORT: port,
    KeyType.STRING: line,
}
keys = st.sampled_from(KeyType).flatmap(
    lambda type_: st.builds(
        Key,
        name=name.filter(lambda text: text not in RESERVED_KEY_NAMES and (text != "port" or type_ is KeyType.PORT)),
        type=st.just(type_),
        default=defaults[type_],
        doc=line,
    )
)
appliances = st.builds(
    Appliance,
    name=name,
    serve=st.tuples(identifier, identifier).map(":".join),
    folder=st.just(FOLDER),
    summary=line,
    keys=st.lists(keys, max_size=3, unique_by=lambda key: key.name).map(tuple),
    machine=st.builds(MachineSettings, mib, st.integers(1, 32)),
    network=st.builds(NetworkSettings, st.lists(port, max_size=3, unique=True).map(tuple), st.booleans()),
    image=st.builds(ImageSettings, st.lists(identifier, max_size=3).map(tuple), st.lists(identifier, max_size=3).map(tuple)),
    restart=st.builds(RestartSettings, st.sampled_from(RestartPolicy), st.integers(1, 100)),
    budget=st.builds(BudgetSettings, st.none() | st.integers(1, 600_000), st.none() | mib, st.none() | mib),
    health=st.none()
    | st.builds(
        HealthSettings,
        st.just("/health"),
        st.integers(1000, 10**8),
        st.integers(1, 10**8),
        st.integers(1, 100),
        st.integers(0, 10**8),
    ),
)
files = st.tuples(*(st.builds(FileRecord, st.just(one), st.integers(0, 1 << 40), digest) for one in NAMES))
manifests = st.builds(
    Manifest,
    squib=line,
    abi=st.integers(0, 1 << 16),
    appliance=appliances,
    kernel=st.builds(KernelRecord, line, line, st.integers(0, 1 << 20)),
    files=st.booleans().flatmap(lambda with_initrd: files if with_initrd else files.map(lambda all_: all_[1:])),
    inputs=st.lists(st.builds(InputRecord, line, line, digest), max_size=3).map(tuple),
)
WHOLE = Manifest(
    "0.1.0",
    2,
    Appliance(
        "shop",
        "app:answer",
        FOLDER,
        "A shop.",
        (Key("debug", KeyType.BOOL, False, "d"), Key("n", KeyType.INT, 3, "n"), Key("port", KeyType.PORT, 80, "p")),
        health=HealthSettings(),
        budget=BudgetSettings(1, 1, 1),
        image=ImageSettings(("static",), ("json",)),
    ),
    KernelRecord("6.1", "a package", 64),
    tuple(FileRecord(one, 1, "0" * 64) for one in NAMES),
    (InputRecord("python", "3.11", "1" * 64),),
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values = scalars | st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)


@given(manifests)
def test_decode_undoes_encode(manifest: Manifest) -> None:
    assert decode(encode(manifest), FOLDER) == manifest


@given(manifests, st.data())
def test_a_cut_manifest_is_refused(manifest: Manifest, data: st.DataObject) -> None:
    whole_bytes = encode(manifest)
    cut = data.draw(st.integers(0, len(whole_bytes) - 3))
    with pytest.raises(ApplianceError, match=r"manifest\.json"):
        decode(whole_bytes[:cut], FOLDER)


@given(st.binary())
def test_any_bytes_give_a_clear_error(data: bytes) -> None:
    with pytest.raises(ApplianceError):
        decode(data, FOLDER)


@given(st.data())
def test_a_changed_manifest_is_taken_or_refused_in_words(data: st.DataObject) -> None:
    """What is taken is a manifest that squib could have written: it is the same once more."""
    document = json.loads(encode(WHOLE))
    for _ in range(data.draw(st.integers(1, 3))):
        _change(document, data)
    try:
        manifest = decode(json.dumps(document).encode(), FOLDER)
    except ApplianceError:
        return
    assert decode(encode(manifest), FOLDER) == manifest
    assert all(1 <= one <= 65535 for one in manifest.appliance.network.ports)
    assert 0 <= manifest.kernel.load_mib <= 1 << 20


def _change(node: Any, data: st.DataObject) -> None:
    """Something somewhere below `node` becomes another value, or goes, or is joined by a new one."""
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        if isinstance(node[place], dict | list) and data.draw(st.booleans()):
            node = node[place]
            continue
        match data.draw(st.sampled_from(["replace", "remove", "repeat"])):
            case "replace":
                node[place] = data.draw(values)
            case "remove":
                del node[place]
            case _ if isinstance(node, list):
                node.append(node[place])
            case _:
                node[data.draw(st.text(max_size=5))] = data.draw(values)
        return


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("appliance", "ports"), [70000], "appliance.ports: expected 1 to 65535"),
        (("appliance", "ports"), [0], "appliance.ports: expected 1 to 65535"),
        (("appliance", "ports"), [80, 80], "each port once"),
        (("appliance", "keys", 1, "default"), "abc", r"appliance.keys\[1\].default: expected a whole number"),
        (("appliance", "keys", 0, "default"), 1, "expected true or false"),
        (("appliance", "keys", 2, "default"), 0, "expected a port"),
        (("appliance", "keys", 2, "type"), "int", 'expected "port"'),
        (("appliance", "keys", 1, "name"), "debug", "each key once"),
        (("appliance", "keys", 1, "name"), "help", "no option of squib's own"),
        (("appliance", "name"), "a\x1b[31m", "appliance.name: expected a lower-case letter"),
        (("appliance", "name"), "../../etc", "appliance.name"),
        (("appliance", "serve"), "os.system", "appliance.serve"),
        (("appliance", "summary"), "two\nlines", "one line of text"),
        (("appliance", "mem_size_mib"), -1, "1 to 1048576"),
        (("appliance", "vcpu_count"), 33, "1 to 32"),
        (("appliance", "include"), ["../x"], "below the appliance's folder"),
        (("appliance", "modules"), ["a b"], "names of Python modules"),
        (("appliance", "restart", "tries"), 0, "1 to 100"),
        (("appliance", "health", "path"), "no", "a path as in a request"),
        (("appliance", "health", "timeout_ms"), 0, "1 to "),
        (("appliance", "budget", "boot_ms"), 0, "1 to 600000"),
        (("kernel", "load_mib"), -(10**9), "kernel.load_mib: expected 0 to"),
        (("kernel", "release"), "6\x1b", "control characters"),
        (("abi",), -1, "0 to 65536"),
        (("files", 0, "name"), "../passwd", "rootfs.ext4, vmlinux and perhaps initrd.img, each once"),
        (("files", 1, "name"), "vmlinux", "each once"),
        (("files", 0, "size"), -1, "size: expected 0 to"),
        (("files", 0, "sha256"), "F" * 64, "64 hexadecimal digits"),
        (("inputs", 0, "sha256"), "", "64 hexadecimal digits"),
    ],
)
def test_each_rule_of_the_appliance_file_holds_here_too(path: tuple[str | int, ...], value: object, told: str) -> None:
    document = json.loads(encode(WHOLE))
    at = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(ApplianceError, match=told):
        decode(json.dumps(document).encode(), FOLDER)


def test_nesting_and_length_are_bounded() -> None:
    for data in (b"[" * 100_000, b'{"squib":' * 100_000, b" " * (MAX_BYTES + 1), b'{"abi": ' + b"9" * 10_000 + b"}"):
        with pytest.raises(ApplianceError, match=r"manifest\.json"):
            decode(data, FOLDER)
