"""Which Python modules an appliance can reach, and who reaches them first.

The rules:
- Of the appliance's, of squib's and of installed code every import statement is followed, also those in functions.
- Of the standard library those that run at import. What its functions and its C code import later is in `LATER`, for what
  appliances are known to need; it is applied to the appliance's part only, as squib's own code needs none of it.
- A module that cannot be found is a mistake where the appliance's own code would fail at import; elsewhere it is an
  alternative that this machine does not have.
- Imports by a computed name cannot be seen: `[image] modules` names them.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from squib.build.bytecode import Compiled
from squib.build.imports import Import
from squib.build.interpreter import sysconfig_data
from squib.build.module_finder import Finder, Form, Kind, Module
from squib.errors import ApplianceError, UnavailableError
from squib.model.appliance import Appliance
from squib.model.image import Target
from squib.model.near import did_you_mean

__all__ = ["LATER", "Reached", "reachable"]

Compile = Callable[[Module], Compiled | None]
"""The byte code of a module that has source; None where it is no Python that this interpreter knows."""

START = ("encodings", "encodings.aliases", "encodings.ascii", "encodings.latin_1", "encodings.utf_8", "io", "os", "zipimport")
"""What CPython imports before it runs anything (Python/pylifecycle.c, init_interp_main); os marks where the library is."""

PROGRAMS: dict[Target, tuple[str, ...]] = {
    Target.MACHINE: ("squib.guest.init", "squib.guest.serve"),
    Target.CONTAINER: ("squib.guest.container", "squib.guest.serve"),
}
"""The guest's programs: where its imports begin."""

LATER: dict[str, tuple[str, ...]] = {
    "asyncio": ("concurrent.futures.thread",),  # loop.run_in_executor, getaddrinfo
    "collections": ("copy", "heapq"),  # Counter.most_common, UserDict.copy
    "concurrent.futures": ("concurrent.futures.thread", "concurrent.futures.process"),  # its __getattr__
    "datetime": ("_strptime",),  # Modules/_datetimemodule.c
    "dbm": ("dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3"),  # by name, those that are there
    "decimal": ("numbers",),
    "email": ("email.parser",),  # message_from_string; importlib.metadata reads with it
    "email.message": ("email.generator", "email.policy"),  # Message.as_bytes, EmailMessage
    "encodings": ("encodings.cp1252", "encodings.idna", "encodings.utf_8_sig", "encodings.utf_16"),
    "functools": ("typing", "weakref"),  # singledispatch
    "gettext": ("copy", "locale", "struct"),  # translation
    "hashlib": ("_blake2",),  # in the binary on Debian, a file elsewhere
    "http.client": ("email.parser",),
    "importlib.resources": ("importlib.readers",),  # files: importlib._bootstrap_external, get_resource_reader
    "importlib_resources": ("importlib.readers",),  # its backport asks the same loaders
    "json": ("json.decoder", "json.encoder"),
    "logging": ("traceback",),
    "logging.config": ("configparser",),  # fileConfig
    "multiprocessing": (
        "multiprocessing.connection",
        "multiprocessing.pool",
        "multiprocessing.popen_fork",
        "multiprocessing.queues",
        "multiprocessing.resource_tracker",
        "multiprocessing.sharedctypes",
        "multiprocessing.synchronize",
    ),
    "pickle": ("copyreg", "_compat_pickle"),  # Modules/_pickle.c
    "pkgutil": ("inspect",),  # iter_modules
    "platform": ("struct", "subprocess"),  # architecture, processor
    "re": ("copyreg",),
    "shelve": ("dbm",),  # open
    "socket": ("encodings.idna",),  # getaddrinfo encodes names so: Modules/socketmodule.c
    "socketserver": ("traceback",),  # handle_error
    "ssl": ("calendar", "encodings.idna"),
    "sqlite3": ("sqlite3.dump",),  # Connection.iterdump
    "tarfile": ("bz2", "gzip", "lzma"),
    "time": ("_strptime",),  # Modules/timemodule.c
    "typing": ("inspect",) if sys.version_info >= (3, 12) else (),  # isinstance with a Protocol
    "unittest.mock": ("asyncio",),
    "urllib.request": ("http.cookiejar",),  # HTTPCookieProcessor
    "uuid": ("hashlib", "random"),  # uuid3 and uuid5, uuid1
    "xml.dom": ("xml.dom.minidom",),  # getDOMImplementation, by name
    "xml.dom.minidom": ("xml.dom.expatbuilder",),  # parse
    "xml.etree.ElementTree": ("copy", "xml.etree.ElementPath", "pyexpat"),  # Modules/_elementtree.c
    "zoneinfo": ("importlib.resources", "zoneinfo._common"),
}
"""What a module imports when it is used; `sysconfig`'s is named after the machine, see `_later`."""

_PYTHON = "the Python that runs squib"

_IN_BINARY = frozenset({"importlib._bootstrap", "importlib._bootstrap_external"})
"""Frozen under other names: importlib takes those, and its files only where they are missing."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A module that goes in, its byte code (none for an extension or a namespace), and why."""

    module: Module
    compiled: Compiled | None
    why: str


def reachable(appliance: Appliance, finder: Finder, compile_: Compile, target: Target) -> tuple[Reached, ...]:
    """All modules, in the order in which they were found. Raises ApplianceError for what the appliance lacks."""
    walk = _Walk(appliance, finder, compile_)
    for name in START:
        walk.reach(name, Kind.STDLIB, "the interpreter's start")
    for name in PROGRAMS[target]:
        if not walk.reach(name, Kind.GUEST, "the guest's program"):
            raise UnavailableError(f"this squib is not whole: {name} is missing", hint="install squib again")
    walk.run()
    walk.later = not appliance.module.startswith("squib.guest.") or bool(appliance.image.modules)
    if walk.later:
        walk.reach("encodings", Kind.APP, "text of the appliance")
    if not walk.reach(appliance.module, Kind.APP, "the appliance serves it"):
        raise ApplianceError(
            f"{appliance.name}: serve: there is no module {appliance.module}",
            hint=f"it is looked for in {appliance.folder} and among the packages installed for {_PYTHON}",
        )
    for name in appliance.image.modules:
        if not walk.reach(name, Kind.APP, "[image] modules"):
            raise ApplianceError(
                f"{appliance.name}: image.modules: there is no module {name}",
                hint="install the package that has it, or take the name out",
            )
    walk.run()
    _check_function(appliance, walk.reached[appliance.module])
    return tuple(walk.reached.values())


def _check_function(appliance: Appliance, served: Reached) -> None:
    """Refuses a function whose name does not even occur at the top of its module; what is there is known only at run time."""
    function = appliance.serve.partition(":")[2]
    if served.compiled is None or any("*" in item.names for item in served.compiled.imports):
        return
    names = served.compiled.names
    if function not in names and "__getattr__" not in names:
        meant = did_you_mean(function, names, f"{appliance.module}:{{}}")
        raise ApplianceError(
            f"{appliance.name}: serve: the module {appliance.module} has no function {function}{meant}",
            hint=f'write it: def {function}(request), or name another in the appliance file: serve = "MODULE:FUNCTION"',
        )


class _Walk:
    """The modules reached so far, and those whose imports are still to be read."""

    def __init__(self, appliance: Appliance, finder: Finder, compile_: Compile) -> None:
        self.later = False
        self.reached: dict[str, Reached] = {}
        self._appliance = appliance
        self._finder = finder
        self._compile = compile_
        self._waiting: deque[Reached] = deque()
        self._looked_up: set[str] = set()

    def run(self) -> None:
        """Follows imports until there is nothing new."""
        while self._waiting:
            self._follow(self._waiting.popleft())

    def reach(self, name: str, importer: Kind, why: str) -> bool:
        """Takes in `name` and the packages above it; False where it cannot be found."""
        found = False
        for prefix in _prefixes(name):
            module = self._finder.find(prefix, importer)
            found = module is not None
            if module is None or prefix in _IN_BINARY:
                break
            if prefix not in self.reached:
                compiled = self._compile(module) if module.form in {Form.SOURCE, Form.FROZEN} and module.source else None
                self.reached[prefix] = Reached(module, compiled, why)
                self._waiting.append(self.reached[prefix])
            if self.later and prefix not in self._looked_up:
                self._looked_up.add(prefix)
                for other in _later(prefix):
                    self.reach(other, Kind.STDLIB, f"imported later by {prefix}")
        return found

    def _follow(self, reached: Reached) -> None:
        module = reached.module
        for item in reached.compiled.imports if reached.compiled else ():
            if module.kind is Kind.STDLIB and not item.at_import:
                continue
            base = _absolute(module, item)
            if base is None:
                continue
            why = f"imported by {module.name}"
            if not self.reach(base, module.kind, why):
                self._missing(module, item, base)
                continue
            for name in item.names:
                if name != "*" and self._finder.find(f"{base}.{name}", module.kind) is not None:
                    self.reach(f"{base}.{name}", module.kind, why)

    def _missing(self, module: Module, item: Import, name: str) -> None:
        parent = self._finder.find(name.rpartition(".")[0], module.kind) if "." in name else None
        made_by_code = parent is not None and not parent.is_package  # as os.path is
        if module.kind is not Kind.APP or item.guarded or not item.at_import or made_by_code:
            return
        raise ApplianceError(
            f"{module.source}:{item.line}: there is no module {name}",
            hint=f"install the package that has it for {_PYTHON}, or put {name.partition('.')[0]}.py into "
            f"{self._appliance.folder}",
        )


def _later(name: str) -> tuple[str, ...]:
    # sysconfig.get_config_vars imports it; packages call that when they are imported (pydantic).
    return (sysconfig_data(),) if name == "sysconfig" else LATER.get(name, ())


def _prefixes(name: str) -> tuple[str, ...]:
    parts = name.split(".")
    return tuple(".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _absolute(module: Module, item: Import) -> str | None:
    if not item.level:
        return item.module
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    kept = len(package) - (item.level - 1)
    if kept < 1:
        return None
    return ".".join([*package[:kept], *([item.module] if item.module else [])])
