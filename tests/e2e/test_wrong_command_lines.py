"""What squib says to a command line that is wrong: one form, the nearest known word, exit code 64; and nothing is done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from program import Squib
from squib.app.starter import write_starter
from squib.cli.main import cli
from squib.cli.verbs import ABSENT, SYNONYMS, VERBS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the appliance `shop` in it and none of its own; homes that nothing may be written to."""
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    work = tmp_path / "work"
    write_starter(work / "shop", "shop")
    with (work / "shop/appliance.toml").open("a") as file:
        file.write('\n[keys.debug]\ntype = "bool"\ndefault = false\n\n[keys.n]\ntype = "int"\ndefault = 1\n')
    monkeypatch.chdir(work)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code, and what stood on standard error; nothing may stand on standard output."""
    with pytest.raises(SystemExit) as caught:
        cli(list(words))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.err


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("rnu", "unknown command: squib rnu; did you mean squib run?", "squib --help"),
        ("helpp", "unknown command: squib helpp; did you mean squib help?", "squib --help"),
        ("kernel bild", "unknown command: squib kernel bild; did you mean squib kernel build?", "squib kernel build | list | rm | show"),
        ("host zzz", "unknown command: squib host zzz", "squib host check | setup | teardown"),
        ("xyzzy", "unknown command: squib xyzzy", "squib --help"),
        ("run shop --memry 1G", "unknown option --memry; did you mean --memory?", "shop has the keys --"),
        ("run shop --cpus 2", "unknown option --cpus; did you mean --vcpus?", ""),
        ("run shop --greting x", "unknown option --greting; did you mean --greeting?", ""),
        ("run shop --lgos debug", "unknown option --lgos; did you mean --logs?", ""),
        ("boot-report shop --ronds 2", "unknown option --ronds; did you mean --rounds?", ""),
        ("measure memory shop --memry 2", "unknown option --memry; did you mean --memory?", ""),
        ("build --kernal x", "unknown option --kernal; did you mean --kernel?", "squib build --help"),
        ("vm --kernl x", "unknown option --kernl; did you mean --kernel?", "squib vm --help"),
        ("ps --zzz", "unknown option --zzz", "squib ps --help"),
        ("ps -x", "unknown option -x", "squib ps --help"),
        ("--verison", "unknown option --verison; did you mean --version?", "squib --help"),
        ("run shop -e A=b", "unknown option -e", "set a key of the appliance by --KEY VALUE"),
        ("run shop -v /a:/b", "unknown option -v", "[image] include"),
        ("run shop --rm", "unknown option --rm", "leave it out"),
        ("run shop --port", "option --port needs a value", "--port VALUE"),
        ("run shop --memory", "option --memory needs a value", "squib run --help"),
        ("run shop --memory --detach", "option --memory needs a value", "squib run --help"),
        ("build --drop", "option --drop needs a value", "squib build --help"),
        ("build -o -q", "option -o needs a value", "squib build --help"),
        ("image -o", "option -o needs a value", "squib image --help"),
        ("kernel build -j", "option -j needs a value", "squib kernel build --help"),
        ("run shop --quiet=5", "option --quiet takes no value", "squib run --help"),
        ("run shop --vmm qem", "option --vmm: expected one of auto, qemu, firecracker, got 'qem'; did you mean qemu?", "squib run --help"),
        ("run shop --vcpus 99", "option --vcpus: expected 1 to 32, got 99", "squib run --help"),
        ("run shop --timeout inf", "option --timeout: expected a number of seconds, got 'inf'", "squib run --help"),
        ("stop x --timeout -5", "option --timeout: expected at least 0 seconds, got -5", "squib stop --help"),
        ("stop x --timeout=-5", "option --timeout: expected at least 0 seconds, got -5", "squib stop --help"),
        ("run shop --n abc", "option --n: expected a whole number, got 'abc'", ""),
        ("run shop --debug=5", "option --debug: expected true or false, got '5'", ""),
        ("run shop --debug 5", "too many words: 5", "--KEY=false"),
        ("run shop --logs dbug", "option --logs: expected LEVEL or SOURCE:LEVEL, got 'dbug'; did you mean debug?", "a level is one of"),
        ("run shop --port 0", "option --port: expected a port, 1 to 65535, got '0'", ""),
        ("run shop -p 9150", "--publish 9150: expected two ports, HOST:GUEST", "--publish 9150:8000, for port 8000 of the guest"),
        ("run shop -p 9150 --port 81", "--publish 9150: expected two ports, HOST:GUEST", "--publish 9150:81, for port 81"),
        ("run shop -p x", "--publish x: expected two ports, HOST:GUEST", "8080:80"),
        ("run shop other", "too many words: other", "name one appliance"),
        ("ps shop", "too many words: shop", "squib ps --help"),
        ("init a b", "too many words: b", "squib init --help"),
        ("stop", "NAME is missing", "squib stop --help"),
        ("deploy kubernetes shop", "option --image is missing", "squib deploy kubernetes --help"),
    ],
)  # fmt: skip
def test_usage_errors(line: str, said: str, hint: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    status, err = told(capsys, *line.split())
    first, *rest = err.splitlines()
    assert (status, first) == (64, f"squib: {said}")
    assert len(rest) <= 1
    assert not rest or (rest[0].startswith("  try: ") and hint in rest[0])
    assert rest or not hint
    assert not (home / "xdg_cache_home").exists(), "nothing was built, or looked for"


@pytest.mark.parametrize(
    "line",
    ["run", "build", "image", "boot-report", "measure memory", "push example/x", "deploy kubernetes --image example/x"],
)
def test_without_an_appliance_nothing_is_taken_in_its_place(line: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    status, err = told(capsys, *line.split())
    assert (status, err.splitlines()) == (
        66,
        [
            "squib: there is no appliance in this folder: no appliance.toml, and no pyproject.toml with [tool.squib]",
            "  try: squib init writes one here; or name one: a folder, a file, or clock, which comes with squib",
        ],
    )
    assert not (home / "xdg_cache_home/squib/artifacts").exists()


def test_an_appliance_that_is_named_too_late(capsys: pytest.CaptureFixture[str]) -> None:
    status, err = told(capsys, "run", "--debug", "shop")
    assert status == 66
    assert "  try: if shop is the appliance, name it before its options\n" in err


def test_serve_without_an_appliance(tmp_path: Path) -> None:
    squib = Squib((sys.executable, "-m", "squib"), tmp_path)
    done = squib.run("serve", "--port", "1")
    assert (done.returncode, done.stdout) == (66, "")
    assert "there is no appliance in this folder" in done.stderr
    for word in ("--help=plain", "-h"):
        helped = squib.run("serve", word)
        assert helped.returncode == 0
        assert "squib serve APPLIANCE [OPTION]..." in helped.stdout
        assert "--ips=ADDRESSES" in helped.stdout


def test_synonyms(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("ls", "list"):
        with pytest.raises(SystemExit) as caught:
            cli([word, "--json"])
        assert (caught.value.code, capsys.readouterr().out) == (0, "[]\n")
    for word in ("kill", "remove", "delete", "destroy"):
        status, err = told(capsys, word, "web")
        assert (status, err.splitlines()[0]) == (66, "squib: there is no machine web")
    assert not {*SYNONYMS, *ABSENT, "help"} & VERBS.keys()


@pytest.mark.parametrize("word", sorted(ABSENT))
def test_what_squib_does_not_have(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, err = told(capsys, word, "web")
    first, second = err.splitlines()
    assert (status, first.partition(":")[0]) == (64, "squib")
    assert first.startswith(f"squib: there is no command {word}: ")
    assert second.startswith("  try: ")


@pytest.mark.usefixtures("qemu")
def test_a_taken_name_and_a_taken_port_are_told_before_anything_is_built(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    import socket
    from dataclasses import replace

    from squib.model.machine import Accel
    from squib.store import Reservation, Store

    wish = Reservation(
        name="web",
        base_name="shop",
        publish=(),
        vmm="qemu",
        accel=Accel.TCG,
        image_digest="0" * 64,
        mem_size_mib=128,
        vcpu_count=1,
    )
    with Store(home / "xdg_state_home/squib") as store:
        store.exited(store.reserve(replace(wish)).id, 0, "stopped")
    status, err = told(capsys, "run", "shop", "--name", "web")
    assert (status, err.splitlines()[0]) == (75, "squib: there is a machine web already (shop, exited)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, err = told(capsys, "run", "shop", "-p", f"{port}:8000")
    assert (status, err.splitlines()[0]) == (75, f"squib: 127.0.0.1:{port} is in use by another program")
    assert not (home / "xdg_cache_home/squib/artifacts").exists()
