"""What is made of measurements: ratios, tables, charts, the page, and the gate. Nothing is measured here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import promises
from bench.__main__ import PARTS, part_named
from bench.chart import Bar, Group, Stack, bars, stacks
from bench.compare import compared
from bench.machine import Machine
from bench.problem import Problem
from bench.results import FOLDER, Measure, Promise, Results, load, ratios, save
from bench.rounds import alternate
from bench.table import Table, to_markdown, to_terminal

MACHINE = Machine("a CPU", 2, 1024, "6.1", "a system", "3.11.2", "abc", {"nginx": "1.22"})
PROMISE = Promise("x.ratio", "x over y", "×", [1.0, 1.2, 1.1], target=1.1, goal=1.0, tolerance=0.1)


def results(*kept: Promise, measures: tuple[Measure, ...] = ()) -> Results:
    return Results("x", "2026-11-24 15:00 UTC", False, MACHINE, list(measures), list(kept))


def test_results_come_back_as_they_were_kept(tmp_path: Path) -> None:
    kept = results(PROMISE, measures=(Measure("cpu", "squib", "", "µs", [1.0, 2.5]),))
    save(kept, tmp_path)
    assert load("x", tmp_path) == kept
    assert kept.find("cpu", "squib") is kept.measures[0]
    assert kept.find("cpu", "nginx") is None


def test_missing_and_broken_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="make bench-x"):
        load("x", tmp_path)
    (tmp_path / "x.json").write_text('{"part": 1}')
    with pytest.raises(Problem, match="no results"):
        load("x", tmp_path)


def test_a_ratio_is_of_values_of_the_same_round() -> None:
    assert ratios(Measure("cpu", "a", "", "µs", [2.0, 9.0]), Measure("cpu", "b", "", "µs", [1.0, 3.0])) == [2.0, 3.0]


def test_contestants_take_turns_and_nobody_is_always_first() -> None:
    order: list[str] = []

    def calls(name: str) -> Callable[[], int]:
        def call() -> int:
            order.append(name)
            return len(order)

        return call

    found = alternate({name: calls(name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


@pytest.mark.parametrize(
    ("values", "verdict"), [([1.2, 1.21, 1.19], "good"), ([1.22, 1.3, 1.1], "WORSE"), ([0.5, 0.6, 0.7], "good")]
)
def test_the_gate_compares_medians_within_a_tolerance(values: list[float], verdict: str) -> None:
    new = Promise(PROMISE.name, "", "×", values, target=1.1)
    rows, worse = compared(results(PROMISE), results(new))
    assert rows[0][-1] == verdict
    assert worse == ([PROMISE.name] if verdict == "WORSE" else [])


def test_a_promise_that_is_gone_is_worse_and_an_absolute_number_is_not_compared() -> None:
    absolute = Promise("x.ms", "", "ms", [1.0], target=2.0)
    assert compared(results(PROMISE, absolute), results())[1] == [PROMISE.name]


def test_a_promise_is_kept_missed_or_its_goal_reached() -> None:
    verdicts = [promises.table(results(Promise("n", "", "×", [v], 1.1, 1.0))).rows[0][-1] for v in (0.9, 1.05, 1.2)]
    assert verdicts == ["goal reached", "kept", "missed"]


def test_tables_for_a_terminal_and_for_the_page() -> None:
    table = Table("T", ("", "n"), [("a", "1"), ("longer", "22")], "note")
    assert to_terminal(table) == "T\n         n\na        1\nlonger  22\nnote\n"
    assert to_markdown(table) == "**T**\n\n|  | n |\n| --- | ---: |\n| a | 1 |\n| longer | 22 |\n\nnote\n"


def test_only_what_is_between_a_parts_markers_is_written() -> None:
    page = "before\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nafter\n"
    assert promises.with_section(page, "x", "new\n") == "before\n<!-- bench:x -->\n\nnew\n\n<!-- /bench:x -->\nafter\n"
    with pytest.raises(Problem, match="bench:y"):
        promises.with_section(page, "y", "new")


def test_charts_are_xml_the_same_each_time_and_follow_the_colour_scheme() -> None:
    def draw() -> list[str]:
        return [
            bars("T & t", "says <it>", [Group("g", [Bar("squib", 1.5, 1.0, 2.0, own=True), Bar("other", 3)])], "µs"),
            stacks("T", "s", [Stack("squib", [("kernel", 2.0), ("init", 1.0)]), Stack("other", [("kernel", 4.0)])], "ms"),
        ]

    assert draw() == draw()
    for svg in draw():
        ET.fromstring(svg)
        assert "prefers-color-scheme:dark" in svg


@pytest.mark.parametrize("part", [name for name in PARTS if (FOLDER / f"{name}.json").exists()])
def test_page_and_charts_are_what_the_committed_results_say(part: str) -> None:
    found = part_named(part)
    assert found is not None
    kept = load(part)
    assert not kept.quick
    section = promises.section(kept, found.tables(kept), found.charts(kept))
    page = promises.PAGE.read_text()
    assert promises.with_section(page, part, section) == page, f"run python -m bench --render {part}"
    for name, svg in found.charts(kept).items():
        assert (promises.CHARTS / name).read_text() == svg


def test_readme_names_every_part() -> None:
    text = (FOLDER.parent / "README.md").read_text()
    assert re.search(rf"one part: {', '.join(PARTS)}\n", text)
