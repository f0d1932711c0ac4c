"""Whatever text is printed, by whatever way, a terminal gets nothing that commands it but squib's own style."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import click
from hypothesis import given
from hypothesis import strategies as st

from squib.cli import inspect, probe, show_tree
from squib.cli.escaping import escaped, json_text, one_line, visible
from squib.cli.json_output import print_json
from squib.cli.narrator import say
from squib.cli.progress import progress
from squib.cli.report import show_error
from squib.cli.table import print_table
from squib.cli.terminal import VisibleLines, escaping
from squib.errors import SquibError
from squib.model.tree import File, RootfsTree, Symlink
from squib.probe.http import Answer

BAD = [
    chr(code)
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200F, 0xDCFF, 0xD800)
]
TEXTS = st.lists(
    st.one_of(st.sampled_from([*BAD, "\x1b]0;x\x07", "\x1b[2J", "[bold]", "[/]", "é", "漢"]), st.text(max_size=3)), max_size=12
).map("".join)
COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
STYLE = re.compile("\x1b\\[[0-9;]*m")


class Terminal(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def printed(action: Callable[[], object], term: str) -> str:
    """What a terminal got on both streams, without squib's style."""
    out, err = Terminal(), Terminal()
    with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err), mock.patch.dict("os.environ", TERM=term):
        with escaping():
            action()
        assert (sys.stdout, sys.stderr) == (out, err)
    assert not out.closed
    shown = out.shown + err.shown
    return shown if term == "dumb" else STYLE.sub("", shown)


def ways(text: str) -> dict[str, Callable[[], object]]:
    file = File("usr/" + text, b"", 0o644, why=text)
    tree = RootfsTree((file, Symlink("usr/a" + text, text, why="why")))
    answer = Answer(200, text.encode("utf-8", "surrogatepass"), 5, 0.0)
    return {
        "print": lambda: (sys.stderr.write(text), sys.stdout.write(text)),
        "click": lambda: click.echo(text),
        "error": lambda: show_error(SquibError(text, hint=text, detail=text)),
        "say": lambda: say(text),
        "table": lambda: print_table(("NAME", "STATE", "URL"), [(text, text, text), ("a", "running", text * 40)]),
        "json": lambda: print_json({text: text}),
        "tree": lambda: show_tree.show_tree(tree, None),
        "probe": lambda: probe.show_answer(answer),
        "inspect": lambda: sys.stdout.write("\n".join(inspect._row("folder", one_line(text)))),
        "console": lambda: sys.stdout.write(VisibleLines().feed(text.encode("utf-8", "surrogatepass") + b"\n").decode()),
    }


@given(TEXTS, st.sampled_from(["dumb", "xterm"]))
def test_no_way_out_lets_a_command_through(text: str, term: str) -> None:
    for name, way in ways(text).items():
        shown = printed(way, term)
        assert not COMMANDS.search(
            shown.replace("\t", "") if name in {"print", "click", "say", "error", "console"} else shown
        ), name


@given(TEXTS)
def test_a_message_is_one_line(text: str) -> None:
    """So no text in it can pass for another message of squib's."""
    shown = printed(lambda: show_error(SquibError(text, hint=text)), "dumb")
    assert shown.count("\n") == 1 + bool(text)


@given(TEXTS)
def test_progress(text: str) -> None:
    def steps() -> None:
        with progress() as report:
            report(text, None)
            report(text, 0.5)

    shown = printed(steps, "xterm")
    # rich moves the cursor, and nothing else
    assert not COMMANDS.search(re.sub("\x1b\\[[0-9;?]*[A-Za-z]|\r", "", shown))


@given(st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)))
def test_json_says_the_same(value: object) -> None:
    text = json_text(value)
    assert json.loads(text) == json.loads(json.dumps(value))
    assert not COMMANDS.search(text)
    text.encode()


@given(st.text())
def test_what_can_be_seen_stays(text: str) -> None:
    printable = "".join(one for one in text if one.isprintable())
    assert escaped(printable) == one_line(printable) == visible(printable.encode()) == printable


@given(st.binary())
def test_bytes(raw: bytes) -> None:
    shown = visible(raw)
    assert not COMMANDS.search(shown.replace("\t", ""))
    assert shown.count("\n") == raw.count(b"\n")


PAST = {
    "Console(": {"terminal.py"},
    ".buffer": {"terminal.py"},
    "__stdout__": set(),
    "__stderr__": set(),
    "os.write(": {"serve.py"},
    "secho(": set(),
    "ensure_ascii": {"escaping.py"},
}


def test_no_module_goes_past_it() -> None:
    folder = Path(show_tree.__file__).parent
    found = {word: {path.name for path in folder.rglob("*.py") if word in path.read_text(encoding="utf-8")} for word in PAST}
    assert found == PAST
