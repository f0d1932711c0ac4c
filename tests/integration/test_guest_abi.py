"""docs/guest-abi.md: what squib writes the guest reads, what the guest writes squib reads, and the page says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import UsageError
from squib.formats import console_lines, kernel_cmdline
from squib.guest import cmdline, console, options, privileges, spec, supervisor
from squib.model.appliance import RESERVED_KEY_NAMES, Appliance, Key, KeyType, Value
from squib.model.keys import check_value
from squib.wire import guest_spec
from support import PROJECT

PAGE = (PROJECT / "docs/guest-abi.md").read_text()

names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def appliance(*keys: Key) -> Appliance:
    return Appliance("shop", "shop:answer", Path("/srv"), summary="a shop", keys=keys)


def test_one_version_everywhere() -> None:
    stated = re.search(r"# The guest ABI, version (\d+)", PAGE)
    assert stated is not None
    assert int(stated[1]) == guest_spec.ABI == spec.ABI == console.ABI == console_lines.ABI


@given(st.lists(st.tuples(names, st.sampled_from(KeyType), texts), max_size=4, unique_by=lambda key: key[0]), st.tuples(texts))
def test_the_guest_reads_the_spec_that_squib_writes(keys: list[tuple[str, KeyType, str]], folders: tuple[str]) -> None:
    written = guest_spec.encode(appliance(*(Key(name, type_, default, default) for name, type_, default in keys)), folders)
    read = spec.loads(written)
    assert (read.name, read.summary, read.serve, read.sys_path) == ("shop", "a shop", "shop:answer", folders)
    assert [(key.name, key.type, key.default, key.doc) for key in read.keys] == [(n, t.value, d, d) for n, t, d in keys]


@given(st.dictionaries(names.filter(lambda name: name not in RESERVED_KEY_NAMES), texts, max_size=4))
def test_the_guest_reads_the_parameters_that_squib_writes(values: dict[str, str]) -> None:
    line = kernel_cmdline.join(["console=ttyS0", *kernel_cmdline.squib_parameters(values), "ro"])
    assert cmdline.parse(line.encode() + b"\n").argv == tuple(f"--{name}={value}" for name, value in values.items())


def test_squib_reads_the_lines_that_the_guest_writes() -> None:
    lines = [
        console.boot_line(),
        console.ready_line(["tcp:0.0.0.0:80", "tcp:[::]:80", "unix:/run/a b,c"]),
        console.restart_line(2, 200, "signal:9"),
        console.exit_line(70, "crashed"),
    ]
    read = console_lines.find("\n".join(line.rstrip("\n") for line in lines).encode() + b"\n")
    boot, ready, restart, end = read
    assert isinstance(boot, console_lines.Boot)
    assert isinstance(ready, console_lines.Ready)
    assert ready.listen == ("tcp:0.0.0.0:80", "tcp:[::]:80", "unix:/run/a b,c")
    assert restart == console_lines.Restart(2, 200, "signal:9")
    assert end == console_lines.Exit(70, "crashed")


def test_the_page_has_every_ending() -> None:
    endings = {(end.status, end.reason) for end in vars(supervisor).values() if isinstance(end, supervisor.Exit)}
    table = {(int(status), reason) for status, reason in re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)}
    assert table == endings


def test_the_page_has_the_numbers_of_the_server_process() -> None:
    assert f"User and group id {privileges.SERVER_ID}" in PAGE
    assert f"after {supervisor.FIRST_DELAY_MS} ms" in PAGE
    assert f"at most {supervisor.MAX_DELAY_MS // 1000} s; after the fifth death" in PAGE
    assert supervisor.MAX_DEATHS == 5
    assert f"at most {supervisor.STOP_MS // 1000} s" in PAGE
    assert f"ready for {supervisor.STEADY_MS // 1000} s" in PAGE


def test_no_key_may_hide_an_option_of_the_server() -> None:
    assert set(options._OWN) <= RESERVED_KEY_NAMES


@pytest.mark.parametrize(
    ("type_", "text", "right"),
    [
        (KeyType.PORT, "80", True), (KeyType.PORT, "65535", True), (KeyType.PORT, "0", False), (KeyType.PORT, "65536", False),
        (KeyType.PORT, "eighty", False), (KeyType.PORT, "", False), (KeyType.PORT, "-1", False), (KeyType.PORT, " 80", False),
        (KeyType.INT, "0", True), (KeyType.INT, "-3", True), (KeyType.INT, "3.5", False), (KeyType.INT, "three", False),
        (KeyType.INT, "", False), (KeyType.BOOL, "true", True), (KeyType.BOOL, "false", True), (KeyType.BOOL, "yes", False),
        (KeyType.BOOL, "", False), (KeyType.STRING, "", True), (KeyType.STRING, "any thing", True),
    ],
)  # fmt: skip
def test_both_sides_take_and_refuse_the_same_values(type_: KeyType, text: str, right: bool) -> None:
    default: Value = "" if type_ is KeyType.STRING else type_ is not KeyType.BOOL
    key = Key("key", type_, default, "")
    try:
        check_value(key, text)
        host = True
    except UsageError:
        host = False
    try:
        options.parse(spec.loads(guest_spec.encode(appliance(key), ())), [f"--key={text}"], {}, "shop")
        guest = True
    except options.UsageProblem:
        guest = False
    assert (host, guest) == (right, right)
