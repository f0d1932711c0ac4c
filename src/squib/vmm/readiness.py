"""Whether a machine that runs serves now, from the end of its console, where PID 1 says when the server is ready or dies.

Only a bounded part is read, however long the console is: where a server logs so much that PID 1's last word is further back
than that, the machine is taken for ready, as it was when it was started.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from squib.formats.console_lines import Exit, Health, Ready, Restart, find
from squib.host.rotation import tail

__all__ = ["Readiness", "readiness"]

_CHUNK = 1 << 16
_LOOKED_AT = 1 << 20


@dataclass(frozen=True, slots=True)
class Readiness:
    """`because` says in a few words why it is not ready; empty where it is."""

    ready: bool
    because: str = ""


def readiness(console: Path) -> Readiness:
    """What the last such line in the file says. Raises MissingError, StorageError and their like."""
    # A line that the first look cuts is found whole by the second.
    for size in (_CHUNK, _LOOKED_AT):
        for line in reversed(find(tail(console, size))):
            match line:
                case Ready():
                    return Readiness(ready=True)
                case Restart():
                    return Readiness(ready=False, because=f"its server died ({line.cause}) and is started again")
                case Health(state="ok"):
                    return Readiness(ready=True)
                case Health():
                    return Readiness(ready=False, because=f"its health check failed ({line.check}, {line.state})")
                case Exit():
                    return Readiness(ready=False, because=f"it is ending ({line.reason})")
                case _:
                    continue
    return Readiness(ready=True)
