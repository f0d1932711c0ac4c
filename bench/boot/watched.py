"""A boot as it is used: squib's own QEMU machine under emulation, from an ext4 disk; wall time from launch to the first answer.

squib's appliance and the floor differ in their disk only: machine, kernel, initrd, memory and command line are the same, and so
is the moment of the first question: when a readiness line comes, which the floor's script prints as PID 1 does.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from bench.problem import Problem
from bench.process import cpu_us
from squib.host import command, ports
from squib.model.image import Artifact
from squib.model.machine import Accel, Drive, MachineConfig, PortForward
from squib.model.run import LOOPBACK, RunSpec
from squib.probe.http import ask
from squib.vmm.plan import machine_config, with_lease
from squib.vmm.qemu.launch import PACKAGE, PROGRAM, Qemu

READY = "echo squib.ready abi=3 uptime_ms=0 listen=tcp:0.0.0.0:80 > /dev/console"
_READY_S, _ANSWER_S = 120.0, 30.0


class Times(msgspec.Struct, frozen=True):
    """Milliseconds since the launch; `cpu_ms`: of QEMU's own CPU time until readiness, which neighbours change least."""

    ready_ms: float
    cpu_ms: float
    answer_ms: float


def configuration(artifact: Artifact, disk: Path) -> MachineConfig:
    """The machine for `artifact`, with another disk."""
    return replace(machine_config(artifact, RunSpec(), "bench"), drives=(Drive("rootfs", disk),))


def boot(config: MachineConfig) -> Times:
    """One boot; the machine is ended. Raises SquibError, Problem."""
    port = ports.choose(LOOPBACK)
    vmm = Qemu(command.find(PROGRAM, package=PACKAGE), Accel.TCG)
    with tempfile.TemporaryDirectory(prefix="squib-bench-") as folder:
        begin = time.monotonic()
        leased = with_lease(config, config.name, (PortForward(LOOPBACK, port, 80),))
        with vmm.launch(leased, Path(folder) / "run") as vm:
            try:
                vm.wait_ready(_READY_S)
                ready_ms = (time.monotonic() - begin) * 1000
                cpu_ms = cpu_us(vm.identity.pid) / 1000
                answer = ask(f"http://127.0.0.1:{port}/", _ANSWER_S)
                if answer.error or answer.status != 200 or len(answer.body) != 40:
                    raise Problem(f"the first answer is wrong: {answer.error or answer.status} {answer.body!r}")
                return Times(ready_ms, cpu_ms, (time.monotonic() - begin) * 1000)
            finally:
                vm.kill()
