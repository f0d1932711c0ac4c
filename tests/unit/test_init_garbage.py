"""What is there when the loop begins is never looked at for garbage again: in a forked process that would copy every page."""

from __future__ import annotations

import subprocess
import sys

from support import PROJECT

PROGRAM = """
import gc, sys
sys.path.append(sys.argv[1])
from squib.guest import init
gc.disable()
kept = [[] for _ in range(1000)]
init._keep_all()
print(gc.isenabled(), gc.get_freeze_count() >= 1000, len(gc.get_objects()) < 100)
"""


def test_nothing_that_is_there_is_collected_and_what_comes_later_is() -> None:
    done = subprocess.run(
        [sys.executable, "-ISc", PROGRAM, str(PROJECT / "src")], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["True"] * 3
