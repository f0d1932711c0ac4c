"""What the server program knows of its appliance: written by squib at build time, read here (docs/guest-abi.md, "Spec").

The form is `marshal` of one tuple: no parser has to be imported at boot. The file is part of the read-only image, or comes
from squib itself by an inherited descriptor, so it is trusted as the code is.
"""

from __future__ import annotations

import marshal

ABI = 3
SPEC_PATH = "/etc/squib/appliance"


class Key:
    """One option of the appliance's own. `type` is "bool", "int", "port" or "string"; `default` has that type."""

    __slots__ = ("default", "doc", "name", "type")

    def __init__(self, name: str, type_: str, default: object, doc: str) -> None:
        self.name = name
        self.type = type_
        self.default = default
        self.doc = doc


class Restart:
    """What PID 1 does when the server ends: `policy` is "always", "on-failure" or "never"; `tries` starts in a row at most."""

    __slots__ = ("policy", "tries")

    def __init__(self, policy: str, tries: int) -> None:
        self.policy = policy
        self.tries = tries


class Health:
    """How PID 1 has the server checked: a GET of `path`, `interval_ms` after the one before, answered within `timeout_ms`.

    After `failures` bad ones in a row the server is unhealthy; until `start_period_ms` after its start, bad ones before the
    first good one do not count.
    """

    __slots__ = ("failures", "interval_ms", "path", "start_period_ms", "timeout_ms")

    def __init__(self, path: str, interval_ms: int, timeout_ms: int, failures: int, start_period_ms: int) -> None:
        self.path = path
        self.interval_ms = interval_ms
        self.timeout_ms = timeout_ms
        self.failures = failures
        self.start_period_ms = start_period_ms


class Spec:
    """`serve` is "MODULE:FUNCTION"; `sys_path` are folders to search for it before all others; `health` None: no checks.

    `squib serve` is a plain process, whose supervisor is somebody else: it heeds neither `restart` nor `health`.
    """

    __slots__ = ("health", "keys", "name", "restart", "serve", "summary", "sys_path")

    def __init__(
        self,
        name: str,
        summary: str,
        serve: str,
        keys: tuple[Key, ...],
        sys_path: tuple[str, ...],
        *,
        restart: Restart | None = None,
        health: Health | None = None,
    ) -> None:
        self.name = name
        self.summary = summary
        self.serve = serve
        self.keys = keys
        self.sys_path = sys_path
        self.restart = restart or Restart("always", 5)
        self.health = health


def loads(data: bytes) -> Spec:
    """The spec in `data`. Raises ValueError where it is of another ABI."""
    abi, *fields = marshal.loads(data)  # noqa: S302 - see the module's docstring
    if abi != ABI:
        raise ValueError(f"spec of ABI {abi}, this is {ABI}")
    name, summary, serve, keys, sys_path, restart, health = fields
    checks = None if health is None else Health(*health)
    return Spec(name, summary, serve, tuple(Key(*key) for key in keys), sys_path, restart=Restart(*restart), health=checks)
