"""`squib serve [APPLIANCE] [options]`: the server program as a plain process.

Reading the appliance file needs more than the guest's code, so this stage reads it and then replaces itself (execv): what
stays is the interpreter, `squib.guest` and httptools, as in the microVM. Click is never imported on this way.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from squib.cli.report import exit_with
from squib.errors import SquibError, UnavailableError
from squib.host.appliances import find_appliance
from squib.host.files import working_folder
from squib.wire import guest_spec

__all__ = ["serve"]

_PACKAGE = Path(__file__).resolve().parent.parent


def serve(arguments: Sequence[str]) -> NoReturn:
    """Becomes the server program; `arguments` are those behind `serve`. Does not return."""
    selector = arguments[0] if arguments and not arguments[0].startswith("-") else None
    options = arguments[1:] if selector is not None else arguments
    try:
        appliance = find_appliance(selector, working_folder())
        spec = guest_spec.encode(appliance, (str(appliance.folder),))
        command = "squib serve" if selector is None else f"squib serve {selector}"
        start = marshal.dumps((command, (str(_PACKAGE.parent), _folder_of("httptools")), spec), 2)
    except SquibError as error:
        exit_with(error)
    descriptor = os.memfd_create("squib-serve", 0)  # 0: without MFD_CLOEXEC, so that it outlives execv
    os.write(descriptor, start)
    os.lseek(descriptor, 0, os.SEEK_SET)
    launch = str(_PACKAGE / "guest" / "launch.py")
    os.execv(sys.executable, [sys.executable, "-I", "-S", launch, str(descriptor), *options])


def _folder_of(package: str) -> str:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise UnavailableError(
            f"the Python package {package} is not installed", hint="install squib again, with what it depends on"
        )
    return str(Path(found.origin).parent.parent)
