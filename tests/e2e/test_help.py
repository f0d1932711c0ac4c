"""`--help` of every verb, as golden files; and the first thing that anybody types is quick to load."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from program import Squib
from squib.cli.commands import Command, Group
from squib.cli.main import VERBS
from squib.cli.main import squib as program
from support import golden

COMMANDS = [
    (),
    *((verb,) for verb in sorted(VERBS) if verb != "serve"),
    ("deploy", "kubernetes"),
    *(("host", verb) for verb in ("check", "setup", "teardown")),
    ("measure", "memory"),
    *(("kernel", verb) for verb in ("build", "list", "rm", "show")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command) or "squib")
def test_help(command: tuple[str, ...], update_golden: bool) -> None:
    result = CliRunner().invoke(program, [*command, "--help"], prog_name="squib", terminal_width=100)
    assert result.exit_code == 0
    golden(f"help-{'-'.join(command) or 'squib'}.txt", result.output, update=update_golden)


def test_the_first_help_loads_no_verb_and_no_heavy_package() -> None:
    script = (
        "import sys\nfrom squib.cli.main import squib\nsquib.main(['--help'], standalone_mode=False)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in "
        "{'rich', 'msgspec', 'elftools', 'sqlite3', 'lz4', 'zstandard', 'httptools'} or name.startswith('squib.build')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_whoever_closes_the_pipe_has_enough(squib: Squib) -> None:
    """A reader that goes away before anything is written: 128 + SIGPIPE, and not a word."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.Popen(
        [*squib.command, "build", "clock", "--show", "tree", "-q"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        env=squib.env,
        cwd=squib.home,
    )
    os.close(write_end)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("command", ["stop", "rm"])
def test_arguments_that_are_no_text(squib: Squib, command: str) -> None:
    done = squib.run(command, os.fsdecode(b"\xff\xfe"))
    assert done.returncode in {64, 66}
    assert "mistake" not in done.stderr


def test_no_command_at_all_shows_the_help(squib: Squib) -> None:
    done = squib.run()
    assert done.returncode == 64
    assert "Run it:" in done.stderr


def test_every_verb_is_one_of_squibs_commands() -> None:
    context = click.Context(program)
    commands = [program.get_command(context, verb) for verb in VERBS]
    groups = [one for one in commands if isinstance(one, Group)]
    below = [group.get_command(context, name) for group in groups for name in group.list_commands(context)]
    assert all(isinstance(one, Command | Group) for one in (*commands, *below))


def test_no_summary_is_cut_at_80_columns() -> None:
    for words in ((), ("kernel",), ("host",), ("measure",), ("deploy",)):
        result = CliRunner().invoke(program, [*words, "--help"], prog_name="squib", terminal_width=80)
        assert "..." not in result.output.replace("[ARGS]...", "")
        assert all(len(line) <= 80 for line in result.output.splitlines())
    assert max(len(line) for _, line in VERBS.values()) <= 80 - len("  boot-report  ")


def test_no_help_has_formulas() -> None:
    for command in COMMANDS:
        text = CliRunner().invoke(program, [*command, "--help"], prog_name="squib").output
        assert "<=" not in text, command
        assert "x>=" not in text, command


def test_help_and_version_as_words() -> None:
    def told(*words: str) -> str:
        return CliRunner().invoke(program, words, prog_name="squib").output

    assert told("help") == told("--help") == told("-h")
    assert told("help", "stop") == told("stop", "--help")
    assert told("help", "kernel", "build") == told("kernel", "build", "--help")
    assert told("version") == told("-V") == told("--version")
