"""The SQLite file: opened, read by many, changed by one at a time, and every trouble with it told with its remedy."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from squib.errors import HostError, PermissionDeniedError, SquibError, StorageError
from squib.host.files import make_folder, storage_errors
from squib.store.schema import migrate, outdated

__all__ = ["BUSY_S", "Database", "damaged", "explain"]

BUSY_S = 15.0
"""Seconds to wait for another squib's change."""


class Database:
    """The open file `path`, at this squib's schema. Raises SquibError, and then it is closed."""

    def __init__(self, path: Path, *, busy_s: float) -> None:
        self._path = path
        self._busy_s = busy_s
        with storage_errors(path.parent):
            make_folder(path.parent.parent)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)
        with self._explained():
            self.connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
        try:
            with self._explained():
                self.connection.row_factory = sqlite3.Row
                self.connection.execute("PRAGMA foreign_keys = ON")
                # The journal keeps its room between changes, so that on a full disk a machine can still end and be removed.
                self.connection.execute("PRAGMA journal_mode = PERSIST")
                if outdated(self.connection):
                    with self.transaction():
                        migrate(self.connection, path)
        except BaseException:
            self.connection.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """One change, whole or not at all; inside another one, a part of that.

        IMMEDIATE: the lock is taken before anything is read, so what was read still holds when it is written.
        """
        if self.connection.in_transaction:
            yield
            return
        with self._explained():
            try:
                # In here too: a signal during its wait is raised once it has the lock.
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read in here is of one moment. Inside a change, it is a part of that.

        It shares the file with other readers, and with a change that is being prepared. A change that is written takes the lock
        PENDING first (sqlite.org/lockingv3.html), behind which no new reader gets in: however many read, it has its turn.
        """
        if self.connection.in_transaction:
            yield
            return
        with self._explained():
            try:
                self.connection.execute("BEGIN")
                yield
            finally:
                self._roll_back()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:  # some errors have done it already (sqlite.org/lang_transaction.html)
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the file."""
        self.connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explain(self._path, error, self._busy_s) from error


def damaged(path: Path, why: str = "") -> StorageError:
    """Read from another file, written by others, or with its journal gone: no row of it is trusted, and none is taken over."""
    quoted = shlex.quote(str(path))
    return StorageError(
        f"{path} is damaged{why and f': {why}'}",
        hint=f"move it away: mv {quoted} {quoted}.damaged (the next command ends the machines that still run)",
    )


def explain(path: Path, error: sqlite3.Error, busy_s: float = BUSY_S) -> SquibError:
    """What `error` means for whoever has the file."""
    quoted, folder = shlex.quote(str(path)), shlex.quote(str(path.parent))
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF  # the primary result code (sqlite.org/rescode.html)
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(
                f"{path} is locked by another program for over {busy_s:g} s", hint=f"see who has it: fuser -v {quoted}"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return PermissionDeniedError(f"this user may not write {path}", hint=f"see who may: ls -ld {folder} {quoted}")
        case sqlite3.SQLITE_CANTOPEN:
            return PermissionDeniedError(f"{path} cannot be opened", hint=f"see who may: ls -ld {folder} {quoted}")
        case sqlite3.SQLITE_FULL:
            return StorageError(f"no space left to write {path}", hint=f"free some space: df -h {folder}")
        case sqlite3.SQLITE_IOERR:
            return StorageError(f"{path}: the device reports an i/o error")
        case _:
            return HostError(f"{path}: {error}", hint=f"if it stays so, move it away: mv {quoted} {quoted}.damaged")
