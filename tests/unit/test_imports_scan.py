"""Which import statements are seen, and what is known of each."""

from __future__ import annotations

import ast

import pytest

from squib.build.imports import Import, scan


def only(source: str) -> Import:
    (item,) = scan(ast.parse(source))
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
    ],
)
def test_each_kind(source: str, expected: Import) -> None:
    assert only(source) == expected
    assert Import(*expected.fields()) == expected
