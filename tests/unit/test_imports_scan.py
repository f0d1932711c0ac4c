"""Which import statements are seen, and what is known of each."""

from __future__ import annotations

import ast

import pytest

from squib.build.compiled_imports import named_modules
from squib.build.imports import SUBMODULES, Import, scan, text_import, words


def only(source: str) -> Import:
    (item,) = (item for item in scan(ast.parse(source)) if item.module != "importlib")
    return item


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b", Import("a.b", (), 0, 1, True, False)),
        ("from .. import x, y", Import("", ("x", "y"), 2, 1, True, False)),
        ("def f():\n    from a import b", Import("a", ("b",), 0, 2, False, False)),
        ("class C:\n    import a", Import("a", (), 0, 2, True, False)),
        ("try:\n    import a\nexcept ImportError:\n    pass", Import("a", (), 0, 2, True, True)),
        ("try:\n    pass\nexcept (OSError, ModuleNotFoundError):\n    import a", Import("a", (), 0, 4, True, True)),
        ("try:\n    import a\nexcept OSError:\n    pass", Import("a", (), 0, 2, True, False)),
        ("try:\n    pass\nexcept ImportError:\n    pass\nelse:\n    import a", Import("a", (), 0, 6, True, False)),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", Import("b", (), 0, 4, True, False)),
        ("if __name__ == '__main__':\n    import a\nimport b", Import("b", (), 0, 3, True, False)),
        ("if sys.platform == 'win32':\n    import a\nelse:\n    import b", Import("b", (), 0, 4, True, False)),
        ("if os.name == 'nt':\n    import a\nelif os.name == 'posix':\n    import b", Import("b", (), 0, 4, True, False)),
        ("__import__('a.b')", Import("a.b", (), 0, 1, True, False)),
        ("def f():\n    importlib.import_module('a')", Import("a", (), 0, 2, False, False)),
        ("try:\n    import_module('..a', __package__)\nexcept ImportError:\n    pass", Import("a", (), 2, 2, True, True)),
        ("__import__('a.' + name)", Import("a", (SUBMODULES,), 0, 1, True, True, by_name=True)),
        ("import_module(f'a.b.{name}')", Import("a.b", (SUBMODULES,), 0, 1, True, True, by_name=True)),
        ("import_module('a.x_%s' % name)", Import("a", (SUBMODULES,), 0, 1, True, True, by_name=True)),
        ("import_module('a.{}'.format(name))", Import("a", (SUBMODULES,), 0, 1, True, True, by_name=True)),
        ("import_module(f'.{name}', __package__)", Import("", (SUBMODULES,), 1, 1, True, True, by_name=True)),
        ("from importlib import import_module as load\nload('a')", Import("a", (), 0, 2, True, False)),
    ],
)
def test_each_kind(source: str, expected: Import) -> None:
    assert only(source) == expected
    assert Import(*expected.fields()) == expected


def test_where_the_whole_name_is_computed_every_string_may_be_it() -> None:
    source = '"""A docstring: json"""\nNAMES = ["json", "dbm.gnu", "no name", "9"]\ndef f():\n    return __import__(name)\n'
    assert scan(ast.parse(source)) == (text_import("json"), text_import("dbm.gnu"))
    assert scan(ast.parse(source.replace("__import__", "print"))) == ()


@pytest.mark.parametrize(
    ("rest", "idle"),
    [
        ("if __name__ == '__main__':\n    _test()\n", True),
        ("if __name__ == '__main__':\n    _test()\ndef f():\n    _test()\n", False),
        ("if __name__ == '__main__':\n    _test()\n__all__ = ['_test']\n", False),
        ("", False),  # others may call it
    ],
)
def test_a_module_s_test_of_itself_is_no_use_of_it(rest: str, idle: bool) -> None:
    assert (scan(ast.parse(f"def _test():\n    import doctest\n{rest}")) == ()) is idle
    assert scan(ast.parse(f"def main():\n    import doctest\n{rest}")) != ()  # public: another module may call it


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("time.tzset()", ("tzset",)),
        ("open(path / 'tests' / 'x')", ("tests",)),
        ("files('a.tests')", ("tests",)),
        ("f'{here}/test/{name}'", ("test",)),
        ("from a.test import b", ("test",)),
        ("from a import tests", ("tests",)),
        ("tests = 1; tzset = 2; print('latest', 'protests')", ()),
        ("def f():\n    'tests'\n", ()),
    ],
)
def test_words_that_decide_what_goes_in(source: str, found: tuple[str, ...]) -> None:
    assert words(ast.parse(source)) == found


def test_names_of_modules_in_compiled_code() -> None:
    # As C has texts, as Rust and Cython have them, and a word that is only in another.
    data = b"\x7fELF\0csv\0my_tea.cup\0(\x02errordatetimedecimal.x\0my_csv_reader\0my_pot.\0"
    found = named_modules(data, ["csv", "datetime", "decimal", "json", "xml"], ["my_tea", "my_pot"])
    assert [item.module for item in found] == ["csv", "datetime", "decimal", "my_tea.cup"]
    assert all(item.by_name for item in found)
