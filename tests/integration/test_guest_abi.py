"""docs/guest-abi.md: what squib writes the guest reads, what the guest writes squib reads, and the page says the same."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.app import boot_reporting
from squib.errors import UsageError
from squib.formats import console_lines, kernel_cmdline
from squib.guest import cmdline, console, health, marks, options, privileges, spec, supervisor
from squib.model.appliance import (
    RESERVED_KEY_NAMES,
    Appliance,
    HealthSettings,
    Key,
    KeyType,
    RestartPolicy,
    RestartSettings,
    Value,
)
from squib.model.keys import check_value
from squib.wire import guest_spec
from support import PROJECT

PAGE = (PROJECT / "docs/guest-abi.md").read_text()

names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def appliance(
    *keys: Key,
    restart: RestartSettings | None = None,
    health: HealthSettings | None = None,
) -> Appliance:
    return Appliance(
        "shop", "shop:answer", Path("/srv"), summary="a shop", keys=keys, restart=restart or RestartSettings(), health=health
    )


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


@given(
    st.builds(RestartSettings, st.sampled_from(RestartPolicy), st.integers(1, 100)),
    st.none() | st.builds(HealthSettings, texts, *[st.integers(0, 3_600_000)] * 4),
)
def test_the_guest_reads_what_squib_says_of_restarts_and_checks(
    restart: RestartSettings, checks: HealthSettings | None
) -> None:
    read = spec.loads(guest_spec.encode(appliance(restart=restart, health=checks), ()))
    assert (read.restart.policy, read.restart.tries) == (restart.policy.value, restart.tries)
    assert (read.health is None) == (checks is None)
    if read.health is not None:
        assert {name: getattr(read.health, name) for name in spec.Health.__slots__} == (checks and asdict(checks))


def test_both_sides_name_the_same_policies() -> None:
    assert {policy.value for policy in RestartPolicy} == {supervisor.ALWAYS, supervisor.ON_FAILURE, supervisor.NEVER}
    default = spec.Spec("a", "", "m:f", (), ()).restart
    assert (default.policy, default.tries) == (RestartSettings().policy.value, RestartSettings().tries)


def test_the_page_has_every_outcome_of_a_check() -> None:
    assert health.OK == supervisor.OK
    for outcome in (health.OK, "status:NNN", health.TIMEOUT, health.REFUSED, health.CLOSED, health.NO_HTTP):
        assert f"`{outcome}`" in PAGE
        assert len(outcome) <= health.RECORD_BYTES
    for state in (supervisor.STARTING, supervisor.OK, supervisor.FAILING, supervisor.UNHEALTHY):
        assert f"| `{state}` |" in PAGE


@given(st.dictionaries(names.filter(lambda name: name not in RESERVED_KEY_NAMES), texts, max_size=4))
def test_the_guest_reads_the_parameters_that_squib_writes(values: dict[str, str]) -> None:
    line = kernel_cmdline.join(["console=ttyS0", *kernel_cmdline.squib_parameters(values), "ro"])
    assert cmdline.parse(line.encode() + b"\n").argv == tuple(f"--{name}={value}" for name, value in values.items())


def test_squib_reads_the_lines_that_the_guest_writes() -> None:
    lines = [
        console.boot_line(),
        console.ready_line(["tcp:0.0.0.0:80", "tcp:[::]:80", "unix:/run/a b,c"]),
        console.restart_line(2, 200, "signal:9"),
        console.restart_line(3, 400, "health"),
        console.health_line("unhealthy", 3, "status:503"),
        console.clock_line(-25_000),
        console.marks_line([("python", 2_000_999), ("user", 1_000_000)], 64),
        console.exit_line(70, "crashed", "signal:9"),
    ]
    read = console_lines.find("\n".join(line.rstrip("\n") for line in lines).encode() + b"\n")
    boot, ready, restart, again, checked, clock, told, end = read
    assert isinstance(boot, console_lines.Boot)
    assert isinstance(ready, console_lines.Ready)
    assert ready.listen == ("tcp:0.0.0.0:80", "tcp:[::]:80", "unix:/run/a b,c")
    assert restart == console_lines.Restart(2, 200, "signal:9")
    assert again == console_lines.Restart(3, 400, "health")
    assert isinstance(checked, console_lines.Health)
    assert (checked.state, checked.failures, checked.check) == ("unhealthy", 3, "status:503")
    assert isinstance(clock, console_lines.Clock)
    assert clock.ahead_ms == -25_000
    assert told == console_lines.Marks({"user": 1000, "python": 2000}, 64)
    assert end == console_lines.Exit(70, "crashed", "signal:9")


def test_marks_are_asked_for_by_the_parameter_that_the_guest_knows() -> None:
    assert cmdline.MARKS.decode() == boot_reporting.MARKS_PARAMETER
    assert f"| `{boot_reporting.MARKS_PARAMETER}` |" in PAGE
    assert cmdline.parse(f"ro {boot_reporting.MARKS_PARAMETER} quiet".encode()).marks
    assert not cmdline.parse(b"ro squib.marks=1").marks, "that is an option of the appliance"


def test_the_page_has_every_mark() -> None:
    section = PAGE.partition("## Marks")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    source = "".join((PROJECT / f"src/squib/guest/{name}.py").read_text() for name in ("init", "watch"))
    taken = re.findall(r"\.mark\(\"(\w+)\"", source)
    assert sorted(told) == sorted({*taken, *marks.SERVER_MARKS, "user", "root"})


def test_the_page_has_every_ending() -> None:
    endings = {(end.status, end.reason) for end in vars(supervisor).values() if isinstance(end, supervisor.Exit)}
    table = {(int(status), reason) for status, reason in re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)}
    assert table == endings


def test_the_page_has_the_numbers_of_the_server_process() -> None:
    assert f"User and group id {privileges.SERVER_ID}" in PAGE
    assert f"after {supervisor.FIRST_DELAY_MS} ms" in PAGE
    assert f"at most {supervisor.MAX_DELAY_MS // 1000} s" in PAGE
    assert f"longer than interval and timeout and {supervisor.SILENCE_MS // 1000} s" in PAGE
    assert b"\r\nUser-Agent: squib-health\r\n" in health.request(("127.0.0.1", 80), "/")
    assert "`User-Agent: squib-health`" in PAGE
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
