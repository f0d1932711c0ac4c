"""The image under a real Docker Engine."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path

import pytest

from engines import REFERENCE, WAIT_S, Engine, ok
from support import PROJECT

pytestmark = [pytest.mark.root, pytest.mark.tool]

CLOCK = re.compile(r'\{ "time": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d -00:00" \}')


@pytest.fixture(scope="module")
def loaded(docker: Engine, image_file: Path, shop_file: Path) -> Engine:
    assert f"Loaded image: {REFERENCE}:latest" in docker.ok("load", "--input", str(image_file))
    assert "Loaded image: shop:latest" in docker.ok("load", "--input", str(shop_file))
    return docker


def test_docker_knows_it_as_it_was_made(loaded: Engine) -> None:
    (image,) = json.loads(loaded.ok("image", "inspect", REFERENCE))
    config = image["Config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["/bin/server"], ["--port", "8080"], "65532:65532")
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert config["Labels"]["org.opencontainers.image.title"] == "clock"
    assert image["Created"] == "1970-01-01T00:00:00Z"
    assert len(image["RootFS"]["Layers"]) == 3


def test_as_the_seed_ran_it(loaded: Engine) -> None:
    with loaded.container("--init", "--publish", "8080:8080", REFERENCE, name="seed"):
        answers = CLOCK.findall(loaded.probe("http://127.0.0.1:8080", 4))
        assert len(answers) == 4
        assert loaded.stop("seed") == 0
        log = loaded.logs("seed").splitlines()
        assert log[0].endswith("INF [http] listening on 8080/TCP")
        assert sum("INF [http] responding to" in line for line in log) >= 4


def test_with_no_right_at_all_and_any_user(loaded: Engine) -> None:
    bound = (
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=12345:1",
        "--memory=64m",
        "--pids-limit=8",
    )
    with loaded.container(*bound, "--publish", "8081:8080", REFERENCE, name="bound"):
        loaded.probe("http://127.0.0.1:8081")
        # PID 1 is squib's small init, and the server is below it.
        processes = loaded.ok("top", "bound", "-eo", "pid,ppid,uid,args").splitlines()[1:]
        assert [line.split()[2] for line in processes] == ["12345", "12345"]
        assert processes[1].split()[1] == processes[0].split()[0]
        assert loaded.stop("bound") == 0


def test_keys_by_option_and_by_environment(loaded: Engine) -> None:
    with (
        loaded.container("--publish", "8082:8080", "shop", "--greeting", "good day", name="option"),
        loaded.container("--publish", "8083:8080", "--env", "SQUIB_GREETING=bonjour", "shop", name="variable"),
        loaded.container("--publish", "8084:9000", "shop", "--port", "9000", name="port"),
    ):
        wanted = {8082: "good day", 8083: "bonjour", 8084: "hello"}
        for port, greeting in wanted.items():
            assert json.loads(_get(loaded, f"http://127.0.0.1:{port}/x")) == {"greeting": greeting, "target": "/x"}


def _get(engine: Engine, url: str) -> str:
    deadline = time.monotonic() + WAIT_S
    while (done := engine.in_network("curl", "-sS", "--max-time", "10", url)).returncode != 0:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.1)
    return done.stdout


def test_help_and_mistakes(loaded: Engine) -> None:
    text = loaded.ok("run", "--rm", "shop", "--help")
    assert "/bin/server [OPTION]..." in text
    assert "--greeting=TEXT (default: hello; environment: SQUIB_GREETING)" in text
    wrong = loaded.run("run", "--rm", "shop", "--greting=x")
    assert wrong.returncode == 64
    assert "did you mean `--greeting'?" in wrong.stderr
    assert loaded.run("run", "--rm", "--env", "SQUIB_PORT=http", "shop", "--logs=info").returncode == 64


def test_the_tutorial_s_commands(docker: Engine, tutorials_file: Path) -> None:
    text = (PROJECT / "docs/tutorial.md").read_text()
    block = re.search(r"^```sh\n(docker load.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        program, *arguments = shlex.split(line)
        if program == "squib":
            assert arguments[0] == "probe"
            docker.probe(arguments[1])
        else:
            assert program == "docker"
            ok(docker.run(*(str(tutorials_file) if word == "clock.tar" else word for word in arguments)))
