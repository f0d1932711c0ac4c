"""What the two sides of the lab agree on: paths on the lab host, and what is asked of it.

The outer side (`image`, `machine`, `__main__`) makes them; the inner side (`init`, `conftest`, the tests) finds them there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = "/squib"
"""The checkout on the lab host: src, tests, pyproject.toml, and a .venv."""

VENV = f"{PROJECT}/.venv"
ARTIFACTS = f"{PROJECT}/artifacts"
"""What squib built on the outer host, each in a folder with its name."""

SCRATCH = "/scratch"
"""The second disk: the only place that is large and can be written, and what the outer side reads afterwards."""

RESULTS = f"{SCRATCH}/results"
COVERAGE = "coverage"
"""The folder of results with the coverage data of each process."""

REQUEST = "request.json"
VERDICT = "verdict.json"
JUNIT = "junit.xml"
MARK = "SQUIB_LAB"
"""The environment variable that says `1` on the lab host (support.LAB)."""

USER, USER_ID, KVM_GROUP = "user", 1000, 104
"""A user without rights, but for /dev/kvm."""

TIMED_OUT = 124
"""The verdict where the tests were ended at their limit, as timeout(1) has it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to do on the lab host: run `arguments` of pytest for at most `limit_s` seconds, or give a shell; `coverage`: note which lines run."""

    arguments: tuple[str, ...] = ()
    limit_s: float = 900.0
    shell: bool = False
    coverage: bool = False

    def write(self, folder: Path) -> None:
        (folder / REQUEST).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Request:
        fields = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        return cls(tuple(fields["arguments"]), float(fields["limit_s"]), bool(fields["shell"]), bool(fields["coverage"]))
