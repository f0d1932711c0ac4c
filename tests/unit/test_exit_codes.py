"""Exit codes: unique, and the documented ones."""

from __future__ import annotations

import re

from squib import errors
from support import PROJECT


def test_the_table_says_what_the_errors_do() -> None:
    kinds = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.SquibError) and kind is not errors.SquibError
    }
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (PROJECT / "docs/exit-codes.md").read_text(), re.MULTILINE)
    table = {name: int(code) for code, name in rows}
    assert table == kinds
    assert len(set(kinds.values())) == len(kinds)
