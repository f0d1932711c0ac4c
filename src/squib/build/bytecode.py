"""A Python source as what goes into the image: byte code without source, and the imports that it makes.

The rule: equal source at an equal place in the image gives equal bytes, whatever this process did before. File names in
tracebacks are those of the image. Nothing is optimised away: assertions hold there as they do on the developer's machine.
"""

from __future__ import annotations

import _imp
import hashlib
import marshal
import sys
import warnings
from dataclasses import dataclass
from types import CodeType

from squib.build.cache import Cache, key
from squib.build.imports import WORDS, Import, scan, words
from squib.formats import code_marshal

__all__ = ["Compiled", "compile_module"]

_UNCHECKED_HASH = (1).to_bytes(4, "little")
"""PEP 552's flags: the file is valid by a hash of its source, which nobody is to check."""

_HEADER_BYTES = 16  # magic, flags, hash of the source
_ONLY_AST = 0x400
"""ast.PyCF_ONLY_AST: where everything is cached, ast is not imported."""

_TOLD_BY_TREE = (b"import", b"coding", *(word.encode() for word in WORDS))
"""Source without one of these has nothing that its syntax tree would tell (`coding`: in UTF-7 they may be written otherwise).
A tree takes a thousand times the memory of its text, which data written as a module is spared."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The whole .pyc file, the imports in the source, and those of imports.WORDS that it uses."""

    pyc: bytes
    imports: tuple[Import, ...]
    words: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the module's top level uses or binds."""
        code: CodeType = marshal.loads(self.pyc[_HEADER_BYTES:])  # noqa: S302 - made by `compile_module`
        return code.co_names


def compile_module(source: bytes, image_path: str, magic: bytes, cache: Cache) -> Compiled:
    """The byte code of `source`, whose place in the image is `image_path` (ending in .py). Raises SyntaxError, ValueError."""
    name = key("bytecode 3", sys.version, magic, image_path, hashlib.sha256(source).digest())
    match cache.get(name):
        case (bytes(pyc), tuple(imports), tuple(used)):
            return Compiled(pyc, tuple(Import(*fields) for fields in imports), used)
    try:
        code, imports, used = _compile(source, image_path)
        marshalled = code_marshal.dumps(code)
    except (RecursionError, MemoryError) as error:  # a MemoryError is how the parser says it (Parser/pegen.h, MAXSTACK)
        raise SyntaxError("too deeply nested for Python's compiler") from error
    check = _imp.source_hash(int.from_bytes(magic, "little"), source)
    compiled = Compiled(magic + _UNCHECKED_HASH + check + marshalled, imports, used)
    cache.put(name, (compiled.pyc, tuple(item.fields() for item in compiled.imports), compiled.words))
    return compiled


def _compile(source: bytes, image_path: str) -> tuple[CodeType, tuple[Import, ...], tuple[str, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other people's code
        if not any(word in source for word in _TOLD_BY_TREE):
            return compile(source, image_path, "exec", dont_inherit=True, optimize=0), (), ()
        tree = compile(source, image_path, "exec", dont_inherit=True, optimize=0, flags=_ONLY_AST)
        return compile(tree, image_path, "exec", dont_inherit=True, optimize=0), scan(tree), words(tree)
