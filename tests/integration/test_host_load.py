"""Many machines with networks of their own, started and stopped at once by several squibs: none shares anything, nothing is left."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

import pytest

from host_machines import RUN, Lab, Leased
from namespaces import SQUIB

pytestmark = [pytest.mark.root, pytest.mark.tool, pytest.mark.timeout(300)]

# Five starts by each; of each five, one is stopped and one removed while the others go on.
WORK = """
for number in 0 1 2 3 4; do
    "$1" run "$2" $3 --name "w$4-$number" || exit
    [ $number != 1 ] || "$1" stop "w$4-1" || exit
    [ $number != 3 ] || "$1" rm --force "w$4-3" || exit
done
"""


def at_once(lab: Lab, *commands: Sequence[str]) -> list[str]:
    """What they print, all started before any is waited for; each must work."""
    processes = [
        subprocess.Popen(
            lab.host.command(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | lab.env, text=True
        )
        for command in commands
    ]
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def test_twenty_starts_and_stops_at_once_from_four_processes(lab: Lab) -> None:
    workers = [("bash", "-c", WORK, "work", SQUIB, lab.artifact, " ".join(RUN), str(number)) for number in range(4)]
    said = at_once(lab, *workers)
    assert sum(text.count('"state": "running"') for text in said) == 20
    machines = lab.leased()
    assert [one.name for one in machines] == [f"w{worker}-{number}" for worker in range(4) for number in (0, 2, 4)]
    nothing_is_shared(lab, machines)
    for number in range(len(machines)):
        answers_by_its_lease(lab, number)
    released = [f"w{worker}-1" for worker in range(4)]
    names = [one.name for one in machines]
    at_once(lab, *((SQUIB, "stop", *names[first::4]) for first in range(4)))
    assert lab.left() == {"folder", "record"}, "consoles of what was stopped, and nothing else"
    assert set(lab.squib("rm", "--all-ended").split()) == {*names, *released}
    lab.nothing_left()
    lab.ports_are_free([one.port for one in machines])


def nothing_is_shared(lab: Lab, machines: list[Leased]) -> None:
    for field in ("tap", "host", "guest", "mac", "port"):
        assert len({getattr(one, field) for one in machines}) == len(machines), field
    assert len(lab.leases()) == len(machines), "no lease without a machine"
    assert lab.taps() == {one.tap for one in machines}
    elements = lab.elements()
    assert sorted(elements["taps"]) == sorted(one.tap for one in machines)  # type: ignore[type-var]
    assert elements["outbound"] == []
    for name in ("guests", "sources", "publish_to", "publish_port"):
        assert len(elements[name]) == len(machines), name
    guests = [{"concat": [one.tap, one.mac, one.guest]} for one in machines]
    assert all(guest in elements["guests"] for guest in guests)
    published = [[{"concat": ["127.0.0.1", one.port]}, one.guest] for one in machines]
    assert all(pair in elements["publish_to"] for pair in published)
    assert len(lab.processes()) == len(machines), "a Firecracker each"
    assert set(re.findall(r"squib\d+", lab.host.run("ip", "-4", "-o", "address"))) == {one.tap for one in machines}


def answers_by_its_lease(lab: Lab, number: int) -> None:
    """The published port leads to the guest of that machine, and to no other: the one that sees the client at its own gateway."""
    with lab.guest(number) as guest:
        machine = next(one for one in lab.leased() if one.guest == guest.address)
        guest.serve(machine.guest, 80)
        assert lab.host.ask("127.0.0.1", machine.port) == machine.host, machine
