"""The Python code of a tree: modules as byte code, installed distributions whole, and what of both is in C.

The rule: of the standard library, squib and the appliance there is byte code alone, beside no source. Of an installed
distribution there is what was installed, sources too, as code may read them (inspect, importlib.resources), with byte code
where the import system looks for it beside sources (PEP 3147).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from squib import __version__
from squib.build.appliance_files import AppFolder, read
from squib.build.bytecode import Compiled, compile_module
from squib.build.cache import Cache, key
from squib.build.compiled_imports import named_modules
from squib.build.distributions import Distribution, Distributions, metadata_files
from squib.build.imports import Import
from squib.build.inputs import Inputs, Part
from squib.build.interpreter import Interpreter
from squib.build.module_finder import PACKAGES, Finder, Form, Kind, Module
from squib.build.python_modules import Reach, Reached, Whole, reachable
from squib.build.shared_libraries import Native
from squib.errors import ApplianceError, HostError
from squib.formats import elf
from squib.model.appliance import Appliance
from squib.model.image import InputKind, Target
from squib.model.tree import Entry, File

__all__ = ["PythonCode", "cut"]

_ELF_HEAD = 20
_APPLIANCE = Part("appliance", "", InputKind.APPLIANCE)


class PythonCode:
    """Reads modules, and collects what goes in: call `plan`, then take `entries` and `native`."""

    def __init__(self, appliance: Appliance, app: AppFolder, interpreter: Interpreter, cache: Cache, inputs: Inputs) -> None:
        self.entries: dict[str, Entry] = {}
        self.native: list[Native] = []
        self._appliance = appliance
        self._app = app
        self._interpreter = interpreter
        self._cache = cache
        self._inputs = inputs
        self._finder = Finder(interpreter, Path(__file__).parent.parent, app)
        self._installed = Distributions(interpreter.search_path, read)
        self._machine = read(interpreter.binary)[:_ELF_HEAD]
        self._compiled: dict[str, Compiled | None] = {}

    def plan(self, target: Target) -> Reach:
        """Reads all that is reached. Raises SquibError."""
        reach = reachable(self._appliance, self._finder, self._installed, self, target)
        loaded = {each.module.source for each in reach.modules if each.module.form is Form.EXTENSION}
        for whole in reach.distributions:
            self._distribution(whole, loaded)
        for reached in reach.modules:
            self._module(reached)
        return reach

    # how modules are read

    def compiled(self, module: Module) -> Compiled | None:
        """The byte code of a module that has source; None where it is no Python that this interpreter knows."""
        if module.source is None:
            return None
        if module.image_path not in self._compiled:
            self._compiled[module.image_path] = self._compile(module, module.source)
        return self._compiled[module.image_path]

    def named(self, module: Module, *, others: bool) -> tuple[Import, ...]:
        """What the extension `module` names: modules of the standard library, and `others` that are importable here."""
        if module.source is None:
            return ()
        data = self._app.content(module.source)
        library = sorted(self._finder.library())
        tops = sorted(self._finder.installed_tops()) if others else []
        if module.kind is Kind.STDLIB:  # all in C, so texts are enclosed; what is in C as well it calls without an import
            library, tops = [], [name for name in library if "." not in name and not self._is_extension(name)]
        name = key("extension 1", hashlib.sha256(data).digest(), "\n".join(library), "\n".join(tops))
        match self._cache.get(name):
            case (tuple(found),):
                return tuple(Import(*fields) for fields in found)
        imports = named_modules(data, library, tops)
        self._cache.put(name, (tuple(item.fields() for item in imports),))
        return imports

    def _is_extension(self, name: str) -> bool:
        found = self._finder.find(name, Kind.STDLIB)
        return found is None or found.form is Form.EXTENSION

    def _compile(self, module: Module, path: Path) -> Compiled | None:
        source = self._app.content(path)
        self._inputs.note(self._part(module), module.image_path, source, path)
        try:
            return compile_module(source, module.image_path, self._interpreter.magic, self._cache)
        except (SyntaxError, ValueError) as error:
            if module.kind is not Kind.APP:
                return None  # it would fail to import on the building machine as well
            line = getattr(error, "lineno", None) or 1
            raise ApplianceError(
                f"{path}:{line}: {getattr(error, 'msg', error)}",
                hint=f"the image's Python is {self._interpreter.version}: python3 -m py_compile {path.name}",
            ) from error

    def _part(self, module: Module) -> Part:
        match module.kind:
            case Kind.STDLIB:
                return Part("python-library", self._interpreter.version, InputKind.PYTHON)
            case Kind.GUEST:
                return Part("squib", __version__, InputKind.SQUIB)
            case Kind.APP:
                return _APPLIANCE
            case Kind.INSTALLED:
                return _part(self._installed.owner(module))

    # what goes in

    def _add(self, entry: Entry) -> None:
        self.entries.setdefault(entry.path, entry)

    def _module(self, reached: Reached) -> None:
        module = reached.module
        if module.image_path in self.entries:
            return  # of a distribution that is in
        if module.form is Form.EXTENSION and module.source is not None:
            data = self._app.content(module.source)
            self._inputs.note(self._part(module), module.image_path, data, module.source)
            self.native.append(Native(module.source, module.image_path, data, loaded=True))
            self._add(File(module.image_path, cut(module.source, data), 0o755, reached.why))
        # Frozen modules come out of the binary; os.pyc is what marks the library's folder (Modules/getpath.py).
        elif reached.compiled is not None and (module.form is Form.SOURCE or module.name == "os"):
            why = "marks the library's folder" if module.form is Form.FROZEN else reached.why
            self._add(File(module.image_path + "c", reached.compiled.pyc, why=why))

    def _distribution(self, whole: Whole, loaded: set[Path | None]) -> None:
        part = _part(whole.distribution)
        why = f"part of {whole.distribution.name}, {whole.why}"
        for where, source in whole.files:
            path, data = f"{PACKAGES}/{where}", self._app.content(source)
            self._inputs.note(part, path, data, source)
            if elf.is_same_machine(data[:_ELF_HEAD], self._machine) and elf.is_loadable(data):
                self.native.append(Native(source, path, data, loaded=source in loaded))
                self._add(File(path, cut(source, data), 0o755, why))
            else:
                self._add(File(path, data, 0o755 if source.stat().st_mode & 0o100 else 0o644, why))
                if (compiled := self._compiled.get(path)) is not None:
                    self._add(File(_beside(path, self._interpreter.cache_tag), compiled.pyc, why=why))
        for path, data in self._metadata(whole):
            self._inputs.note(part, path, data)
            self._add(File(path, data, why=f"importlib.metadata reads it of {whole.distribution.name}"))

    def _metadata(self, whole: Whole) -> Iterator[tuple[str, bytes]]:
        info = whole.distribution.info
        if info is None:
            return
        files = [(where, read(source)) for where, source in metadata_files(whole.distribution)]
        yield from ((f"{PACKAGES}/{where}", data) for where, data in files)
        if info.is_dir():
            # What is there, as importlib.metadata's `files` wants it: digests and sizes may be left out (PEP 376).
            names = sorted({*(where for where, _ in (*whole.files, *files)), f"{info.name}/RECORD"})
            yield f"{PACKAGES}/{info.name}/RECORD", "".join(f"{_quoted(name)},,\n" for name in names).encode()


def _part(distribution: Distribution) -> Part:
    return Part(distribution.name, distribution.version, InputKind.DISTRIBUTION)


def _beside(path: str, tag: str) -> str:
    source = PurePosixPath(path)
    return f"{source.parent}/__pycache__/{source.stem}.{tag}.pyc"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""')) if set(name) & set(',"\r\n') else name


def cut(source: Path, data: bytes) -> bytes:
    """An ELF file without what is not loaded. Raises HostError where it is none for a 64-bit machine."""
    try:
        return elf.cut_symbols(data)
    except ValueError as error:
        raise HostError(
            f"{source}: {error}", hint="squib makes images for 64-bit x86 and ARM; install that package again if this is one"
        ) from error
