"""What `squib vm` tells a person: its own words on standard error, the guest's console on standard output."""

from __future__ import annotations

import sys

from squib.cli.narrator import say
from squib.cli.terminal import VisibleLines, pass_on
from squib.wire.firecracker.requests import Request

__all__ = ["VmVoice"]


class VmVoice:
    """With `raw` the guest has the terminal, as by a cable. Without, it is only watched, and must not command the terminal.

    With `mute` its console is not shown.
    """

    def __init__(self, *, raw: bool, debug: bool, mute: bool = False) -> None:
        self._mute = mute
        self._raw = raw or not sys.stdout.isatty()
        self._debug = debug
        self._lines = VisibleLines()

    def say(self, text: str) -> None:
        """A line of squib's."""
        say(text)

    def output(self, data: bytes) -> None:
        """Bytes of the guest's console."""
        if self._mute:
            return
        if not self._raw:
            data = self._lines.feed(data)
        pass_on(data)

    def asked(self, request: Request) -> None:
        """What Firecracker is asked for; metadata may be a secret."""
        if self._debug:
            body = f"({len(request.body):,} bytes)" if request.path == "/mmds" else request.body.decode()
            say(f"{request.method} {request.path} {body}")
