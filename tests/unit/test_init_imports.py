"""What PID 1 loads: each module costs ten to twenty times its time on an emulated processor."""

from __future__ import annotations

import subprocess
import sys

from support import PROJECT

TOO_DEAR = {
    "argparse", "asyncio", "collections", "ctypes", "dataclasses", "enum", "functools", "httptools", "json", "logging", "re", "selectors",
    "signal", "socket", "subprocess", "threading", "traceback", "types", "typing",
}  # fmt: skip
ONLY_IN_THE_SERVER = {
    "squib.guest.serve",
    "squib.guest.server",
    "squib.guest.clock",
    "squib.guest.http1",
    "squib.guest.manpage",
    "squib.guest.health",
    "squib.guest.kernel_log",
}


def test_pid_1_loads_little_and_nothing_of_the_server() -> None:
    program = "import sys; sys.path.append(sys.argv[1]); import squib.guest.init; print(*sys.modules)"
    command = [sys.executable, "-ISc", program, str(PROJECT / "src")]
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())
    assert "squib.guest.init" in loaded
    assert not loaded & (TOO_DEAR | ONLY_IN_THE_SERVER)
