"""What a run tells whoever started it, while it starts."""

from __future__ import annotations

from typing import Protocol

from squib.errors import GuestError
from squib.model.machine import VmmChoice
from squib.store import Machine

__all__ = ["RunEvents"]


class RunEvents(Protocol):
    """Receives what happens before the machine serves."""

    def chosen(self, machine: Machine, choice: VmmChoice) -> None:
        """The machine has its name and ports; how it will run, and why."""
        ...

    def output(self, data: bytes) -> None:
        """Bytes of the console."""
        ...

    def boots_again(self, error: GuestError) -> None:
        """The first boot died early, as `error` tells; it is tried once more."""
        ...

    def waited(self) -> None:
        """The wait for readiness is over, well or not."""
        ...
