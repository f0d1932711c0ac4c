"""What an appliance's own code raised, as the log tells it in one line."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_LIBRARY = os.__file__.rpartition("/")[0] + "/"
_PACKAGES = _LIBRARY + "site-packages/"


def told(error: BaseException) -> str:
    """`RuntimeError: no good (/app/shop.py, line 7)`: the innermost place outside of the standard library, if there is one."""
    place = _place(error.__traceback__)
    return f"{type(error).__name__}: {error}{place and f' ({place})'}".replace("\n", " ")


def _place(trace: TracebackType | None) -> str:
    place = ""
    trace = trace and trace.tb_next  # whoever called it is squib
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_PACKAGES) or not file.startswith(("<", _LIBRARY)):
            place = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place
