"""The environment that an appliance's code finds, alike in a microVM, in a container and under `squib serve`.

HOME and PATH are the machine's; LANG and TZ are the same everywhere, and each key stands as SQUIB_KEY with its value.
What else the kernel's command line or a user's shell put there is taken out, lest code depends on what it has in one form only.
In a container what the engine was told to set stays: somebody set it for this program.
"""

from __future__ import annotations

import os
import time

from squib.guest import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

HOME = "/tmp"  # noqa: S108 - the one folder that the server of a machine may write to
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EVERYWHERE = {"LANG": "C.UTF-8", "TZ": "UTC"}
_OF_THE_MACHINE = ("HOME", "PATH")


def clear(environ: MutableMapping[str, str] = os.environ) -> None:
    """Leaves what every form has."""
    for name in list(environ):
        if name not in _OF_THE_MACHINE:
            del environ[name]
    environ.update(EVERYWHERE)
    time.tzset()


def enter_machine() -> None:
    """What the server process of a machine has: the kernel gives its first one HOME=/ and what it does not know itself."""
    os.environ["HOME"] = HOME
    os.environ["PATH"] = PATH
    clear()


def add_keys(values: dict[str, object], environ: MutableMapping[str, str] = os.environ) -> None:
    """Puts each key's value there, as an option would be written."""
    for name, value in values.items():
        environ[options.variable(name)] = str(value).lower() if isinstance(value, bool) else str(value)
