"""docs/limits.md says what the server does."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.guest import connection, crowd
from squib.guest.limits import Limits

TABLES = Path(__file__).parents[2] / "docs" / "limits.md"
LIMITS = Limits()


def size(count: int) -> str:
    return f"{count // 1024**2} MiB" if count % 1024**2 == 0 else f"{count // 1024} KiB"


SAID = {
    "request line,": size(LIMITS.request_line_bytes),
    "all header lines": size(LIMITS.header_bytes),
    "header lines |": str(LIMITS.header_fields),
    "body,": size(LIMITS.body_bytes),
    "one chunk's size": size(LIMITS.chunk_line_bytes),
    "all chunk extensions": size(LIMITS.chunk_extension_bytes),
    "all trailer lines": size(LIMITS.trailer_bytes),
    "trailer lines |": str(LIMITS.header_fields),
    "empty lines before": str(LIMITS.blank_lines),
    "from the first byte": f"{LIMITS.head_s:.0f} s",
    "a whole body": f"{LIMITS.body_s:.0f} s",
    "between two requests": f"{LIMITS.idle_s:.0f} s",
    "a client takes nothing": f"{LIMITS.write_s:.0f} s",
    "from the last answer": f"{LIMITS.linger_s:.0f} s",
    "a stop": f"{LIMITS.stop_s:.0f} s",
    "open connections": f"{LIMITS.connections:,}, or as many as there are descriptors for",
    "a request, or its answer,": f"{LIMITS.crowded_s:.0f} s",
    "answers made": f"{size(LIMITS.output_bytes)}, or one answer",
    "unfinished requests": size(LIMITS.kept_bytes),
    "last request and header lines": f"{size(connection.KNOWN_BYTES)} each",
}


@pytest.mark.parametrize(("limit", "value"), SAID.items(), ids=SAID.keys())
def test_the_table_has_the_value(limit: str, value: str) -> None:
    rows = [line for line in TABLES.read_text().splitlines() if line.startswith(f"| {limit}")]
    assert [row.split(" | ")[1] for row in rows] == [value]


def test_the_pace_is_the_one_that_is_said() -> None:
    assert f"takes at least {size(crowd.PACE_BYTES)} a second" in TABLES.read_text()
