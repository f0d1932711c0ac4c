"""What squib has changed on this host: the operations, in the order they were done in, written down before each is done.

It lies in /run, which a reboot empties as it does the kernel's rules, devices and settings; one file for each network
namespace, so that a lab in one never undoes another's. Whoever changes something holds the lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from squib.errors import StorageError
from squib.host import links
from squib.host.files import await_lock, storage_errors, write_atomic
from squib.net.operations import Packets, Setting, Table, Tap, TapRules

__all__ = ["AnyOperation", "Record"]

AnyOperation = Setting | Table | TapRules | Tap | Packets

_FOLDER = Path("/run/squib")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    operations: tuple[AnyOperation, ...]


_VERSION = 1


class Record:
    """The record of this network namespace. `folder` is for tests."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self.path = folder / f"host-{links.network_id()}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the host while it lasts. Raises PermissionDeniedError where this is not root, TakenError."""
        links.prepare()
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = self.path.parent / "lock"
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await_lock(descriptor, lock)
            yield
        finally:
            os.close(descriptor)

    def load(self) -> tuple[AnyOperation, ...]:
        """The operations; none where nothing was ever changed. Raises StorageError."""
        with storage_errors(self.path):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return ()
        try:
            return msgspec.json.decode(data, type=_File).operations
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StorageError(
                f"{self.path} is damaged, or a newer squib's: {error}",
                hint="move it away, and look by hand: nft list ruleset; docs/host.md says what squib changes",
            ) from error

    def save(self, operations: tuple[AnyOperation, ...]) -> None:
        """Writes it down; where nothing is left, nothing of the record is."""
        if operations:
            write_atomic(self.path, msgspec.json.format(msgspec.json.encode(_File(_VERSION, operations)), indent=2) + b"\n")
            return
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)
