"""What the record holds, at a glance: read-only, so nothing is made, migrated or locked.

For `squib doctor` and for shell completion, which must not change what they look at.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from squib.errors import StorageError
from squib.host.files import state_home, storage_errors
from squib.store.database import explain
from squib.store.schema import SCHEMA_VERSION

__all__ = ["Glance", "glance"]


@dataclass(frozen=True, slots=True)
class Glance:
    """`machines` are names with their states, oldest first; None where there is no file yet."""

    path: Path
    machines: tuple[tuple[str, str], ...] | None


def glance(folder: Path | None = None, *, busy_s: float, check: bool = False) -> Glance:
    """Looks into the file in `folder` (the state home); `check` reads every page of it; `busy_s`: patience in seconds.

    Raises StorageError (damaged, locked, or a newer squib's), PermissionDeniedError, HostError.
    """
    path = (state_home() if folder is None else folder) / "state.db"
    with storage_errors(path):
        if not path.is_file():
            return Glance(path, None)
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=busy_s)) as connection:
            return Glance(path, _machines(connection, path, check=check))
    except sqlite3.Error as error:
        raise explain(path, error, busy_s) from error


def _machines(connection: sqlite3.Connection, path: Path, *, check: bool) -> tuple[tuple[str, str], ...]:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer squib (its schema is {version}, this squib knows {SCHEMA_VERSION})",
            hint="use the newer squib",
        )
    if not version:  # made a moment ago, and still empty
        return ()
    if check and (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise StorageError(f"{path} is damaged: {said}", hint=f"move it away: mv {path} {path}.damaged")
    return tuple(
        (str(name), str(state))
        for name, state in connection.execute("SELECT name, state FROM machines ORDER BY created_ms, name")
    )
