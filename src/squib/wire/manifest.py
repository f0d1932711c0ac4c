"""manifest.json: what an artifact holds and what it was made of. Equal manifests are equal bytes.

It names no folder of the building machine, so the appliance in it loses its own; `decode` puts the artifact's there.
What is decoded is checked as an appliance file is (`manifest_rules`): an artifact may be a stranger's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from squib.errors import ApplianceError
from squib.model.appliance import (
    Appliance,
    BudgetSettings,
    HealthSettings,
    ImageSettings,
    Key,
    KeyType,
    MachineSettings,
    NetworkSettings,
    RestartPolicy,
    RestartSettings,
)
from squib.model.image import FileRecord, InputRecord, KernelRecord, Manifest, rebuild_hint
from squib.wire.manifest_rules import first_problem

__all__ = ["MAX_BYTES", "decode", "encode"]

MAX_BYTES = 4 << 20
"""No manifest is longer; one has some 200 bytes for each module and library that went in."""


class _Key(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    type: Literal["bool", "int", "port", "string"]
    default: bool | int | str
    doc: str


class _Restart(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    policy: Literal["always", "on-failure", "never"]
    tries: int


class _Health(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    path: str
    interval_ms: int
    timeout_ms: int
    failures: int
    start_period_ms: int


class _Budget(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    boot_ms: int | None = None
    rootfs_mib: int | None = None
    memory_mib: int | None = None


class _Appliance(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    summary: str
    serve: str
    keys: tuple[_Key, ...]
    mem_size_mib: int
    vcpu_count: int
    ports: tuple[int, ...]
    outbound: bool
    include: tuple[str, ...]
    modules: tuple[str, ...]
    restart: _Restart
    health: _Health | None
    budget: _Budget


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    size: int
    sha256: str


class _Input(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    version: str
    sha256: str


class _Kernel(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    release: str
    source: str
    load_mib: int


class _Manifest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    squib: str
    abi: int
    appliance: _Appliance
    kernel: _Kernel
    files: tuple[_File, ...]
    inputs: tuple[_Input, ...]


def encode(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    a = manifest.appliance
    value = _Manifest(
        squib=manifest.squib,
        abi=manifest.abi,
        appliance=_Appliance(
            name=a.name,
            summary=a.summary,
            serve=a.serve,
            keys=tuple(_Key(key.name, key.type.value, key.default, key.doc) for key in a.keys),
            mem_size_mib=a.machine.mem_size_mib,
            vcpu_count=a.machine.vcpu_count,
            ports=a.network.ports,
            outbound=a.network.outbound,
            include=a.image.include,
            modules=a.image.modules,
            restart=_Restart(a.restart.policy.value, a.restart.tries),
            health=_health(a.health),
            budget=_Budget(a.budget.boot_ms, a.budget.rootfs_mib, a.budget.memory_mib),
        ),
        kernel=_Kernel(manifest.kernel.release, manifest.kernel.source, manifest.kernel.load_mib),
        files=tuple(_File(file.name, file.size, file.sha256) for file in manifest.files),
        inputs=tuple(_Input(item.name, item.version, item.sha256) for item in manifest.inputs),
    )
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def decode(data: bytes, folder: Path) -> Manifest:
    """The manifest in `data`, of the artifact in `folder`. Raises ApplianceError."""
    if len(data) > MAX_BYTES:
        raise _wrong(folder, f"over {MAX_BYTES:,} bytes are no manifest")
    try:
        manifest = _model(msgspec.json.decode(data, type=_Manifest), folder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(folder, str(error)) from error
    problem = first_problem(manifest)
    if problem is not None:
        raise _wrong(folder, problem)
    return manifest


def _wrong(folder: Path, why: str) -> ApplianceError:
    return ApplianceError(f"{folder / 'manifest.json'}: {why}", hint=rebuild_hint(folder))


def _model(value: _Manifest, folder: Path) -> Manifest:
    a = value.appliance
    return Manifest(
        squib=value.squib,
        abi=value.abi,
        appliance=Appliance(
            name=a.name,
            serve=a.serve,
            folder=folder,
            summary=a.summary,
            keys=tuple(Key(key.name, KeyType(key.type), key.default, key.doc) for key in a.keys),
            machine=MachineSettings(a.mem_size_mib, a.vcpu_count),
            network=NetworkSettings(a.ports, a.outbound),
            image=ImageSettings(a.include, a.modules),
            restart=RestartSettings(RestartPolicy(a.restart.policy), a.restart.tries),
            health=_health_settings(a.health),
            budget=BudgetSettings(a.budget.boot_ms, a.budget.rootfs_mib, a.budget.memory_mib),
        ),
        kernel=KernelRecord(value.kernel.release, value.kernel.source, value.kernel.load_mib),
        files=tuple(FileRecord(file.name, file.size, file.sha256) for file in value.files),
        inputs=tuple(InputRecord(item.name, item.version, item.sha256) for item in value.inputs),
    )


def _health(h: HealthSettings | None) -> _Health | None:
    return None if h is None else _Health(h.path, h.interval_ms, h.timeout_ms, h.failures, h.start_period_ms)


def _health_settings(h: _Health | None) -> HealthSettings | None:
    return None if h is None else HealthSettings(h.path, h.interval_ms, h.timeout_ms, h.failures, h.start_period_ms)
