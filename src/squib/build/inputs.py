"""What a tree was made of: the digest of each part, of all the files that were read for it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from squib.model.image import InputKind, InputRecord

__all__ = ["Inputs", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a tree, as InputRecord has it."""

    name: str
    version: str
    kind: InputKind


@dataclass(slots=True)
class Inputs:
    """Collects what was read, by part and place in the image."""

    _digests: dict[Part, dict[str, bytes]] = field(default_factory=dict)
    _sources: dict[Part, Path] = field(default_factory=dict)

    def note(self, part: Part, where: str, data: bytes, source: Path | None = None) -> None:
        """`data` was read for the file `where`, from `source`."""
        self._digests.setdefault(part, {})[where] = hashlib.sha256(data).digest()
        if source is not None:
            self._sources.setdefault(part, source)

    def records(self) -> tuple[InputRecord, ...]:
        """One record for each part, sorted by name."""
        return tuple(
            InputRecord(part.name, part.version, _sha256(files), part.kind, self._sources.get(part))
            for part, files in sorted(
                self._digests.items(), key=lambda item: (item[0].name, item[0].version, item[0].kind.value)
            )
        )


def _sha256(files: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, digest in sorted(files.items()):
        whole.update(os.fsencode(name) + b"\0" + digest)
    return whole.hexdigest()
