"""The files that the words of `squib vm` name, read and checked before anything else happens."""

from __future__ import annotations

import shlex
from pathlib import Path

from squib.errors import ApplianceError, MissingError, UsageError
from squib.host.files import storage_errors
from squib.wire.firecracker import vm_json
from squib.wire.firecracker.resources import CpuConfig, FullVmConfiguration

__all__ = ["missing", "read_configuration", "read_cpu_config", "read_metadata"]

_MOST_BYTES = 16 << 20
"""No configuration or metadata is that long; /dev/zero is."""


def read_configuration(path: str) -> FullVmConfiguration:
    """Firecracker's configuration file. Raises ApplianceError, MissingError and its like."""
    return vm_json.decode(_read("configuration", path), Path(path))


def read_cpu_config(machine: FullVmConfiguration) -> CpuConfig | None:
    """What is in the file that the configuration names as its CPU template."""
    if machine.cpu_config is None:
        return None
    return vm_json.decode_cpu_config(_read("CPU template", machine.cpu_config), Path(machine.cpu_config))


def read_metadata(text: str | None, path: str | None) -> str | None:
    """Metadata as a JSON object in one line, from the command line or from a file. Raises UsageError, ApplianceError."""
    if text is not None and path is not None:
        raise UsageError("--metadata and --metadata-file say the same", hint="leave one of them out")
    if path is not None:
        return vm_json.decode_metadata(_read("metadata", path), Path(path))
    if text is None:
        return None
    try:
        return vm_json.decode_metadata(text, Path("--metadata"))
    except ApplianceError as error:
        raise UsageError(str(error), hint='write an object, as in --metadata \'{"name": "value"}\'') from error


def missing(what: str, path: str) -> MissingError:
    """The error for a file that is not there."""
    if path.startswith("~"):
        home = shlex.quote(path[2:]) if path.startswith("~/") else ""
        return MissingError(
            f"the {what} {path} is not there: the shell leaves ~ as it is behind a =",
            hint=f"write $HOME/{home}" if home else "",
        )
    return MissingError(f"the {what} {path} is not there")


def _read(what: str, path: str) -> str:
    with storage_errors(Path(path)):
        try:
            with Path(path).open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except FileNotFoundError as error:
            raise missing(what, path) from error
        except ValueError as error:  # a NUL
            raise UsageError(f"{path!a} is no path") from error
    if len(data) > _MOST_BYTES:
        raise ApplianceError(f"{path}: over {_MOST_BYTES >> 20} MiB are no {what}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ApplianceError(f"{path}: not UTF-8 (byte {error.start})") from error
