"""Statements: each is TOML by itself, they are all of the text, and the pass over it is one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from squib.errors import ApplianceError
from squib.wire.toml_source import MAX_KEY_PARTS, TomlSource
from squib.wire.toml_statements import statements

PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "1",
            "-",
            "_",
            ".",
            "=",
            ",",
            "[",
            "]",
            "{",
            "}",
            "[[",
            "]]",
            " ",
            "\t",
            "\n",
            "\n\n",
            "\r\n",
            "#",
            "# x\n",
        ),
        *(
            "'",
            '"',
            "'''",
            '"""',
            "\\",
            '\\"',
            "\\n",
            "é",
            "true",
            "1.5",
            "a = 1\n",
            "[t]\n",
            "[[u]]\n",
            '""""',
            "''''",
            '"""""',
        ),
        *('s = """\n', "m = '''\n", "v = [\n", "]\n", '"""\n', "'''\n", "k.l = 'x'\n", 'q."r.s".t = 2\n'),
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
@example('a = """x""""\nb = 1\n')
@example("a = '''x'''''\n[t]\nb = [ # ]\n 'a', \"]\" ]\nc.d = 1\n")
def test_every_statement_of_what_is_toml_is_toml(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        list(statements(text))  # takes any text
        return
    found = list(statements(text))
    for statement in found:
        assert tomllib.loads(statement.text)
        line = text.split("\n")[statement.line - 1]
        assert line.strip(" \t\r").startswith(statement.text.split("\n")[0].rstrip("\r"))
    assert bool(document) == bool(found)
    assert tomllib.loads("\n".join(statement.text for statement in found)) == document


KEY = st.text("ab-_", min_size=1, max_size=3) | st.text("a.='\"\\ é\n", max_size=4).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
)


@given(
    parts=st.lists(KEY, min_size=1, max_size=40),
    form=st.sampled_from(["{} = 1.5", "[{}]", "[[{}]]", "a = [{{ {} = '.' }}, 1.5]"]),
)
def test_the_parts_of_keys_are_counted(parts: list[str], form: str) -> None:
    text = form.format(" . ".join(parts))
    (statement,) = statements(text)
    assert statement.key_parts == max(len(parts), 1 if form.startswith("[") else 2)
    source = TomlSource(Path("appliance.toml"), text, ())
    if len(parts) > MAX_KEY_PARTS:
        with pytest.raises(ApplianceError, match=f"a key of more than {MAX_KEY_PARTS} parts"):
            source.parse()


@given(
    before=st.lists(
        st.sampled_from(["# a", "", "x = 1", 'y = """\n\n"""', "z = [\n1,\n]", "[other]\nx = 1", "[[more]]\n"]), unique=True
    )
)
def test_the_line_of_a_key(before: list[str]) -> None:
    text = "\n".join(
        [*before, "[tool.squib]", "name = 'a'", "", "keys . 'port' = { a = [1,", " 2] }", "[tool.squib.deep.er]", "w = 1"]
    )
    source = TomlSource(Path("pyproject.toml"), text, ("tool", "squib"))
    lines = text.split("\n")
    for key, line in {
        ("name",): "name = 'a'",
        ("keys", "port", "a"): "keys . 'port' = { a = [1,",
        ("deep", "er", "w"): "w = 1",
        ("deep", "er", "none"): "[tool.squib.deep.er]",
        ("none",): "[tool.squib]",
    }.items():
        assert lines[source.line_of(key) - 1] == line
