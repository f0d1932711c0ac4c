"""The imports of a module: pure, from its syntax tree.

- What never runs in an appliance is left out: what stands under `if TYPE_CHECKING`, `if __name__ == "__main__"` or a test for
  another operating system, and private functions that only the block under `__main__` calls.
- `__import__("a")` and `import_module("a")` count as statements. Where the last part of the name is computed
  (`"codecs." + name`), every submodule of what stands before it is meant; where all of it is, any string of the module may be
  the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable, Iterator

__all__ = ["SUBMODULES", "WORDS", "Import", "scan", "text_import", "words"]

SUBMODULES = "*"
"""As a name of an import by name: every submodule."""

WORDS = frozenset({"test", "tests", "tzset"})
"""What `words` looks for."""

_FORGIVING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_IMPORTERS = frozenset({"__import__", "import_module"})
_MODULE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import names` with `level` dots, or `import module` (no names).

    `at_import`: it runs when the module is imported, so is in no function. `guarded`: the code around it lives with a failure.
    `by_name`: `module` is a string that may name a module, or (with SUBMODULES) the package whose submodules are meant.
    """

    module: str
    names: tuple[str, ...]
    level: int
    line: int
    at_import: bool
    guarded: bool
    by_name: bool = False

    def fields(self) -> tuple[str, tuple[str, ...], int, int, bool, bool, bool]:
        """The value as a tuple, in the order of the constructor."""
        return (self.module, self.names, self.level, self.line, self.at_import, self.guarded, self.by_name)


def text_import(name: str) -> Import:
    """A text that may be the name of a module."""
    return Import(name, (), level=0, line=0, at_import=False, guarded=True, by_name=True)


def scan(tree: ast.Module) -> tuple[Import, ...]:
    """All imports below `tree`, in the order of the text; then the strings that may be names of modules."""
    scanner = _Scanner(tree)
    scanner.run(tree)
    if scanner.computed:
        named = dict.fromkeys(text for text in _strings(tree) if len(text) <= _MAX_NAME and _MODULE_NAME.match(text))
        scanner.found.extend(text_import(text) for text in named)
    return tuple(scanner.found)


def words(tree: ast.AST) -> tuple[str, ...]:
    """Which of WORDS the code uses: in the name of a module, of a path in a string, or as `time.tzset`. Sorted."""
    import ast

    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="tzset" as name):
                found.add(name)
            case ast.ImportFrom(module=module, names=names):
                found.update((module or "").split("."), *(alias.name.split(".") for alias in names))
            case ast.Import(names=names):
                found.update(*(alias.name.split(".") for alias in names))
    for text in _strings(tree):
        found.update(re.split(r"[./]", text))
    return tuple(sorted(WORDS & found))


def _strings(tree: ast.AST) -> Iterator[str]:
    """All strings but those that are statements: docstrings."""
    import ast

    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


class _Scanner:
    """`computed`: a module is imported whose name is not in the text."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[Import] = []
        self.computed = False
        self._waiting: list[tuple[ast.AST, bool, bool]] = []
        self._idle = _idle_functions(tree)
        self._importers = _IMPORTERS | _renamed(tree)

    def run(self, tree: ast.Module) -> None:
        """Visits every node, in the order of the text; by a list, since a tree is as deep as its text wants."""
        self._put((tree,), at_import=True, guarded=False)
        while self._waiting:
            self._visit(*self._waiting.pop())

    def _put(self, nodes: Iterable[ast.AST], *, at_import: bool, guarded: bool) -> None:
        self._waiting.extend((node, at_import, guarded) for node in reversed(tuple(nodes)))

    def _visit(self, node: ast.AST, at_import: bool, guarded: bool) -> None:  # noqa: FBT001 - from the list
        import ast

        match node:
            case ast.Import(names=names, lineno=line):
                self.found.extend(Import(alias.name, (), 0, line, at_import, guarded) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level, lineno=line):
                self.found.append(Import(module or "", tuple(alias.name for alias in names), level, line, at_import, guarded))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                if id(node) not in self._idle:
                    self._put(ast.iter_child_nodes(node), at_import=False, guarded=guarded)
            case ast.If(test=test, orelse=orelse) if _never_true(test):
                self._put(orelse, at_import=at_import, guarded=guarded)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                forgives = guarded or any(_forgives(handler.type) for handler in handlers)
                self._put((*orelse, *final), at_import=at_import, guarded=guarded)
                # An import in a handler is the second choice: it is only tried where the first failed.
                self._put((*body, *handlers), at_import=at_import, guarded=forgives)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_]) if name in self._importers:
                self._called(first, at_import=at_import, guarded=guarded)
                self._put(ast.iter_child_nodes(node), at_import=at_import, guarded=guarded)
            case _:
                self._put(ast.iter_child_nodes(node), at_import=at_import, guarded=guarded)

    def _called(self, name: ast.expr, *, at_import: bool, guarded: bool) -> None:
        """An import by a call, whose first argument is `name`."""
        import ast

        text, whole = _beginning(name)
        level = len(text) - len(text.lstrip("."))
        text = text[level:]
        if isinstance(name, ast.Constant) and whole and _MODULE_NAME.match(text):
            self.found.append(Import(text, (), level, name.lineno, at_import, guarded))
            return
        package, dot, _ = text.rpartition(".")
        if (dot or level) and (not package or _MODULE_NAME.match(package)):
            self.found.append(Import(package, (SUBMODULES,), level, name.lineno, at_import, guarded=True, by_name=True))
        else:
            self.computed = True


def _beginning(text: ast.expr) -> tuple[str, bool]:
    """What the text of an expression surely begins with, and whether that is all of it."""
    import ast

    whole = True
    while isinstance(text, ast.BinOp) and isinstance(text.op, ast.Add):
        text, whole = text.left, False
    match text:
        case ast.Constant(value=str(value)):
            return value, whole
        case ast.JoinedStr(values=[ast.Constant(value=str(value)), *rest]):
            return value, whole and not rest
        case ast.BinOp(left=ast.Constant(value=str(value)), op=ast.Mod()):
            return value.partition("%")[0], False
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(value)), attr="format")):
            return value.partition("{")[0], False
    return "", False


def _renamed(tree: ast.Module) -> frozenset[str]:
    """The names under which the module imports `import_module`."""
    import ast

    return frozenset(
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "importlib"
        for alias in node.names
        if alias.name in _IMPORTERS and alias.asname
    )


def _idle_functions(tree: ast.Module) -> frozenset[int]:
    """The ids of private functions that the block under `__main__` names, and nothing else: a module's test of itself."""
    import ast

    private = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("_")
    }
    program = [node for node in tree.body if isinstance(node, ast.If) and _is_program(node.test)]
    if not private or not program:
        return frozenset()
    started = {name for node in program for name in _names(node)}
    of_program = {id(node) for node in program}
    others = [node for node in tree.body if id(node) not in of_program]
    used: dict[str, int] = {}
    for node in others:
        for name in _names(node):
            used[name] = used.get(name, 0) + 1
    inside = {name: sum(each == name for each in _names(node)) for name, node in private.items()}
    return frozenset(id(node) for name, node in private.items() if name in started and used.get(name, 0) == inside[name])


def _names(tree: ast.AST) -> Iterator[str]:
    import ast

    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                yield name


def _is_program(test: ast.expr) -> bool:
    import ast

    match test:
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]):
            return True
    return False


def _never_true(test: ast.expr) -> bool:
    import ast

    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case ast.Compare(
            left=ast.Attribute(value=ast.Name(id="sys"), attr="platform"),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=str(name))],
        ):
            return name != "linux"
        case ast.Compare(
            left=ast.Attribute(value=ast.Name(id="os"), attr="name"),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=str(name))],
        ):
            return name != "posix"
    return _is_program(test)


def _forgives(caught: ast.expr | None) -> bool:
    import ast

    match caught:
        case None:
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _FORGIVING
        case ast.Tuple(elts=several):
            return any(_forgives(one) for one in several)
    return False
