"""What a lab host was at that does nothing more: its processors' registers by QEMU's monitor, and what QEMU's own threads wait for."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

NAME = "stuck.txt"

_QUESTIONS = ("info status", "info registers -a", "info lapic 0", "info lapic 1", "info pic", "info irq")
_TIMES = 3
"""Registers that stay as they are tell another story than ones that change."""
_PATIENCE_S = 10.0


def write(report: Path, monitor: Path, pid: int) -> None:
    """Writes to `report` what can be found out of the QEMU `pid`; what cannot be, is said there."""
    parts = [f"$ {name}\n{text}" for name, text in _threads(pid)]
    try:
        for number in range(_TIMES):
            parts += [f"$ {question}\n{answer}" for question, answer in _asked(monitor)]
            if number + 1 < _TIMES:
                time.sleep(1)
    except (OSError, ValueError, KeyError) as error:
        parts.append(f"QEMU's monitor did not answer: {error}")
    report.write_text("\n".join(parts) + "\n", encoding="utf-8")


def places(report: Path) -> str:
    """The lines of `report` that say where each processor was."""
    lines = report.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith(("CPU#", "RIP=", "EIP=", "QEMU's monitor")))


def _threads(pid: int) -> list[tuple[str, str]]:
    found = []
    for thread in sorted(Path(f"/proc/{pid}/task").glob("*")):
        for what in ("comm", "stat", "wchan", "syscall"):
            try:
                text = (thread / what).read_text(errors="replace").strip()
            except OSError as error:
                text = str(error)
            found.append((f"{thread}/{what}", text))
    return found


def _asked(monitor: Path) -> list[tuple[str, str]]:
    """Each question's answer (QEMU, "QMP": human-monitor-command)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_S)
        connection.connect(str(monitor))
        with connection.makefile("rw", encoding="utf-8", errors="replace") as lines:

            def ask(execute: str, **arguments: str) -> str:
                lines.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
                lines.flush()
                while True:
                    answer = json.loads(lines.readline())
                    if "return" in answer or "error" in answer:
                        return str(answer.get("return", answer.get("error")))

            lines.readline()  # its greeting
            ask("qmp_capabilities")
            return [(question, ask("human-monitor-command", **{"command-line": question})) for question in _QUESTIONS]
