"""What an appliance is: the user's intent, as `wire.appliance_file` reads it and `build` and `run` take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

__all__ = [
    "RESERVED_KEY_NAMES",
    "Appliance",
    "BudgetSettings",
    "HealthSettings",
    "ImageSettings",
    "Key",
    "KeyType",
    "MachineSettings",
    "NetworkSettings",
    "RestartPolicy",
    "RestartSettings",
    "Value",
]

Value = int | str | bool

RESERVED_KEY_NAMES = frozenset(
    {
        # the server program's own options (squib.guest.options)
        "help", "ips", "l", "logs", "socket",
        # options of `squib run`
        "accel", "detach", "dry-run", "ip", "json", "kernel", "memory", "modules", "name", "network", "no-jailer",
        "no-outbound", "outbound", "publish", "quiet", "rounds", "show", "svg", "tap", "timeout", "vcpus", "verbose",
        "version", "vmm",
    }
)  # fmt: skip
"""A key may not bear a name that squib's own options have (behaviour of the command line: no option means two things)."""


class KeyType(StrEnum):
    """The type of a key's value, named as in the appliance file."""

    BOOL = "bool"
    INT = "int"
    PORT = "port"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Key:
    """One value that whoever runs the appliance may set: `--NAME VALUE`, `SQUIB_NAME`, `squib.NAME=` on the kernel's line."""

    name: str
    type: KeyType
    default: Value
    doc: str


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """The virtual machine that the appliance asks for."""

    mem_size_mib: int = 128
    vcpu_count: int = 1


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """`ports`: guest TCP ports to publish; `outbound`: whether it asks to open connections of its own."""

    ports: tuple[int, ...] = (80,)
    outbound: bool = False


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What goes in beside what is found by itself: `include` (paths below the appliance's folder), `modules` (Python)."""

    include: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How the running server is checked (docs/appliance-file.md); times in milliseconds."""

    path: str = "/"
    interval_ms: int = 10_000
    timeout_ms: int = 2_000
    failures: int = 3
    start_period_ms: int = 10_000


class RestartPolicy(StrEnum):
    """When a server that ended unasked is started again, named as in the appliance file."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """`tries`: how often in a row the server is started before the guest gives up."""

    policy: RestartPolicy = RestartPolicy.ALWAYS
    tries: int = 5


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """The most that `squib boot-report` lets pass (docs/boot-report.md); None: it may be anything."""

    boot_ms: int | None = None
    rootfs_mib: int | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Appliance:
    """`serve` is `MODULE:FUNCTION`, found in `folder` first; `folder` is absolute; `health` None: the server is not checked."""

    name: str
    serve: str
    folder: Path
    summary: str = ""
    keys: tuple[Key, ...] = ()
    machine: MachineSettings = field(default_factory=MachineSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    image: ImageSettings = field(default_factory=ImageSettings)
    restart: RestartSettings = field(default_factory=RestartSettings)
    health: HealthSettings | None = None
    budget: BudgetSettings = field(default_factory=BudgetSettings)

    @property
    def module(self) -> str:
        """The module part of `serve`."""
        return self.serve.partition(":")[0]
