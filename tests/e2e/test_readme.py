"""README's examples do what README says: each `$ ` line of a console block is run, in order, and its output compared.

Numbers may differ, and `…` stands for anything; all else must be the same.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from program import Squib, free_port
from support import PROJECT

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`(?P<name>[\w./]+)`:\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text: str) -> list[tuple[str, str]]:
    """Pairs of a command and the output that is promised."""
    found: list[tuple[str, str]] = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def pattern(promised: str) -> re.Pattern[str]:
    parts = re.split(r"(…|\d+|\s+)", promised.strip())
    return re.compile(
        "".join(
            ".*" if part == "…" else r"\d+" if part.isdigit() else r"\s+" if part.isspace() else re.escape(part)
            for part in parts
        ),
        re.DOTALL,
    )


def test_the_examples_are_found() -> None:
    commands = [command for command, _ in examples((PROJECT / "README.md").read_text())]
    assert len(commands) >= 8
    assert any(command.startswith("squib run") for command in commands)


@pytest.mark.vm
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md", "docs/boot-report.md"])
def test_the_examples_do_what_they_say(document: str, squib: Squib, tmp_path: Path) -> None:
    text = (PROJECT / document).read_text()
    for name, content in _FILE.findall(text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    free = {port: str(free_port()) for port in re.findall(r"\b809[0-9]\b", text)}  # the page's ports may be somebody's here
    for command, promised in examples(text):
        words = [re.sub(r"\b809[0-9]\b", lambda port: free[port[0]], word) for word in shlex.split(command)]
        if words[0] in {"make", "git", "cd"}:
            continue  # `make demo` is `squib demo` after the set-up; both are tested on their own
        argv = [sys.executable, "-m", "squib", *words[1:]] if words[0] == "squib" else words
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            env=squib.env,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        if promised.strip():
            assert pattern(promised).search(done.stdout), f"$ {command}\n{done.stdout}\n--- promised\n{promised}"
