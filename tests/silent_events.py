"""RunEvents that tell nobody, for tests that start machines."""

from __future__ import annotations

from squib.errors import GuestError
from squib.model.machine import VmmChoice
from squib.store import Machine


class SilentEvents:
    """Tells nobody."""

    def chosen(self, machine: Machine, choice: VmmChoice) -> None:
        """Says nothing."""

    def output(self, data: bytes) -> None:
        """Says nothing."""

    def boots_again(self, error: GuestError) -> None:
        """Says nothing."""

    def waited(self) -> None:
        """Says nothing."""
