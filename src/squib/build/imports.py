"""The import statements of a module: pure, from its syntax tree.

What stands under `if TYPE_CHECKING` or `if __name__ == "__main__"` never runs in an appliance and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast

__all__ = ["Import", "scan"]

_FORGIVING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import names` with `level` dots, or `import module` (no names).

    `at_import`: it runs when the module is imported, so is in no function. `guarded`: the code around it lives with a failure.
    """

    module: str
    names: tuple[str, ...]
    level: int
    line: int
    at_import: bool
    guarded: bool

    def fields(self) -> tuple[str, tuple[str, ...], int, int, bool, bool]:
        """The value as a tuple, in the order of the constructor."""
        return (self.module, self.names, self.level, self.line, self.at_import, self.guarded)


def scan(tree: ast.AST) -> tuple[Import, ...]:
    """All imports below `tree`, in the order of the text."""
    import ast

    found: list[Import] = []
    # A stack and no recursion: a syntax tree is as deep as its text wants.
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, True, False)]

    def put(nodes: Iterable[ast.AST], *, at_import: bool, guarded: bool) -> None:
        waiting.extend((node, at_import, guarded) for node in reversed(tuple(nodes)))

    while waiting:
        node, at_import, guarded = waiting.pop()
        match node:
            case ast.Import(names=names, lineno=line):
                found.extend(Import(alias.name, (), 0, line, at_import, guarded) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level, lineno=line):
                found.append(Import(module or "", tuple(alias.name for alias in names), level, line, at_import, guarded))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                put(ast.iter_child_nodes(node), at_import=False, guarded=guarded)
            case ast.If(test=test, orelse=orelse) if _never_true(test):
                put(orelse, at_import=at_import, guarded=guarded)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                forgives = guarded or any(_forgives(handler.type) for handler in handlers)
                put((*orelse, *final), at_import=at_import, guarded=guarded)
                # An import in a handler is the second choice: it is only tried where the first failed.
                put((*body, *handlers), at_import=at_import, guarded=forgives)
            case _:
                put(ast.iter_child_nodes(node), at_import=at_import, guarded=guarded)
    return tuple(found)


def _never_true(test: ast.expr) -> bool:
    import ast

    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]):
            return True
    return False


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
