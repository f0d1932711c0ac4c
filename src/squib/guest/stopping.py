"""How the server program answers signals: the first stops it gracefully, the second at once; a stuck handler is ended.

Signal handlers of Python run between bytecodes, so also inside an appliance's handler that never returns. There the loop cannot
act on a stop any more: an alarm ends the process then, and says where the code stood.
"""

from __future__ import annotations

# The C part of `signal`: the module around it imports enum. typeshed has no stub for it.
import _signal  # type: ignore[import-not-found,unused-ignore]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SIGNALLED = 128
PATIENCE_S = 1


class StopSignals:
    """SIGTERM and SIGINT call `request_stop`; the loop has `stop_s` seconds after the first, PATIENCE_S after the second.

    One that was ignored when the program began stays ignored, as a shell has it for what it starts in the background.
    """

    def __init__(self, request_stop: Callable[[], None], wake_fd: int, stop_s: float) -> None:
        self._request_stop = request_stop
        self._stop_s = stop_s
        self._received: list[int] = []
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        _signal.signal(_signal.SIGALRM, self._give_up)
        for number in (_signal.SIGTERM, _signal.SIGINT):
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._stop)
        # The handlers run between bytecodes; this wakes the loop where it sleeps (select.epoll retries after EINTR).
        _signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)

    def finish(self) -> int:
        """The exit status, once the loop has ended: 0 after one signal, 128 + the second one's number after two."""
        _signal.alarm(0)
        _signal.set_wakeup_fd(-1)
        return SIGNALLED + self._received[1] if len(self._received) > 1 else 0

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)
        self._request_stop()
        if len(self._received) == 1:
            _signal.alarm(int(self._stop_s) + PATIENCE_S)
        elif len(self._received) == 2:
            _signal.alarm(PATIENCE_S)

    def _give_up(self, _number: int, frame: FrameType | None) -> None:
        where = "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
        try:
            os.write(2, f"squib: ended while the handler was still busy{where}\n".encode())
        finally:
            os._exit(SIGNALLED + self._received[-1])
