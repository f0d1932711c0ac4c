"""docs/limits.md has the numbers that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from squib.cli.boot_report import MAX_ROUNDS
from squib.cli.named_machines import STOP_S
from squib.cli.param_types import LONGEST_S
from squib.guest import connection, crowd, options
from squib.guest.limits import Limits
from squib.host.appliances import MAX_FILE_BYTES
from squib.model import reference
from squib.model.machine import MACHINE_NAME
from squib.model.run import READY_S
from squib.model.units import MAX_MEM_SIZE_MIB, MAX_VCPU_COUNT
from squib.store import database
from squib.vmm.run_dir import CONSOLE_MAX_BYTES
from squib.wire import manifest
from squib.wire.appliance_tables import NAME
from squib.wire.toml_source import MAX_KEY_PARTS

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
    "a stop (": f"{LIMITS.stop_s:.0f} s",
    "open connections": f"{LIMITS.connections:,}, or as many as there are descriptors for",
    "a request, or its answer,": f"{LIMITS.crowded_s:.0f} s",
    "answers made": f"{size(LIMITS.output_bytes)}, or one answer",
    "unfinished requests": size(LIMITS.kept_bytes),
    "last request and header lines": f"{size(connection.KNOWN_BYTES)} each",
}


def longest(pattern: str | re.Pattern[str]) -> int:
    """How many letters a name has at most."""
    return max(count for count in range(1, 300) if re.fullmatch(pattern, "a" * count))


SAID |= {
    "an appliance's name": f"{longest(NAME)} characters",
    "a microVM's name": f"{longest(MACHINE_NAME)} characters",
    "a value of a key": f"{options._INT_DIGITS} digits",
    "a port |": f"1 to {options._MAX_PORT:,}",
    "`appliance.toml`": size(MAX_FILE_BYTES),
    "parts of a dotted key": str(MAX_KEY_PARTS),
    "a container image's name": f"{reference._MAX_NAME} characters",
    "manifest.json": size(manifest.MAX_BYTES),
    "virtual processors": str(MAX_VCPU_COUNT),
    "memory |": f"{MAX_MEM_SIZE_MIB // 1024**2} TiB",
    "from the launch": f"{READY_S:.0f} s",
    "a stop, unless": f"{STOP_S:.0f} s",
    "what an option of seconds": f"{LONGEST_S:,} s",
    "the console log": size(CONSOLE_MAX_BYTES),
    "boots of one": str(MAX_ROUNDS),
    "waiting for another": f"{database.BUSY_S:.0f} s",
}


@pytest.mark.parametrize(("limit", "value"), SAID.items(), ids=SAID.keys())
def test_the_table_has_the_value(limit: str, value: str) -> None:
    rows = [line for line in TABLES.read_text().splitlines() if line.startswith(f"| {limit}")]
    assert [row.strip(" |").split(" | ")[1] for row in rows] == [value]


def test_the_pace_is_the_one_that_is_said() -> None:
    assert f"takes at least {size(crowd.PACE_BYTES)} a second" in TABLES.read_text()
