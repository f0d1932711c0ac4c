"""A boot's timeline: phases without gaps, whatever was seen; the guest's clock laid on the host's; budgets."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.app.boot_reporting import findings
from squib.cli.boot_chart import print_timeline
from squib.formats import svg
from squib.formats.console_lines import Marks
from squib.formats.timeline_svg import timeline_svg
from squib.model.appliance import BudgetSettings
from squib.model.boot import BootReport, Finding, Phase, Timeline
from squib.vmm.boot_timeline import Sighting, timeline

ORDER = ("user", "root", "python", "init", "mounted", "network", "listening", "server", "imported", "loop", "ready")
AT_US = dict(zip(ORDER, range(1_000_000, 2_100_000, 100_000), strict=True))
SEEN = Sighting(10.0, ((11.35, 1300), (12.102, 2000)), Marks(AT_US, 1000), 12.2)


def test_every_phase_where_every_mark_was_told() -> None:
    drawn = timeline(SEEN)
    # The first line is the quickest: it came 50 ms after its uptime, so the guest's clock began 50 ms after the launch.
    assert [(one.name, round(one.begin_ms), round(one.end_ms)) for one in drawn.phases] == [
        ("vmm", 0, 50), ("kernel", 50, 1050), ("initrd", 1050, 1150), ("python", 1150, 1250), ("init", 1250, 1750),
        ("imports", 1750, 1950), ("listening", 1950, 2050), ("answer", 2050, 2200),
    ]  # fmt: skip
    assert [step.name for phase in drawn.phases for step in phase.steps] == [
        "modules", "mounts", "network", "listeners", "fork", "server", "appliance",
    ]  # fmt: skip
    assert (round(drawn.ready_ms), round(drawn.end_ms), round(drawn.spread_ms)) == (2050, 2200, 52)


def test_without_an_initrd_the_kernel_mounts_the_disk_before_it_runs_anything() -> None:
    seen = Sighting(10.0, SEEN.arrivals, Marks(AT_US | {"root": 900_000}, 1000), None)
    assert [one.name for one in timeline(seen).phases] == ["vmm", "kernel", "python", "init", "imports", "listening"]


def test_a_guest_that_tells_no_marks_is_drawn_by_its_ordinary_lines() -> None:
    drawn = timeline(Sighting(10.0, SEEN.arrivals, None, None))
    assert [(one.name, round(one.end_ms)) for one in drawn.phases] == [("vmm", 50), ("kernel", 1350), ("init", 2050)]
    assert drawn.end_ms == drawn.ready_ms


moments = st.lists(st.integers(0, 10**8), min_size=len(ORDER), max_size=len(ORDER)).map(sorted)


@given(
    st.none() | moments.map(lambda found: Marks(dict(zip(ORDER, found, strict=True)), 1)),
    st.sets(st.sampled_from(ORDER)),
    st.floats(0, 100),
    st.floats(0, 100),
    st.none() | st.floats(0, 300),
)
def test_phases_follow_each_other_whatever_was_told(
    marks: Marks | None, lost: set[str], late: float, later: float, answered: float | None
) -> None:
    boot_ms, ready_ms = 100, 200
    if marks is not None:
        boot_ms, ready_ms = marks.at_us["init"] // 1000, marks.at_us["ready"] // 1000
        marks = Marks({name: us for name, us in marks.at_us.items() if name not in lost}, 1)
    arrivals = ((boot_ms / 1000 + late, boot_ms), (ready_ms / 1000 + late + later, ready_ms))
    drawn = timeline(Sighting(0.0, arrivals, marks, answered))
    assert drawn.phases[0].begin_ms == 0
    assert drawn.phases[-1].end_ms == drawn.end_ms
    for before, after in pairwise(drawn.phases):
        assert before.end_ms == after.begin_ms
    for phase in drawn.phases:
        assert phase.takes_ms >= -1  # an uptime is in whole milliseconds, a mark is not
        assert all(before.end_ms == after.begin_ms for before, after in pairwise(phase.steps))
        if phase.steps:
            assert (phase.steps[0].begin_ms, phase.steps[-1].end_ms) == (phase.begin_ms, phase.end_ms)
    picture = ET.fromstring(timeline_svg(drawn, "<a & b>", '"c"'))
    assert len([one for one in picture if one.tag.endswith("rect")]) == len(drawn.phases) + 1


def test_the_picture_has_a_bar_of_the_right_place_for_each_phase() -> None:
    drawn = timeline(SEEN)
    picture = ET.fromstring(timeline_svg(drawn, "title", "below"))
    bars = [one for one in picture if one.tag.endswith("rect")][1:]
    for bar, phase in zip(bars, drawn.phases, strict=True):
        scale = (860 - 84 - 76) / drawn.end_ms
        assert float(bar.attrib["x"]) == pytest.approx(84 + phase.begin_ms * scale, abs=0.1)
        assert float(bar.attrib["width"]) == pytest.approx(phase.takes_ms * scale, abs=0.1)
    assert timeline_svg(drawn, "title", "below") == timeline_svg(drawn, "title", "below")


def test_numbers_of_a_picture_are_short() -> None:
    assert [svg.number(value) for value in (0, -0.01, 1.0, 1.25, 12.34, -3.0)] == ["0", "0", "1", "1.2", "12.3", "-3"]


def test_the_plain_chart(capsys: pytest.CaptureFixture[str]) -> None:
    print_timeline(timeline(SEEN))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["PHASE", "BEGINS", "TAKES"]
    assert lines[2].split() == ["kernel", "50", "ms", "1000", "ms", "#" * 18]
    assert lines[6].split() == ["modules", "1250", "ms", "100", "ms"]
    assert all(len(line) <= 80 and line.isascii() for line in lines)


def test_a_budget_is_kept_by_what_is_no_more() -> None:
    budget = BudgetSettings(boot_ms=100, rootfs_mib=12, memory_mib=64)
    assert findings(BudgetSettings(), 1, 1, 1) == ()
    assert [one.kept for one in findings(budget, 100.0, 12.5, None)] == [True, False, False]
    assert [one.kept for one in findings(budget, 100.1, 12.0, 63.9)] == [False, True, True]


def test_the_quickest_round_is_the_one_that_counts() -> None:
    def round_(end_ms: float) -> Timeline:
        return Timeline((Phase("vmm", 0, end_ms, ""),), end_ms, end_ms, 0)

    report = BootReport((round_(3), round_(1), round_(2)), 1, 1, (Finding("boot_ms", 1, 1),))
    assert (report.quickest.end_ms, report.ok) == (1, True)
