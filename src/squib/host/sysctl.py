"""Kernel settings below /proc/sys, by their path there (`net/ipv4/conf/eth0/forwarding`): a device's name may hold dots."""

from __future__ import annotations

from pathlib import Path

from squib.errors import HostError, MissingError, PermissionDeniedError

__all__ = ["read", "write"]

_ROOT = Path("/proc/sys")


def read(name: str) -> str | None:
    """The setting's value, or None where this kernel has no such setting."""
    try:
        return (_ROOT / name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{_ROOT / name} cannot be read: {error.strerror}") from error


def write(name: str, value: str) -> None:
    """Sets it. Raises MissingError, PermissionDeniedError, HostError."""
    try:
        (_ROOT / name).write_text(value, encoding="ascii")
    except FileNotFoundError as error:
        raise MissingError(f"this kernel has no setting {_ROOT / name}") from error
    except PermissionError as error:
        raise PermissionDeniedError(
            f"only root may set {_ROOT / name}", hint="run it with sudo; in a container /proc/sys may be read-only"
        ) from error
    except OSError as error:
        hint = "in a container /proc/sys may be read-only"
        raise HostError(f"{_ROOT / name} cannot be set to {value}: {error.strerror}", hint=hint) from error
