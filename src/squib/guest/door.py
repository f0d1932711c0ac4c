"""Where clients come in: the listeners, which epoll watches for as long as a connection can be accepted."""

from __future__ import annotations

import errno
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence

    from squib.guest.logs import Log

_TRIES = 64
_PAUSE_S = 0.5  # how long no connection is accepted when there is no descriptor or memory for it
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Door:
    """`is_open`: the listeners are watched. They become the door's own, and it closes them."""

    def __init__(self, listeners: Sequence[socket], epoll: select.epoll, log: Log) -> None:
        self.listeners = {listener.fileno(): listener for listener in listeners}
        self.is_open = False
        self._epoll = epoll
        self._log = log
        self._paused_until = 0.0

    def open(self) -> None:
        """Watches the listeners, if it does not."""
        if not self.is_open:
            self.is_open = True
            for fd in self.listeners:
                self._epoll.register(fd, select.EPOLLIN)

    def shut(self) -> None:
        """Leaves who comes in the backlog: a listener that is not accepted from stays readable, and watching it would spin."""
        if self.is_open:
            self.is_open = False
            for fd in self.listeners:
                self._epoll.unregister(fd)

    def open_again(self, now: float) -> None:
        """Opens, unless a pause is not over."""
        if now >= self._paused_until:
            self.open()

    def accept(self, fd: int, now: float) -> int | None:
        """A client's descriptor, non-blocking; None where none waits, or none can be had, and the door shuts for a moment."""
        listener = self.listeners[fd]
        for _ in range(_TRIES):
            try:
                # What socket.accept is made of, without its imports; typeshed does not list it.
                client, _address = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error, now)
                    return None
                continue  # this one client is gone (accept(2): ECONNABORTED, EPROTO …)
            os.set_blocking(client, False)
            return int(client)
        return None

    def close(self) -> None:
        """For good."""
        self.shut()
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()

    def _pause(self, error: OSError, now: float) -> None:
        self.shut()
        self._paused_until = now + _PAUSE_S
        self._log.warning(f"accepting no connections for a moment: {error.strerror}")
