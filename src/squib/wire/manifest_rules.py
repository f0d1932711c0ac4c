"""What must hold of a manifest beyond the types of its fields: the rules of the appliance file, and those of its records.

An artifact may come from anywhere, so nothing of it is taken on trust because squib would have written it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from squib.model.appliance import RESERVED_KEY_NAMES, Appliance, BudgetSettings, HealthSettings, Key, KeyType
from squib.model.image import INITRD, ROOTFS, VMLINUX, FileRecord, InputRecord, Manifest
from squib.model.units import MAX_MEM_SIZE_MIB, MAX_VCPU_COUNT
from squib.wire.appliance_tables import HEALTH_PATH, MAX_BOOT_MS, MODULE, NAME, SERVE, default_expected, is_below

__all__ = ["first_problem"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_PORT = 65535
_MAX_MINUTES_MS = 9999 * 60_000
"""The longest duration that the appliance file can say: four digits and a unit."""
_MAX_ABI = 1 << 16
_MAX_FILE_BYTES = 1 << 40

Problems = Iterator[tuple[str, str]]
"""Each is the field, and what was expected of it."""


def first_problem(manifest: Manifest) -> str | None:
    """What is wrong first, as `FIELD: expected …`; None where nothing is."""
    found = next(
        chain(_manifest(manifest), _files(manifest.files), _inputs(manifest.inputs), _appliance(manifest.appliance)), None
    )
    return None if found is None else f"{found[0]}: expected {found[1]}"


def _manifest(manifest: Manifest) -> Problems:
    yield from _line("squib", manifest.squib)
    yield from _within("abi", manifest.abi, 0, _MAX_ABI)
    yield from _line("kernel.release", manifest.kernel.release)
    yield from _line("kernel.source", manifest.kernel.source)
    yield from _within("kernel.load_mib", manifest.kernel.load_mib, 0, MAX_MEM_SIZE_MIB)


def _files(files: tuple[FileRecord, ...]) -> Problems:
    names = [file.name for file in files]
    if not {ROOTFS, VMLINUX} <= set(names) <= {ROOTFS, VMLINUX, INITRD} or len(names) != len(set(names)):
        yield "files", f"{ROOTFS}, {VMLINUX} and perhaps {INITRD}, each once"
    for file in files:
        yield from _within(f"files.{file.name}.size", file.size, 0, _MAX_FILE_BYTES)
        yield from _digest(f"files.{file.name}.sha256", file.sha256)


def _inputs(inputs: tuple[InputRecord, ...]) -> Problems:
    for index, item in enumerate(inputs):
        yield from _line(f"inputs[{index}].name", item.name)
        yield from _line(f"inputs[{index}].version", item.version)
        yield from _digest(f"inputs[{index}].sha256", item.sha256)


def _appliance(appliance: Appliance) -> Problems:
    if not NAME.fullmatch(appliance.name):
        yield "appliance.name", "a lower-case letter, then letters, digits or -, at most 32"
    if not SERVE.fullmatch(appliance.serve):
        yield "appliance.serve", '"MODULE:FUNCTION"'
    yield from _printable("appliance.summary", appliance.summary)
    yield from _keys(appliance.keys)
    yield from _within("appliance.mem_size_mib", appliance.machine.mem_size_mib, 1, MAX_MEM_SIZE_MIB)
    yield from _within("appliance.vcpu_count", appliance.machine.vcpu_count, 1, MAX_VCPU_COUNT)
    for port in appliance.network.ports:
        yield from _within("appliance.ports", port, 1, _MAX_PORT)
    if len(set(appliance.network.ports)) != len(appliance.network.ports):
        yield "appliance.ports", "each port once"
    if not all(is_below(path) for path in appliance.image.include):
        yield "appliance.include", "paths below the appliance's folder"
    if not all(MODULE.fullmatch(module) for module in appliance.image.modules):
        yield "appliance.modules", "names of Python modules"
    yield from _within("appliance.restart.tries", appliance.restart.tries, 1, 100)
    if appliance.health is not None:
        yield from _health(appliance.health)
    yield from _budget(appliance.budget)


def _keys(keys: tuple[Key, ...]) -> Problems:
    names = [key.name for key in keys]
    if len(set(names)) != len(names):
        yield "appliance.keys", "each key once"
    for index, key in enumerate(keys):
        at = f"appliance.keys[{index}]"
        if not NAME.fullmatch(key.name) or key.name in RESERVED_KEY_NAMES:
            yield f"{at}.name", "a key's name: a lower-case letter, then letters, digits or -, and no option of squib's own"
        if key.name == "port" and key.type is not KeyType.PORT:
            yield f"{at}.type", '"port", since the server listens on it'
        if (expected := default_expected(key.type, key.default)) is not None:
            yield f"{at}.default", expected
        yield from _printable(f"{at}.doc", key.doc)


def _health(health: HealthSettings) -> Problems:
    at = "appliance.health"
    if not HEALTH_PATH.fullmatch(health.path):
        yield f"{at}.path", "a path as in a request: / and then ASCII without spaces and #"
    yield from _within(f"{at}.interval_ms", health.interval_ms, 1000, _MAX_MINUTES_MS)
    yield from _within(f"{at}.timeout_ms", health.timeout_ms, 1, _MAX_MINUTES_MS)
    yield from _within(f"{at}.failures", health.failures, 1, 100)
    yield from _within(f"{at}.start_period_ms", health.start_period_ms, 0, _MAX_MINUTES_MS)


def _budget(budget: BudgetSettings) -> Problems:
    for name, value, most in (
        ("boot_ms", budget.boot_ms, MAX_BOOT_MS),
        ("rootfs_mib", budget.rootfs_mib, MAX_MEM_SIZE_MIB),
        ("memory_mib", budget.memory_mib, MAX_MEM_SIZE_MIB),
    ):
        if value is not None:
            yield from _within(f"appliance.budget.{name}", value, 1, most)


def _within(field: str, value: int, least: int, most: int) -> Problems:
    if not least <= value <= most:
        yield field, f"{least} to {most}"


def _line(field: str, text: str) -> Problems:
    """Of a name that squib does not choose, as a library's file: any text without control characters."""
    if _CONTROL.search(text):
        yield field, "text without control characters"


def _printable(field: str, text: str) -> Problems:
    if not text.isprintable():
        yield field, "one line of text"


def _digest(field: str, text: str) -> Problems:
    if not _SHA256.fullmatch(text):
        yield field, "64 hexadecimal digits"
