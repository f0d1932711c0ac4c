"""Container engines of the tests' own: Docker, Podman and a registry, in a network of their own, with all their files in one folder.

Nothing of the machine's engines is touched: no socket, no storage, no bridge, no rule. What is started is ended by its id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import tool

WAIT_S = 60
ADDRESS = "192.0.2.1"  # RFC 5737: nobody's
REFERENCE = "example/clock"
Done = subprocess.CompletedProcess[str]


def _run(argv: list[str], env: dict[str, str], cwd: Path | None = None, timeout: float = WAIT_S) -> Done:
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, env=env, cwd=cwd, stdin=subprocess.DEVNULL, check=False
    )


def ok(done: Done) -> str:
    """The standard output of what must have worked."""
    assert done.returncode == 0, f"{done.args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process while the context lasts; asked to end then, and killed where it does not."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT_S)


@dataclass
class Network:
    """A network namespace, held by the process `holder`; it has loopback only, and ADDRESS, which is no loopback address, there."""

    holder: int

    def enter(self, *argv: str) -> list[str]:
        """A command line that runs `argv` in it."""
        return [tool("nsenter"), f"--net=/proc/{self.holder}/ns/net", "--", *argv]


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A new network namespace."""
    ip = tool("ip")
    script = f"{ip} link set lo up && {ip} address add {ADDRESS}/32 dev lo && echo up && exec sleep infinity"
    with ending(
        subprocess.Popen([tool("unshare"), "--net", "sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    ) as holder:
        assert holder.stdout is not None
        with holder.stdout:
            assert holder.stdout.readline() == b"up\n"
        yield Network(holder.pid)


@dataclass
class Engine:
    """How to call an engine's command; `prefix` stands before it."""

    network: Network
    folder: Path
    prefix: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, timeout: float = WAIT_S) -> Done:
        """One command to its end, whatever its status."""
        return _run([*self.prefix, *arguments], {"PATH": _path(), "HOME": str(self.folder)} | self.env, self.folder, timeout)

    def ok(self, *arguments: str, timeout: float = WAIT_S) -> str:
        """One command that must work; its output."""
        return ok(self.run(*arguments, timeout=timeout))

    def in_network(self, *argv: str) -> Done:
        """A command in the engine's network."""
        return _run(self.network.enter(*argv), {"PATH": _path(), "HOME": str(self.folder)} | self.env, self.folder)

    def probe(self, url: str, count: int = 1) -> str:
        """`squib probe`, once somebody listens there."""
        deadline = time.monotonic() + WAIT_S
        while True:
            done = self.in_network(sys.executable, "-m", "squib", "probe", url, "-n", str(count), "--interval", "1")
            if done.returncode == 0:
                return done.stdout
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.1)

    @contextlib.contextmanager
    def container(self, *arguments: str, name: str) -> Iterator[None]:
        """A container that runs in the background, and is removed in the end."""
        self.ok("run", "--detach", "--name", name, *arguments)
        try:
            yield
        finally:
            self.run("rm", "--force", name)

    def stop(self, name: str) -> int:
        """Stops it; its exit status, 137 where the engine had to kill it."""
        self.ok("stop", "--time", "10", name)
        return int(self.ok("inspect", "--format", "{{.State.ExitCode}}", name))

    def logs(self, name: str) -> str:
        """What it wrote to standard error."""
        done = self.run("logs", name)
        assert (done.returncode, done.stdout) == (0, "")
        return done.stderr


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


@contextlib.contextmanager
def docker(folder: Path, net: Network) -> Iterator[Engine]:
    """A Docker Engine with its own everything; its bridge and rules are in `net`."""
    socket = f"unix://{folder}/docker.sock"
    daemon = (
        *(
            tool("dockerd"),
            f"--storage-driver={_storage_driver(folder)}",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
        ),
        *(f"--pidfile={folder}/pid", f"--host={socket}", f"--config-file={folder}/daemon.json"),
    )
    (folder / "daemon.json").write_text("{}")
    engine = Engine(
        net, folder, (tool("docker"),), {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder), "DOCKER_BUILDKIT": "0"}
    )
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            net.enter(*daemon), stdout=log, stderr=log, env={"PATH": _path(), "HOME": str(folder)}, start_new_session=True
        )
    with ending(started):
        _wait(started, folder / "log", lambda: engine.run("version").returncode == 0)
        yield engine
    shutil.rmtree(folder, ignore_errors=True)


def _storage_driver(folder: Path) -> str:
    """overlay2 where the file-system of `folder` can carry an overlay; vfs, which copies each layer whole, works everywhere."""
    with tempfile.TemporaryDirectory(dir=folder) as trial:
        parts = [Path(trial) / name for name in ("lower", "upper", "work", "merged")]
        for part in parts:
            part.mkdir()
        options = f"lowerdir={parts[0]},upperdir={parts[1]},workdir={parts[2]}"
        mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, parts[3]], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            return "vfs"
        subprocess.run(["umount", parts[3]], check=True)
        return "overlay2"


@contextlib.contextmanager
def registry(folder: Path, net: Network, port: int = 5000, *, users: Path | None = None) -> Iterator[str]:
    """Debian's docker-registry on loopback of `net`; its address."""
    auth = f"auth:\n  htpasswd: {{realm: squib, path: {users}}}\n" if users else ""
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}\n"
        f'http: {{addr: ":{port}"}}\n{auth}'
    )
    address = f"127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        command = net.enter(tool("docker-registry"), "serve", str(folder / "config.yml"))
        started = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": _path()}, start_new_session=True)
    with ending(started):
        ask = net.enter(tool("curl"), "-so/dev/null", f"http://{address}/v2/")
        _wait(started, folder / "log", lambda: subprocess.run(ask, check=False).returncode == 0)
        yield address


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""runc: crun refuses a machine that has both versions of cgroups. Limits: root may lack CAP_SYS_RESOURCE."""

ROOTLESS_ID = 65534
_AS_NOBODY = """\
mount --bind {subid} /etc/subuid && mount --bind {subid} /etc/subgid &&
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""
"""A user with subordinate ids, without a change of the machine: the two files are laid over in a mount namespace."""


def podman(folder: Path, net: Network, *, rootless: bool) -> Engine:
    """A Podman with its own storage, as root or as nobody."""
    (folder / "containers.conf").write_text(_CONTAINERS_CONF)
    # Registries are asked without TLS: they are on loopback.
    (folder / "registries.conf").write_text('[[registry]]\nlocation = "127.0.0.1:5000"\ninsecure = true\n')
    (folder / "subid").write_text("nobody:100000:65536\n")
    for name in ("run", "storage"):
        (folder / name).mkdir(mode=0o700)
    own = (*(tool("podman"), f"--root={folder}/storage", f"--runroot={folder}/run", "--storage-driver=vfs"),)
    env = {
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
    }
    if not rootless:
        return Engine(net, folder, tuple(net.enter(*own)), env)
    subprocess.run(["chown", "-R", f"{ROOTLESS_ID}:{ROOTLESS_ID}", str(folder)], check=True)
    script = _AS_NOBODY.format(subid=folder / "subid")
    return Engine(net, folder, tuple(net.enter(tool("unshare"), "--mount", "sh", "-c", script, "sh", *own)), env)


def end_all(engine: Engine) -> None:
    """Ends what a rootless Podman leaves running: the process that holds its user namespace. It is known by its environment."""
    mark = f"XDG_RUNTIME_DIR={engine.env['XDG_RUNTIME_DIR']}".encode()
    for entry in filter(lambda path: path.name.isdigit(), Path("/proc").iterdir()):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
