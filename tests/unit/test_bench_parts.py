"""bench/build and bench/cli: what they make of measurements. (Times are no tests.)"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench import build, cli
from bench.machine import Machine
from bench.results import Measure, Promise, Results
from squib.cli.main import VERBS
from squib.model.tree import File, RootfsTree

MACHINE = Machine("a CPU", 2, 1024, "6.1", "a system", "3.11.2", "abc", {})


def results(part: str, measures: list[Measure], promises: list[Promise]) -> Results:
    return Results(part, "2026-11-24 15:00 UTC", False, MACHINE, measures, promises)


def test_every_verb_is_measured() -> None:
    assert {f"squib {verb} --help" for verb in VERBS} <= set(cli.commands())
    assert all(argv[0].endswith(("python", "python3")) for argv in cli.commands().values())


def test_cli_promises_are_ratios_of_a_round() -> None:
    measures = [
        Measure(what, whom, "", "ms", values)
        for what in ("wall", "cpu")
        for whom, values in ((cli.NOTHING, [10.0, 20.0]), (cli.HELP, [50.0, 60.0]))
    ]
    promises = cli.promises(measures)
    assert [(one.name, one.values) for one in promises] == [("cli.help", [50.0, 60.0]), ("cli.help-cpu", [5.0, 3.0])]
    found = results("cli", measures, promises)
    assert [row[0] for row in cli.tables(found)[0].rows] == [f"`{cli.NOTHING}`", f"`{cli.HELP}`"]
    ET.fromstring(cli.charts(found)["cli-start.svg"])


def test_build_sizes_by_part() -> None:
    tree = RootfsTree.of(
        [
            File("/usr/bin/python3", b"12345"), File("/lib64/ld-linux-x86-64.so.2", b"1"), File("/lib/x/libc.so.6", b"12"),
            File("/usr/lib/python3.11/os.pyc", b"123"), File("/usr/lib/squib/squib/guest/init.pyc", b"1234"),
            File("/usr/lib/squib/httptools/__init__.pyc", b"123456"), File("/etc/passwd", b"1234567"),
        ]
    )  # fmt: skip
    assert dict(build.parts(tree)) == {
        "the interpreter": 5, "the C library and its like": 3, "Python's own modules": 3, "squib's guest code": 4,
        "installed packages": 6, "the rest": 7,
    }  # fmt: skip
