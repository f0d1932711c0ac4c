"""Which Python modules an appliance can reach, and who reaches them first.

The rules:
- Of the appliance's and of installed code every import is followed, also those in functions; and of the part of the standard
  library that such code reaches. All of `encodings` is in that part: text may come in any encoding.
- An installed distribution that is reached goes in whole, with what it requires. Of its modules that nothing imports, only
  imports of the standard library are followed, else every optional companion that is installed would come along. Folders of
  tests stay out where neither its other code nor the appliance speaks of them.
- Of what only squib's own code and the interpreter's start reach, the standard library is followed by what runs at import.
- CPython's own tests are not followed.
- A module that cannot be found is a mistake where the appliance's own code would fail at import; elsewhere it is an
  alternative that this machine does not have.
- What C code imports stands as text in its file; of C code within the interpreter's binary it is in `BY_BINARY`.
- Imports by a name that is not in the text cannot be seen: `[image] modules` names them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from squib.build import time_zones
from squib.build.bytecode import Compiled
from squib.build.distributions import Distribution, Distributions
from squib.build.imports import SUBMODULES, Import
from squib.build.interpreter import sysconfig_data
from squib.build.module_finder import PACKAGES, Finder, Form, Kind, Module
from squib.build.requirements import required
from squib.errors import ApplianceError, UnavailableError
from squib.model.appliance import Appliance
from squib.model.image import Target
from squib.model.near import did_you_mean

__all__ = ["BY_BINARY", "Code", "Reach", "Reached", "Whole", "reachable"]


class Code(Protocol):
    """How modules are read."""

    def compiled(self, module: Module) -> Compiled | None:
        """The byte code of a module that has source; None where it is no Python that this interpreter knows."""

    def named(self, module: Module, *, others: bool) -> tuple[Import, ...]:
        """What the extension `module` names: modules of the standard library, and `others` as well."""


START = ("encodings", "encodings.aliases", "encodings.ascii", "encodings.latin_1", "encodings.utf_8", "io", "os", "zipimport")
"""What CPython imports before it runs anything (Python/pylifecycle.c, init_interp_main); os marks where the library is."""

PROGRAMS: dict[Target, tuple[str, ...]] = {
    Target.MACHINE: ("squib.guest.init", "squib.guest.serve"),
    Target.CONTAINER: ("squib.guest.container", "squib.guest.serve"),
}
"""The guest's programs: where its imports begin."""

BY_BINARY: dict[str, tuple[str, ...]] = {
    "_datetime": ("_strptime",),
    "_elementtree": ("copy", "pyexpat", "xml.etree.ElementPath"),
    "_pickle": ("_compat_pickle", "copyreg"),
    "_zoneinfo": ("zoneinfo._common",),
    "array": ("collections.abc",),
    "builtins": ("copyreg",),  # object.__reduce_ex__
    "importlib.resources": ("importlib.readers",),  # the loaders' get_resource_reader: importlib._bootstrap_external
    "importlib_resources": ("importlib.readers",),  # its backport asks the same loaders
    "time": ("_strptime",),
    "_typing": ("typing",),  # type parameters (PEP 695)
}
"""What code within the interpreter's binary imports, by the module that stands for it; `sysconfig`'s is named after the
machine, see `_by_binary`."""

_TESTS = "test"
"""CPython's tests: a few functions of the library import them, which only they call."""

_TEST_FOLDERS = frozenset({"test", "tests"})

_PYTHON = "the Python that runs squib"

_IN_BINARY = frozenset({"importlib._bootstrap", "importlib._bootstrap_external"})
"""Frozen under other names: importlib takes those, and its files only where they are missing."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A module that goes in, its byte code (none for an extension or a namespace), and why."""

    module: Module
    compiled: Compiled | None
    why: str


@dataclass(frozen=True, slots=True)
class Whole:
    """An installed distribution that goes in, which files of it do (as Distribution.files), and why."""

    distribution: Distribution
    files: tuple[tuple[str, Path], ...]
    why: str


@dataclass(frozen=True, slots=True)
class Reach:
    """The modules in the order in which they were found, and the distributions likewise.

    `words`: those of imports.WORDS that code of the appliance or of a distribution uses.
    """

    modules: tuple[Reached, ...]
    distributions: tuple[Whole, ...]
    words: frozenset[str]


def reachable(appliance: Appliance, finder: Finder, installed: Distributions, code: Code, target: Target) -> Reach:
    """All that goes in. Raises ApplianceError for what the appliance lacks."""
    walk = _Walk(appliance, finder, installed, code)
    for name in START:
        walk.reach(name, Kind.STDLIB, "the interpreter's start")
    for name in PROGRAMS[target]:
        if not walk.reach(name, Kind.GUEST, "the guest's program"):
            raise UnavailableError(f"this squib is not whole: {name} is missing", hint="install squib again")
    walk.run()
    if not walk.reach(appliance.module, Kind.APP, "the appliance serves it", deep=True):
        raise ApplianceError(
            f"{appliance.name}: serve: there is no module {appliance.module}",
            hint=f"it is looked for in {appliance.folder} and among the packages installed for {_PYTHON}",
        )
    if walk.reached[appliance.module].module.kind is not Kind.GUEST or appliance.image.modules:
        walk.reach("builtins", Kind.APP, "the appliance's code", deep=True)
        walk.reach("encodings", Kind.APP, "text of the appliance", deep=True)
    for name in appliance.image.modules:
        if not walk.reach(name, Kind.APP, "[image] modules", deep=True):
            raise ApplianceError(
                f"{appliance.name}: image.modules: there is no module {name}",
                hint="install the package that has it, or take the name out",
            )
    walk.run()
    if "zoneinfo" in walk.reached or "tzset" in walk.words:
        walk.require(time_zones.DISTRIBUTION, "time zones")
    _check_function(appliance, walk.reached[appliance.module])
    return Reach(tuple(walk.reached.values()), walk.wholes(), frozenset(walk.words))


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
    """The modules reached so far, and those whose imports are still to be read.

    `deep` tells of what code of the appliance or of an installed package reaches: there imports in functions count as well.
    """

    def __init__(self, appliance: Appliance, finder: Finder, installed: Distributions, code: Code) -> None:
        self.reached: dict[str, Reached] = {}
        self.words: set[str] = set()
        self._appliance = appliance
        self._finder = finder
        self._installed = installed
        self._code = code
        self._waiting: deque[tuple[Reached, bool]] = deque()
        self._deep: set[str] = set()
        self._own_words: set[str] = set()
        self._taken: dict[Distribution, _Taken] = {}

    def run(self) -> None:
        """Follows imports until there is nothing new."""
        while self._waiting or self._untested():
            while self._waiting:
                self._follow(*self._waiting.popleft())
            for taken in self._untested():
                self._read_files(taken, _TEST_FOLDERS & (taken.words | self._own_words))

    def wholes(self) -> tuple[Whole, ...]:
        """The distributions that go in."""
        return tuple(Whole(each, tuple(sorted(taken.files.items())), taken.why) for each, taken in self._taken.items())

    def reach(self, name: str, importer: Kind, why: str, *, deep: bool = False) -> bool:
        """Takes in `name` and the packages above it; False where it cannot be found."""
        found = False
        if importer is Kind.STDLIB and _top(name) == _TESTS:
            return False
        for prefix in _prefixes(name):
            module = self._finder.find(prefix, importer)
            found = module is not None
            if module is None or prefix in _IN_BINARY:
                break
            if prefix not in self.reached:
                has_source = module.form in {Form.SOURCE, Form.FROZEN} and module.source is not None
                self.reached[prefix] = Reached(module, self._code.compiled(module) if has_source else None, why)
                self._waiting.append((self.reached[prefix], deep))
            elif deep and prefix not in self._deep:
                self._waiting.append((self.reached[prefix], deep))
            if deep and prefix not in self._deep:
                self._deep.add(prefix)
                self._reach_deeply(module, why)
        return found

    def _reach_deeply(self, module: Module, why: str) -> None:
        """What comes with a module beside what its source imports."""
        if module.kind is Kind.INSTALLED and module.source is not None:
            distribution = self._installed.owner(module)
            if distribution not in self._taken:
                self._take(distribution, why)
                for other, requirer in required(distribution, self._installed):
                    self._take(other, f"required by {requirer.name}")
        if module.kind is Kind.APP and (compiled := self.reached[module.name].compiled):
            self._own_words.update(compiled.words)
            self.words.update(compiled.words)
        for other_name in _by_binary(module.name):
            self.reach(other_name, Kind.STDLIB, f"imported later by {module.name}", deep=True)

    def require(self, name: str, why: str) -> None:
        """Takes in the distribution `name` where it is installed."""
        distribution = self._installed.named(name)
        if distribution is not None:
            self._take(distribution, why)
            self.run()

    def _take(self, distribution: Distribution, why: str) -> None:
        if distribution not in self._taken:
            self._taken[distribution] = _Taken(distribution, why)
            self._read_files(self._taken[distribution], frozenset())

    def _untested(self) -> list[_Taken]:
        """Distributions with folders of tests that are to go in, since code outside of them or the appliance speaks of them."""
        return [taken for taken in self._taken.values() if (taken.words | self._own_words) & _TEST_FOLDERS - taken.folders]

    def _read_files(self, taken: _Taken, folders: frozenset[str]) -> None:
        """Takes in files of a distribution, and follows its modules into the standard library.

        Those in `folders` of tests, or those in none.
        """
        taken.folders |= folders
        for where, source in taken.distribution.files:
            tests = _TEST_FOLDERS.intersection(PurePosixPath(where).parts[:-1])
            if where in taken.files or not tests <= taken.folders or bool(tests) is not bool(folders):
                continue
            taken.files[where] = source
            module = _module_at(where, source, self._finder)
            if module is None:
                continue
            why = f"imported by {module.name}, part of {taken.distribution.name}"
            if module.form is Form.EXTENSION:
                self._follow_items(module, self._code.named(module, others=False), why, library_only=True)
            elif compiled := self._code.compiled(module):
                self.words.update(compiled.words)
                if not tests:
                    taken.words.update(compiled.words)
                self._follow_items(module, compiled.imports, why, library_only=True)

    def _follow(self, reached: Reached, deep: bool) -> None:  # noqa: FBT001 - a pair in a queue
        module = reached.module
        items = reached.compiled.imports if reached.compiled else ()
        if deep and module.form is Form.EXTENSION:
            items = self._code.named(module, others=module.kind is Kind.APP or self._installed_alone(module))
        if module.kind is Kind.STDLIB and not deep:
            items = tuple(item for item in items if item.at_import)
        self._follow_items(module, items, f"imported by {module.name}", deep=deep and module.kind is not Kind.GUEST)

    def _follow_items(
        self, module: Module, items: tuple[Import, ...], why: str, *, deep: bool = True, library_only: bool = False
    ) -> None:
        importer = Kind.STDLIB if library_only else module.kind
        for item in items:
            base = _absolute(module, item)
            if base is None or (library_only and item.level):
                continue
            if item.by_name:
                if deep:
                    self._by_name(module, item, base, why)
                continue
            if not self.reach(base, importer, why, deep=deep):
                if not library_only:
                    self._missing(module, item, base)
                continue
            for name in item.names:
                if name != "*" and self._finder.find(f"{base}.{name}", importer) is not None:
                    self.reach(f"{base}.{name}", importer, why, deep=deep)

    def _by_name(self, module: Module, item: Import, base: str, why: str) -> None:
        """An import whose name is a string, or ends in one that is computed.

        Of strings in the standard library those count that name its own submodules, as dbm's. Installed packages name what they
        can be used with: of theirs only the standard library's names count, and their own submodules are there anyway.
        """
        own = module.kind is Kind.APP or (module.form is Form.EXTENSION and self._installed_alone(module))
        importer = module.kind if own else Kind.STDLIB
        if item.names != (SUBMODULES,):
            other = module.kind is Kind.STDLIB and module.form is not Form.EXTENSION and _top(base) != _top(module.name)
            if not other:
                self.reach(base, importer, why, deep=True)
        elif (package := self._finder.find(base, importer)) is not None:
            for name in self._finder.submodules(package):
                self.reach(f"{base}.{name}", importer, why, deep=True)

    def _installed_alone(self, module: Module) -> bool:
        """Whether nothing tells what an installed module requires."""
        return module.kind is Kind.INSTALLED and self._installed.owner(module).info is None

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


class _Taken:
    """A distribution that goes in, as far as it has been read.

    `words` are those of its modules outside of its tests, `folders` the names of folders of tests that are in.
    """

    def __init__(self, distribution: Distribution, why: str) -> None:
        self.distribution = distribution
        self.why = why
        self.files: dict[str, Path] = {}
        self.words: set[str] = set()
        self.folders: frozenset[str] = frozenset()


def _module_at(where: str, source: Path, finder: Finder) -> Module | None:
    """The module that a file of a distribution is, whose path below PACKAGES is `where`; None for data."""
    path = PurePosixPath(where)
    name = path.name.partition(".")[0]
    parts = [*path.parts[:-1], *([] if name == "__init__" else [name])]
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    if path.suffix == ".py":
        return Module(".".join(parts), Kind.INSTALLED, Form.SOURCE, source, f"{PACKAGES}/{where}")
    if finder.is_extension(path.name):
        return Module(".".join(parts), Kind.INSTALLED, Form.EXTENSION, source, f"{PACKAGES}/{where}")
    return None


def _by_binary(name: str) -> tuple[str, ...]:
    # sysconfig.get_config_vars imports it; packages call that when they are imported (pydantic).
    return (sysconfig_data(),) if name == "sysconfig" else BY_BINARY.get(name, ())


def _top(name: str) -> str:
    return name.partition(".")[0]


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
