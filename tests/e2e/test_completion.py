"""Shell completion, in real shells: the scripts of `squib completion` are loaded, and Tab is pressed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import click
import pytest

from program import Squib
from squib.app.starter import write_starter
from squib.cli.main import VERBS
from squib.cli.main import squib as cli
from squib.cli.shells import rejoined
from squib.model.machine import Accel
from squib.model.run import Publish
from squib.store import Reservation, Store
from support import tool

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def alone(tmp_path: Path) -> Squib:
    """Squib on the PATH, in a home with two machines, one of which has ended, and an appliance in the folder `shop`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "squib").write_text(f'#!/bin/sh\nexec {sys.executable} -m squib "$@"\n')
    (folder / "squib").chmod(0o755)
    squib = Squib(
        (str(folder / "squib"),), tmp_path, extra={"PATH": f"{folder}:{os.environ['PATH']}", "LANG": "C.UTF-8", "TERM": "dumb"}
    )
    write_starter(tmp_path / "shop", "shop")
    with Store(tmp_path / "state/squib") as store:
        store.reserve(_reservation("orchard"))
        store.exited(store.reserve(_reservation("ended")).id, 0, "stopped")
    return squib


def _reservation(name: str) -> Reservation:
    return Reservation(
        name=name, base_name=name, publish=(Publish(ip_address("127.0.0.1"), 0, 80),), vmm="qemu", accel=Accel.TCG,
        image_digest="0" * 64, mem_size_mib=128, vcpu_count=1,
    )  # fmt: skip


def asked(squib: Squib, words: Sequence[str], **extra: str) -> list[str]:
    """What squib offers for the last of `words`, as the shells' scripts ask it: TYPE,VALUE a line."""
    env = (
        squib.env
        | {"_SQUIB_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        | extra
    )
    done = subprocess.run(squib.command, capture_output=True, text=True, timeout=30, env=env, cwd=squib.home, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def values(squib: Squib, *words: str) -> list[str]:
    return [line.removeprefix("plain,") for line in asked(squib, ("squib", *words)) if line.startswith("plain,")]


def test_verbs_and_options(alone: Squib) -> None:
    assert values(alone, "") == list(VERBS)
    assert values(alone, "comp") == ["completion"]
    assert values(alone, "--v") == ["--version"]
    assert "--timeout" in values(alone, "stop", "--")
    assert values(alone, "run", "--accel", "") == ["auto", "kvm", "tcg"]
    assert values(alone, "completion", "f") == ["fish"]


def test_machines(alone: Squib) -> None:
    for verb in ("inspect", "logs", "restart", "rm"):
        assert values(alone, verb, "") == ["orchard", "ended"]
    for verb in ("stop", "wait"):
        assert values(alone, verb, "") == ["orchard"]
    assert values(alone, "rm", "ended", "") == ["orchard"]
    assert values(alone, "rm", "e") == ["ended"]


def test_kernels(alone: Squib) -> None:
    folder = alone.home / "cache/squib/kernels"
    folder.mkdir(parents=True)
    for name in ("tuned-1", "tuned-2", "package"):
        (folder / f"{name}.json").touch()
    assert values(alone, "kernel", "") == ["build", "list", "rm", "show"]
    assert values(alone, "kernel", "show", "") == ["tuned-1", "tuned-2"]
    assert values(alone, "kernel", "rm", "tuned-1", "") == ["tuned-2"]
    assert asked(alone, ("squib", "run", "--kernel", "t")) == ["file,t", "plain,tuned"]
    assert values(alone, "measure", "") == ["memory"]
    assert "--port" in values(alone, "measure", "memory", "clock", "--")


def test_every_verb_that_takes_a_machine_completes_its_name(alone: Squib) -> None:
    context = click.Context(cli)
    commands = {verb: cli.get_command(context, verb) for verb in VERBS}
    taking = [
        verb
        for verb, command in commands.items()
        if command and any("NAME" in (p.metavar or "") for p in command.params if isinstance(p, click.Argument))
    ]
    assert len(taking) >= 6
    for verb in taking:
        assert "orchard" in values(alone, verb, ""), verb


def test_appliances_their_keys_and_paths(alone: Squib) -> None:
    assert asked(alone, ("squib", "run", "")) == ["file,", "plain,clock"]
    assert asked(alone, ("squib", "run", "sh")) == ["file,sh"]
    assert asked(alone, ("squib", "build", "-o", "")) == ["file,"]
    assert asked(alone, ("squib", "init", "")) == ["dir,"]
    assert asked(alone, ("squib", "vm", "--root-drive", "r")) == ["file,r"]
    assert values(alone, "run", "shop", "--gr") == ["--greeting"]
    assert values(alone, "run", "--gr") == []  # without an appliance it is the clock
    assert {"--publish", "--port", "--logs"} <= set(values(alone, "run", "clock", "--"))
    assert {"--greeting", "--port", "--ips", "--socket", "--help"} <= set(values(alone, "serve", "shop", "--"))
    assert values(alone, "run", "shop", "") == []  # one appliance at a time
    assert values(alone, "run", "--greeting", "") == []  # a value is due


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense", "x"),
        ("run", "--nonsense", "="),
        ("run", "nowhere", "--"),
        ("stop", "'"),
        ("stop", '"a'),
        ("run", "\\"),
        ("rm", "--", ""),
    ],
)
def test_nonsense_is_met_with_silence(alone: Squib, words: tuple[str, ...]) -> None:
    asked(alone, ("squib", *words))


@pytest.mark.parametrize("words", [("stop", ""), ("run", ""), ("run", "--"), ("",), ("inspect", "")])
def test_silence_where_nothing_can_be_read(alone: Squib, words: tuple[str, ...]) -> None:
    (alone.home / "state/squib/state.db").write_bytes(b"no database at all, but long enough to be read as one" * 20)
    (alone.home / "appliance.toml").write_text("name = 1\n")
    (alone.home / "shop/appliance.toml").write_text("?")
    asked(alone, ("squib", *words))
    asked(alone, ("squib", *words), HOME="", XDG_STATE_HOME="")


@pytest.mark.parametrize(("word", "number"), [("squib ", "x"), ("squib ", ""), ("", "-1"), ("squib", "99")])
def test_a_script_that_asks_wrongly_gets_silence(alone: Squib, word: str, number: str) -> None:
    asked(alone, (word,), COMP_CWORD=number)
    asked(alone, (word,), _SQUIB_COMPLETE="tcsh_complete")
    asked(alone, (word,), _SQUIB_COMPLETE="")


def test_completion_writes_nothing(tmp_path: Path) -> None:
    squib = Squib((sys.executable, "-m", "squib"), tmp_path / "home")
    squib.home.mkdir()
    for words in (("stop", ""), ("run", ""), ("run", "--")):
        asked(squib, ("squib", *words))
    assert list(squib.home.iterdir()) == []


def test_no_verb_is_loaded_for_the_list_of_verbs() -> None:
    script = (
        "import os, sys\nos.environ.update(_SQUIB_COMPLETE='bash_complete', COMP_WORDS='squib ', COMP_CWORD='1')\n"
        "from squib.cli.main import cli\n"
        "try:\n    cli([])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'rich', 'msgspec', 'sqlite3'}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "plain,build" in done.stdout


@pytest.mark.parametrize("verb", ["stop", "run", "inspect", "build"])
def test_no_heavy_package_is_loaded_for_names(verb: str, alone: Squib) -> None:
    script = (
        "import sys\nfrom squib.cli.main import cli\ntry:\n    cli([])\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'rich', 'elftools', 'zstandard', 'lz4'}])"
    )
    env = alone.env | {"_SQUIB_COMPLETE": "bash_complete", "COMP_WORDS": f"squib {verb} ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True, env=env, cwd=alone.home
    )
    assert done.stdout.splitlines()[-1] == "[]"


def offered_in_bash(squib: Squib, line: str) -> list[str]:
    script = (
        'eval "$(squib completion bash)"\ncompopt() { :; }\n'
        f"COMP_WORDS=({line.replace('|', chr(34) * 2).replace('=', ' = ')}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_squib_completion squib; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _lines([tool("bash"), "--norc", "--noprofile", "-c", script], squib)


def offered_in_zsh(squib: Squib, line: str) -> list[str]:
    script = (
        "compdef() { [[ $2 == squib ]] || exit 9 }\n_path_files() { : }\ncompset() { : }\n"
        '_describe() { print -l -- "${(@)${(@P)3}%%:*}" }\ncompadd() { print -l -- "${(@P)5}" }\n'
        'eval "$(squib completion zsh)"\n'
        f"words=({line.replace('|', chr(34) * 2)}); CURRENT=$#words\n_squib_completion"
    )
    return _lines([tool("zsh"), "-f", "-c", script], squib)


def offered_in_fish(squib: Squib, line: str) -> list[str]:
    script = f"squib completion fish | source; complete -C '{line.removesuffix('|')}'"
    return [one.partition("\t")[0] for one in _lines([tool("fish"), "--no-config", "-c", script], squib)]


def _lines(argv: Sequence[str], squib: Squib) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=squib.env, cwd=squib.home, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


OFFERED = {"bash": offered_in_bash, "zsh": offered_in_zsh, "fish": offered_in_fish}


@pytest.mark.tool
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("squib comp", {"completion"}),
        ("squib stop |", {"orchard"}),
        ("squib rm |", {"orchard", "ended"}),
        ("squib stop --js", {"--json"}),
        ("squib run clo", {"clock"}),
        ("squib serve shop --gr", {"--greeting"}),
        ("squib run --accel |", {"auto", "kvm", "tcg"}),
        ("squib run --accel=k", {"--accel=kvm"}),
        ("squib run clock --vmm=", {"--vmm=auto", "--vmm=qemu", "--vmm=firecracker"}),
        ("squib image --compress=gz", {"--compress=gzip"}),
    ],
)  # fmt: skip
def test_the_script_in_its_shell(shell: str, line: str, expected: set[str], alone: Squib) -> None:
    offered = set(OFFERED[shell](alone, line))
    # bash puts the value alone in the place of what stands behind the =.
    assert offered == ({one.rpartition("=")[2] for one in expected} if shell == "bash" else expected)


@pytest.mark.tool
def test_fish_completes_paths(alone: Squib) -> None:
    assert "shop/" in offered_in_fish(alone, "squib run sh")
    assert "--kernel=shop/" in offered_in_fish(alone, "squib run --kernel=sh")


def test_bash_without_the_equals_sign_among_its_word_breaks(alone: Squib) -> None:
    """Then the whole word is what bash puts in."""
    assert values(alone, "run", "--vmm=q") == ["--vmm=qemu"]
    assert values(alone, "run", "--vmm", "=", "q") == ["qemu"]
    assert values(alone, "run", "--vmm", "=") == ["auto", "qemu", "firecracker"]
    assert "--json" in values(alone, "run", "--vmm", "=", "qemu", "--js")


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ([], []),
        (["run", "--vmm", "=", "q"], ["run", "--vmm=q"]),
        (["run", "--vmm", "="], ["run", "--vmm="]),
        (["--a", "=", "b", "--c", "=", "d", "e"], ["--a=b", "--c=d", "e"]),
        (["a", "=", "b"], ["a", "=", "b"]),
        (["--a=b", "=", "c"], ["--a=b", "=", "c"]),
        (["=", "="], ["=", "="]),
    ],
)
def test_words_that_bash_broke(words: list[str], joined: list[str]) -> None:
    assert rejoined(words) == joined


INTERACTIVE = {
    "bash": (("--norc", "--noprofile", "-i"), 'PS1="ready"">"; eval "$(squib completion bash)"'),
    "zsh": (("-f", "-i"), 'autoload -Uz compinit; compinit -D -u; eval "$(squib completion zsh)"; PS1="ready"">"'),
}


@pytest.mark.tool
@pytest.mark.parametrize("shell", INTERACTIVE)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("sche", "schema"),
        ("stop orc", "stop orchard"),
        ("init sho", "init shop/"),
        ("run ./sho", "run ./shop/"),
        ("run --vmm=q", "run --vmm=qemu"),
        ("run clock --accel=t", "run clock --accel=tcg"),
        ("build --kernel=sho", "build --kernel=shop/"),
    ],
)
def test_tab_on_a_terminal(shell: str, typed: str, expected: str, alone: Squib) -> None:
    options, setup = INTERACTIVE[shell]
    ours, theirs = pty.openpty()
    # setsid makes it the controlling terminal; pty.fork() would fork this process, threads and all.
    argv = [tool("setsid"), "--ctty", tool(shell), *options]
    child = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=alone.home, env=alone.env)
    os.close(theirs)
    try:
        os.write(ours, f"{setup}\n".encode())
        await_text(ours, "ready>")
        os.write(ours, f"squib {typed}\t".encode())
        await_text(ours, f"squib {expected}")
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def await_text(terminal: int, text: str) -> None:
    """Reads what the shell shows until `text` is in it."""
    seen, end = b"", time.monotonic() + 30
    while text.encode() not in seen:
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], f"{text!r} is not in {seen!r}"
        seen += os.read(terminal, 4096)


def test_the_shell_is_that_of_the_environment(alone: Squib) -> None:
    for shell in SHELLS:
        named = alone.ok("completion", shell)
        alone.extra["SHELL"] = f"/usr/bin/{shell}"
        assert alone.ok("completion") == named


@pytest.mark.parametrize(
    ("arguments", "shell", "said"),
    [
        ((), "/bin/dash", "SHELL names none of bash, zsh, fish: dash"),
        ((), "", "SHELL is not set"),
        (("tcsh",), "", "'tcsh'"),
        (("bash", "zsh"), "", "zsh"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], shell: str, said: str, alone: Squib) -> None:
    alone.extra["SHELL"] = shell
    done = alone.run("completion", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr
