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
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from squib.cli.key_words import KeyWords, chosen_by, split_words
from squib.cli.report import exit_with
from squib.errors import MissingError, SquibError, UnavailableError
from squib.host.appliances import CLOCK, find_appliance
from squib.host.files import working_folder
from squib.model.appliance import Appliance
from squib.wire import guest_spec

__all__ = ["serve"]

_PACKAGE = Path(__file__).resolve().parent.parent


def serve(arguments: Sequence[str]) -> NoReturn:
    """Becomes the server program; `arguments` are those behind `serve`. Does not return."""
    words = split_words(arguments)
    try:
        command, appliance = _chosen(words)
        spec = guest_spec.encode(appliance, (str(appliance.folder),))
        start = marshal.dumps((command, (str(_PACKAGE.parent), _folder_of("httptools")), spec), 2)
    except SquibError as error:
        exit_with(error)
    descriptor = os.memfd_create("squib-serve", 0)  # 0: without MFD_CLOEXEC, so that it outlives execv
    os.write(descriptor, start)
    os.lseek(descriptor, 0, os.SEEK_SET)
    launch = str(_PACKAGE / "guest" / "launch.py")
    os.execv(sys.executable, [sys.executable, "-I", "-S", launch, str(descriptor), *words.options])


def _chosen(words: KeyWords) -> tuple[str, Appliance]:
    """The command as it was typed, and the appliance to serve. Raises as `find_appliance` does."""
    command = "squib serve" if words.selector is None else f"squib serve {words.selector}"
    try:
        return command, chosen_by(words, lambda selector: find_appliance(selector, working_folder()))
    except MissingError:
        if words.selector is not None or not any(word == "-h" or word.partition("=")[0] == "--help" for word in words.options):
            raise
        clock = find_appliance(CLOCK, working_folder())  # whoever asks for help gets it: with the options that all have
        return "squib serve APPLIANCE", replace(clock, name="squib serve", summary="serves an appliance as a plain process")


def _folder_of(package: str) -> str:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise UnavailableError(
            f"the Python package {package} is not installed", hint="install squib again, with what it depends on"
        )
    return str(Path(found.origin).parent.parent)
