"""The tables of the appliance file as they are written: every key with its type, its default and what it means.

msgspec checks types, required keys and unknown ones. What else must hold (`extra_json_schema`) is said here for editors and
checked by `appliance_file`, whose words are better; a test holds both to the same files.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from squib.model.appliance import RESERVED_KEY_NAMES, KeyType, Value
from squib.model.units import MAX_MEM_SIZE_MIB, MAX_VCPU_COUNT

__all__ = [
    "HEALTH_PATH",
    "INTERVAL",
    "MAX_BOOT_MS",
    "MODULE",
    "NAME",
    "SERVE",
    "START_PERIOD",
    "TIMEOUT",
    "ApplianceFile",
    "BudgetTable",
    "HealthTable",
    "ImageTable",
    "KeyTable",
    "MachineTable",
    "NetworkTable",
    "RestartTable",
    "default_expected",
    "is_below",
    "means",
    "whole",
]

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
SERVE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*")
MODULE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""What is imported by name need be no identifier: `_sysconfigdata__x86_64-linux-gnu`."""

HEALTH_PATH = re.compile(r"/[!-\"$-~]{0,1023}")
INTERVAL = re.compile(r"[1-9][0-9]{0,3}(s|m)")
TIMEOUT = re.compile(r"[1-9][0-9]{0,3}(ms|s|m)")
MAX_BOOT_MS = 600_000
START_PERIOD = re.compile(r"(0|[1-9][0-9]{0,3})(s|m)")

_LINE = "^[^\\x00-\\x1f\\x7f]*$"
_MEMORY = r"^\s*[1-9][0-9]{0,8}([Mm]|[Gg])([Ii]?[Bb])?\s*$"
_BELOW = r"^(?!/)(?!(.*/)?\.\.(/|$)).+$"
_BOOT_MS = {"minimum": 1, "maximum": MAX_BOOT_MS}
_MIB = {"minimum": 1, "maximum": MAX_MEM_SIZE_MIB}
_PORT = {"minimum": 1, "maximum": 65535}


def means(description: str, **schema: object) -> msgspec.Meta:
    """What a key means, and what JSON Schema says beyond its type. Nothing of it is checked by msgspec."""
    return msgspec.Meta(description=description, extra_json_schema=schema)


def whole(pattern: re.Pattern[str]) -> str:
    """`pattern` for a whole value, as JSON Schema writes it (ECMA-262)."""
    return f"^(?:{pattern.pattern})$"


def default_expected(type_: KeyType, value: Value) -> str | None:
    """What the default of a key of `type_` should be, where `value` is not that; None where it is."""
    match type_:
        case KeyType.BOOL:
            return None if isinstance(value, bool) else "true or false"
        case KeyType.STRING:
            return None if isinstance(value, str) and "\0" not in value else "a string"
        case KeyType.INT:
            whole = isinstance(value, int) and not isinstance(value, bool)
            return None if whole and abs(int(value)) < 10**18 else "a whole number of at most 18 digits"
        case KeyType.PORT:
            return (
                None if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535 else "a port, 1 to 65535"
            )


def is_below(path: str) -> bool:
    """Whether `path`, as `include` has it, is one below the appliance's folder."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


class KeyTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An option of the appliance's own: `--NAME` of `squib serve` and `squib run`, `SQUIB_NAME` in the environment."""

    type: Annotated[Literal["bool", "int", "port", "string"], means("The type of its values.")]
    default: Annotated[bool | int | str, means("Its value where nobody sets it; of its type.")]
    doc: Annotated[str, means("One line, shown by --help.", pattern=_LINE)] = ""


class MachineTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The virtual machine that the appliance asks for."""

    memory: Annotated[str, means('The guest\'s memory, as in "128M" or "1G".', pattern=_MEMORY)] = "128M"
    vcpus: Annotated[int, means(f"The guest's processors, 1 to {MAX_VCPU_COUNT}.", minimum=1, maximum=MAX_VCPU_COUNT)] = 1


class NetworkTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What reaches the guest, and what the guest reaches."""

    ports: (
        Annotated[
            tuple[Annotated[int, means("A TCP port.", **_PORT)], ...],
            means("The guest's TCP ports to publish. Without it, the port key's default.", uniqueItems=True),
        ]
        | None
    ) = None
    outbound: Annotated[
        bool, means("Whether the guest wants to open connections to the outside: squib run --outbound lets it.")
    ] = False


class ImageTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What goes into the image beside what is found by itself."""

    include: Annotated[
        tuple[Annotated[str, means("A path below the appliance's folder.", pattern=_BELOW)], ...],
        means("Files and folders below the appliance's folder that go into the image as well."),
    ] = ()
    modules: Annotated[
        tuple[Annotated[str, means("The name of a Python module.", pattern=whole(MODULE))], ...],
        means("Python modules that go in although no import statement leads to them."),
    ] = ()


class HealthTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A check of the running server, from inside the machine: a GET that must be answered with status 2xx or 3xx."""

    path: Annotated[str, means("What to ask for.", pattern=whole(HEALTH_PATH))] = "/"
    interval: Annotated[str, means('The pause between two checks, as in "10s" or "1m".', pattern=whole(INTERVAL))] = "10s"
    timeout: Annotated[str, means('How long an answer may take, as in "500ms" or "2s".', pattern=whole(TIMEOUT))] = "2s"
    failures: Annotated[
        int, means("Bad checks in a row after which the server is killed, 1 to 100.", minimum=1, maximum=100)
    ] = 3
    start_period: Annotated[
        str,
        means("How long after its start bad checks do not count, until one is good.", pattern=whole(START_PERIOD)),
    ] = "10s"


class RestartTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What becomes of a server that ends unasked, or is killed for its health."""

    policy: Annotated[Literal["always", "on-failure", "never"], means("When it is started again.")] = "always"
    tries: Annotated[
        int, means("How often in a row it is started before the guest gives up, 1 to 100.", minimum=1, maximum=100)
    ] = 5


class BudgetTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The most that `squib boot-report` lets pass; what is not named here may be anything."""

    boot_ms: Annotated[int, means("Milliseconds from the VMM's start to the first answer, 1 to 600000.", **_BOOT_MS)] | None = (
        None
    )
    rootfs_mib: Annotated[int, means("MiB of rootfs.ext4, 1 to 1048576.", **_MIB)] | None = None
    memory_mib: Annotated[int, means("MiB of memory that the guest uses once it is ready, 1 to 1048576.", **_MIB)] | None = None


_KEYS = means(
    "Options of the appliance's own, by name.",
    propertyNames={"pattern": whole(NAME), "not": {"enum": sorted(RESERVED_KEY_NAMES)}},
    # The server listens on the key `port`.
    properties={"port": {"$ref": "#/$defs/KeyTable", "properties": {"type": {"const": "port"}}}},
)


class ApplianceFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An appliance: what squib builds into an image, serves and runs."""

    name: Annotated[
        str,
        means(
            "Names machines, the guest's host name and its messages: a-z, then a-z, 0-9 or -, at most 32.", pattern=whole(NAME)
        ),
    ]
    serve: Annotated[str, means('"MODULE:FUNCTION", called once for each request.', pattern=whole(SERVE))]
    summary: Annotated[str, means("One line, shown by --help.", pattern=_LINE)] = ""
    keys: Annotated[dict[str, KeyTable], _KEYS] = {}
    machine: MachineTable = MachineTable()
    network: NetworkTable = NetworkTable()
    image: ImageTable = ImageTable()
    restart: RestartTable = RestartTable()
    health: HealthTable | None = None
    budget: BudgetTable = BudgetTable()
