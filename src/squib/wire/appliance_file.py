"""The appliance file: `appliance.toml`, or `[tool.squib]` in a `pyproject.toml`.

Strict: an unknown key is an error. Every error names file, line and key, what was expected, and the nearest right key.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from squib.errors import ApplianceError, UsageError
from squib.model.appliance import (
    RESERVED_KEY_NAMES,
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
from squib.model.units import MAX_MEM_SIZE_MIB, MAX_VCPU_COUNT, parse_duration_ms, parse_mem_size_mib
from squib.wire.appliance_tables import (
    HEALTH_PATH,
    INTERVAL,
    MAX_BOOT_MS,
    MODULE,
    NAME,
    SERVE,
    START_PERIOD,
    TIMEOUT,
    ApplianceFile,
    BudgetTable,
    HealthTable,
    ImageTable,
    KeyTable,
    MachineTable,
    NetworkTable,
    RestartTable,
    default_expected,
    is_below,
)
from squib.wire.toml_source import KeyPath, TomlSource, descend

__all__ = ["APPLIANCE_TOML", "PYPROJECT_TOML", "decode", "has_table"]

APPLIANCE_TOML = "appliance.toml"
PYPROJECT_TOML = "pyproject.toml"
_PYPROJECT_TABLE = ("tool", "squib")


def has_table(text: str) -> bool:
    """Whether a pyproject.toml's `text` has `[tool.squib]`; a text that is not TOML counts as having it, to be told why."""
    try:
        document = TomlSource(Path(PYPROJECT_TOML), text, ()).parse()
    except ApplianceError:
        return "[tool.squib" in text
    return descend(document, _PYPROJECT_TABLE) is not None


def decode(text: str, path: Path) -> Appliance:
    """The appliance in `text`, the content of `path`; its folder is where `path` lies. Raises ApplianceError."""
    table = _PYPROJECT_TABLE if path.name == PYPROJECT_TOML else ()
    source = TomlSource(path, text, table)
    settings = descend(source.parse(), table)
    if settings is None:
        raise ApplianceError(f"{path} has no [tool.squib] table", hint=f"add one, or write an {APPLIANCE_TOML}")
    source.check_numbers(settings)
    try:
        file = msgspec.convert(settings, ApplianceFile)
    except msgspec.ValidationError as error:
        raise source.shape_error(str(error), ApplianceFile) from error
    return _appliance(source, file)


def _appliance(source: TomlSource, file: ApplianceFile) -> Appliance:
    if not NAME.fullmatch(file.name):
        raise source.error(
            ("name",), f"{file.name!r} is no name: expected a lower-case letter, then letters, digits or -, at most 32"
        )
    if not SERVE.fullmatch(file.serve):
        raise source.error(
            ("serve",), f'{file.serve!r} is not what to serve: expected "MODULE:FUNCTION", for example "app:answer"'
        )
    if not file.summary.isprintable():
        raise source.error(("summary",), "expected one line of text")
    keys = tuple(_key(source, name, table) for name, table in file.keys.items())
    return Appliance(
        name=file.name,
        serve=file.serve,
        folder=source.path.parent,
        summary=file.summary,
        keys=keys,
        machine=_machine(source, file.machine),
        network=_network(source, file.network, keys),
        image=_image(source, file.image),
        restart=_restart(source, file.restart),
        health=None if file.health is None else _health(source, file.health),
        budget=_budget(source, file.budget),
    )


def _key(source: TomlSource, name: str, table: KeyTable) -> Key:
    at: KeyPath = ("keys", name)
    if not NAME.fullmatch(name):
        raise source.error(at, "no name for a key: expected a lower-case letter, then letters, digits or -, at most 32")
    if name in RESERVED_KEY_NAMES:
        raise source.error(at, f"squib's own option --{name} has this name", hint="give the key another name")
    if not table.doc.isprintable():
        raise source.error((*at, "doc"), "expected one line of text")
    type_ = KeyType(table.type)
    if name == "port" and type_ is not KeyType.PORT:
        raise source.error((*at, "type"), 'the server listens on the key "port": expected type "port"')
    if (expected := default_expected(type_, table.default)) is not None:
        raise source.error((*at, "default"), f"expected {expected}, got {table.default!r}")
    return Key(name, type_, table.default, table.doc)


def _machine(source: TomlSource, table: MachineTable) -> MachineSettings:
    try:
        mem_size_mib = parse_mem_size_mib(table.memory)
    except UsageError as error:
        raise source.error(("machine", "memory"), str(error), hint=error.hint) from error
    if not 1 <= table.vcpus <= MAX_VCPU_COUNT:
        raise source.error(("machine", "vcpus"), f"expected 1 to {MAX_VCPU_COUNT}, got {table.vcpus}")
    return MachineSettings(mem_size_mib, table.vcpus)


def _network(source: TomlSource, table: NetworkTable, keys: tuple[Key, ...]) -> NetworkSettings:
    ports = table.ports
    if ports is None:  # what the server listens on unless told otherwise
        ports = tuple(int(key.default) for key in keys if key.name == "port") or (80,)
    for index, port in enumerate(ports):
        if not 1 <= port <= 65535:
            raise source.error(("network", "ports"), f"expected a port, 1 to 65535, got {port}")
        if port in ports[:index]:
            raise source.error(("network", "ports"), f"{port} stands twice")
    return NetworkSettings(ports, table.outbound)


def _image(source: TomlSource, table: ImageTable) -> ImageSettings:
    for path in table.include:
        if not is_below(path):
            raise source.error(("image", "include"), f"{path!r}: expected a path below the appliance's folder")
    for module in table.modules:
        if not MODULE.fullmatch(module):
            raise source.error(("image", "modules"), f"{module!r}: expected the name of a Python module")
    return ImageSettings(table.include, table.modules)


def _restart(source: TomlSource, table: RestartTable) -> RestartSettings:
    if not 1 <= table.tries <= 100:
        raise source.error(("restart", "tries"), f"expected 1 to 100, got {table.tries}")
    return RestartSettings(RestartPolicy(table.policy), table.tries)


def _health(source: TomlSource, table: HealthTable) -> HealthSettings:
    if not HEALTH_PATH.fullmatch(table.path):
        raise source.error(
            ("health", "path"), f"{table.path!r}: expected a path as in a request: / and then ASCII without spaces and #"
        )
    if not 1 <= table.failures <= 100:
        raise source.error(("health", "failures"), f"expected 1 to 100, got {table.failures}")
    return HealthSettings(
        path=table.path,
        interval_ms=_duration(source, "interval", table.interval, INTERVAL, "10s or 1m"),
        timeout_ms=_duration(source, "timeout", table.timeout, TIMEOUT, "500ms, 2s or 1m"),
        failures=table.failures,
        start_period_ms=_duration(source, "start_period", table.start_period, START_PERIOD, "0s, 10s or 1m"),
    )


def _budget(source: TomlSource, table: BudgetTable) -> BudgetSettings:
    for name, value, most in (
        ("boot_ms", table.boot_ms, MAX_BOOT_MS),
        ("rootfs_mib", table.rootfs_mib, MAX_MEM_SIZE_MIB),
        ("memory_mib", table.memory_mib, MAX_MEM_SIZE_MIB),
    ):
        if value is not None and not 1 <= value <= most:
            raise source.error(("budget", name), f"expected 1 to {most}, got {value}")
    return BudgetSettings(table.boot_ms, table.rootfs_mib, table.memory_mib)


def _duration(source: TomlSource, name: str, text: str, form: re.Pattern[str], examples: str) -> int:
    if not form.fullmatch(text):
        raise source.error(
            ("health", name), f"{text!r}: expected a whole number of at most four digits and a unit, as in {examples}"
        )
    return parse_duration_ms(text)
