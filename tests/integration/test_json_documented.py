"""docs/json.md says of every field what the real output has: the same names, and values of the types it tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from squib.app.boot_reporting import Watched, findings
from squib.app.hosting import Told
from squib.app.imaging import ImageOptions, plan_image
from squib.app.inspecting import Jailed, inspect
from squib.app.measuring import Measured
from squib.build.kernels import Kernel
from squib.build.tuned_kernels import BuiltKernel
from squib.cli.boot_report import report_json as report_of_boot
from squib.cli.checks import report_json
from squib.cli.fetch import fetched_json
from squib.cli.host import steps_json
from squib.cli.image import image_json
from squib.cli.json_output import inspection_json, kernel_json, machine_json
from squib.cli.measure import measured_json
from squib.cli.prune import pruning_json
from squib.formats.console_lines import Marks
from squib.guest.marks import SERVER_MARKS
from squib.host.appliances import find_appliance
from squib.host.process import myself
from squib.model.appliance import Appliance, BudgetSettings
from squib.model.boot import BootReport
from squib.model.cached import CachedItem, CachedKind, Pruning
from squib.model.findings import Level, Row
from squib.model.image import Artifact, FileRecord, InputRecord, KernelRecord, Manifest
from squib.model.machine import Accel, EndedBy, VmmChoice
from squib.model.memory_search import MemoryTrial
from squib.model.reference import parse_reference
from squib.model.run import LOOPBACK, Publish, RunSpec
from squib.store import Machine, Reservation, Store
from squib.vmm.boot_timeline import Sighting, timeline
from squib.vmm.firecracker.fetch import Fetched, FetchedFile, Source
from squib.wire import run_spec
from support import PROJECT

BOOT_MARKS = {"user": 10**6, "python": 10**6, "init": 10**6}
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
    seen = [inspect(machine) for machine in machines]
    outputs = [inspection_json(one) for one in (*seen, replace(seen[0], jail=Jailed(7, Path("/root"))))]
    # An image that is there: as inspect shows it, with a file.
    image = outputs[0]["image"]
    assert isinstance(image, dict)
    image["files"] = [{"name": "vmlinux", "size": 1, "sha256": "c" * 64}]
    hold(documented("A machine") | documented("An inspected machine"), outputs)


def test_the_least_memory() -> None:
    choice = VmmChoice(Accel.TCG, "because")
    artifact = Artifact(
        Path("/out"), Manifest("0", 2, Appliance("shop", "a:b", Path("/")), KernelRecord("6.1", "t", 17), (), ())
    )
    outputs = [
        measured_json(artifact, Measured((MemoryTrial(32, "", 1.5, 400), MemoryTrial(28, "no")), 24, choice)),
        measured_json(artifact, Measured((MemoryTrial(32, "no"),), 24, choice)),
    ]
    hold(documented("The least memory"), outputs)


def test_a_tuned_kernel() -> None:
    inputs = (InputRecord("linux-source-6.1", "6.1.1", "a" * 64),)
    kernel = Kernel(Path("/k"), FileRecord("vmlinux", 1, "b" * 64), KernelRecord("6.1", "a test", 17), (), inputs)
    hold(documented("A tuned kernel"), [kernel_json(BuiltKernel("tuned-1", kernel, datetime.now(UTC), current=True))])


def test_a_doctors_report() -> None:
    rows = [Row("kvm", Level.WARNING, "no", "squib doctor --retry"), Row("memory", Level.OK, "enough")]
    hold(
        documented("A doctor's report"), [report_json(rows), report_json([*rows, Row("qemu", Level.MISSING, "not installed")])]
    )


def test_steps_on_a_host() -> None:
    steps = [Told(undoes=True, command="nft delete table inet squib"), Told(undoes=False, command="x", remark="it stays so")]
    hold(documented("Steps on a host"), [steps_json(steps, dry_run=True)])


def test_a_boot_report(machines: tuple[Machine, ...]) -> None:
    seen = Sighting(0.0, ((1.0, 900), (2.0, 1900)), Marks(dict.fromkeys(SERVER_MARKS, 10**6) | BOOT_MARKS, 1000), 2.5)
    manifest = Manifest("0", 2, Appliance("shop", "a:b", Path("/")), KernelRecord("6.1", "", 64), (), ())
    outputs = []
    for used_mib in (64.5, None):
        budgets = findings(BudgetSettings(100, 100, 100), 1, 1, used_mib)
        report = BootReport((timeline(seen),), 11.5, used_mib, budgets)
        watched = Watched(report, machines[0], VmmChoice(Accel.TCG, "because"))
        outputs.append(report_of_boot(Artifact(Path("/"), manifest), watched))
    hold(documented("A boot report"), outputs)


def test_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = plan_image(find_appliance("clock", tmp_path), ImageOptions(parse_reference("a")), lambda *_: None)
    hold(documented("An image"), [image_json(made, None), image_json(made, tmp_path)])


def test_a_pruning() -> None:
    items = tuple(CachedItem(kind, Path("/x"), (), 1e9, "a machine") for kind in CachedKind)
    hold(documented("A pruning"), [pruning_json(Pruning(items, items, 3), dry_run=True)])
    section = (PROJECT / "docs/json.md").read_text().partition("## A pruning")[2].partition("\n## ")[0]
    assert all(f"`{kind}`" in section for kind in CachedKind)


def test_a_fetched_program() -> None:
    files = (FetchedFile("firecracker", Path("/f"), 1, "a" * 64, "a wheel"),)
    outputs = [fetched_json("firecracker", Fetched("1", source, files)) for source in (None, Source.PATH)]
    hold(documented("A fetched program"), outputs)


def test_null_is_told_where_it_comes(machines: tuple[Machine, ...]) -> None:
    """A field that was null in one of these must be documented so; one that never is, is null nowhere."""
    section = documented("A machine")
    nulls = {name for machine in machines for name, value in machine_json(machine).items() if value is None}
    assert nulls == {name for name, kind in section.items() if "null" in kind}
