# ruff: noqa: T201 - a program: it prints
"""A Firecracker without KVM, for tests: it speaks the documented API (v1.12) strictly, and prints what a guest would.

A program of the standard library alone: `write` makes an executable of it. An unknown field, a wrong type, a missing one, a wrong
order, or an unknown path is 400, as by the real one, whose words are used where squib reads them. The guest is as `tiny=` in the
boot line says (tests/tiny_guest.py); without that it serves.

`trouble` is one of: `die:PATH` and `hang:PATH` (at a request, "socket" before there is one), `deaf` (no Ctrl-Alt-Del is heard), `kvm:STATUS` (KVM gives the
guest up before it says a word, and Firecracker ends with that status).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

LIFE_S = 1800
"""One that nobody ends ends by itself, where the tests were killed that should have ended it."""

BOOT = b"squib.boot abi=3 uptime_ms=12\n"
READY = b"squib.ready abi=3 uptime_ms=34 listen=tcp:0.0.0.0:80\n"
STOPPED = b"squib.exit abi=3 status=0 reason=stopped cause=none\n"
ENDS = {
    "usage": b"clock: unknown option '--prot'\nsquib.exit abi=3 status=64 reason=usage cause=none\n",
    "failed": b"squib.init: eth0: no such device\nsquib.exit abi=3 status=71 reason=failed cause=none\n",
    "crashed": b"squib.exit abi=3 status=70 reason=crashed cause=none\n",
    "panics": b"[    0.9] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000\n",
    "finishes": b"squib.exit abi=3 status=0 reason=finished cause=exit:0\n",
}

# Field → (type, required), as firecracker.yaml has them.
S, B, N, L, M = str, bool, int, list, dict
RESOURCES: dict[str, dict[str, tuple[type, bool]]] = {
    "machine-config": {"vcpu_count": (N, True), "mem_size_mib": (N, True), "smt": (B, False), "cpu_template": (S, False), "track_dirty_pages": (B, False), "huge_pages": (S, False)},
    "boot-source": {"kernel_image_path": (S, True), "initrd_path": (S, False), "boot_args": (S, False)},
    "drives": {"drive_id": (S, True), "is_root_device": (B, True), "partuuid": (S, False), "cache_type": (S, False), "is_read_only": (B, False), "path_on_host": (S, False), "rate_limiter": (M, False), "io_engine": (S, False), "socket": (S, False)},
    "network-interfaces": {"iface_id": (S, True), "host_dev_name": (S, True), "guest_mac": (S, False), "rx_rate_limiter": (M, False), "tx_rate_limiter": (M, False)},
    "vsock": {"guest_cid": (N, True), "uds_path": (S, True), "vsock_id": (S, False)},
    "entropy": {"rate_limiter": (M, False)},
    "mmds/config": {"network_interfaces": (L, True), "version": (S, False), "ipv4_address": (S, False)},
    "logger": {"log_path": (S, False), "level": (S, False), "show_level": (B, False), "show_log_origin": (B, False), "module": (S, False)},
    "metrics": {"metrics_path": (S, True)},
    "balloon": {"amount_mib": (N, True), "deflate_on_oom": (B, True), "stats_polling_interval_s": (N, False)},
    "cpu-config": {"cpuid_modifiers": (L, False), "msr_modifiers": (L, False), "reg_modifiers": (L, False), "vcpu_features": (L, False), "kvm_capabilities": (L, False)},
    "actions": {"action_type": (S, True)},
}  # fmt: skip
IDS = {"drives": "drive_id", "network-interfaces": "iface_id"}


def write(folder: Path, trouble: str = "") -> Path:
    """An executable `firecracker` in `folder`."""
    path = folder / "firecracker"
    path.write_text(
        f"#!{sys.executable} -IS\nimport os, runpy\nos.environ['FAKE_TROUBLE'] = {trouble!r}\n"
        f"runpy.run_path({__file__!r}, run_name='__main__')\n"
    )
    path.chmod(0o755)
    return path


class RefusedError(Exception):
    """400, with the reason."""


class Machine:
    """What was configured, and the guest once it runs."""

    def __init__(self, log: IO[str]) -> None:
        self.log = log
        self.resources: dict[str, dict[str, Any]] = {}
        self.running = False
        self.starting = False

    def request(self, method: str, path: str, body: bytes) -> None:
        """Does what is asked. Raises RefusedError."""
        if method == "PUT" and path == "/mmds":
            self.metadata(body)
            return
        kind = next((kind for kind in RESOURCES if path == f"/{kind}" or (kind in IDS and path.startswith(f"/{kind}/"))), None)
        if method != "PUT" or kind is None:
            raise RefusedError(f"Invalid request method and/or path: {method} {path}.")
        fields = parse(kind, body)
        if kind in IDS and path != f"/{kind}/{fields[IDS[kind]]}":
            raise RefusedError("The id from the path does not match the id from the body!")
        if kind == "actions":
            self.action(fields["action_type"])
            return
        if self.running:
            raise RefusedError("The requested operation is not supported after starting the microVM.")
        self.check(kind, fields)
        self.resources[path] = fields

    def metadata(self, body: bytes) -> None:
        if not isinstance(json.loads(body), dict):
            raise RefusedError("An error occurred when deserializing the json body of a request: an object was expected.")

    def check(self, kind: str, fields: dict[str, Any]) -> None:
        match kind:
            case "boot-source":
                opened(fields["kernel_image_path"], "Boot source error: The kernel file cannot be opened: ")
                if "initrd_path" in fields:
                    opened(
                        fields["initrd_path"],
                        "Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions. ",
                    )
            case "drives":
                opened(
                    fields["path_on_host"],
                    "Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing file: ",
                    None if fields.get("is_read_only") else "r+b",
                )
                if fields["is_root_device"] and any(
                    path.startswith("/drives/") and one["is_root_device"] and one["drive_id"] != fields["drive_id"]
                    for path, one in self.resources.items()
                ):
                    raise RefusedError("Drive config error: A root block device already exists!")
            case "mmds/config":
                known = {one["iface_id"] for path, one in self.resources.items() if path.startswith("/network-interfaces/")}
                if not known.issuperset(fields["network_interfaces"]):
                    raise RefusedError(
                        "MMMDS config error: The list of network interface IDs provided contains at least one ID that does not correspond to any existing network interface."
                    )
            case "logger" if "log_path" in fields:
                opened(fields["log_path"], "Logger error: ", "r+b")
                self.log = os.fdopen(os.open(fields["log_path"], os.O_RDWR | os.O_NONBLOCK), "w", encoding="utf-8")
            case "metrics":
                opened(fields["metrics_path"], "Metrics error: ", "r+b")
            case "machine-config" if fields["mem_size_mib"] <= 0 or not 1 <= fields["vcpu_count"] <= 32:
                raise RefusedError(
                    "Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured page size."
                )

    def action(self, kind: str) -> None:
        if kind == "InstanceStart" and not self.running:
            if "/boot-source" not in self.resources:
                raise RefusedError("Start microvm error: Cannot start microvm without kernel configuration.")
            self.start()
        elif kind == "InstanceStart":
            raise RefusedError("The requested operation is not supported after starting the microVM.")
        elif kind not in {"SendCtrlAltDel", "FlushMetrics"}:
            raise RefusedError("An error occurred when deserializing the json body of a request: unknown variant.")
        elif not self.running:
            raise RefusedError("The requested operation is not supported before starting the microVM.")
        elif (
            kind == "SendCtrlAltDel"
            and self.guest != "stubborn"
            and TROUBLE != "deaf"
            and self.guest not in {"silent", "never-ready"}
        ):
            say(STOPPED)
            if self.guest != "lingers":
                os._exit(0)

    def start(self) -> None:
        source = self.resources["/boot-source"]
        if Path(source["kernel_image_path"]).read_bytes()[:4] != b"\x7fELF":
            raise RefusedError(
                "Start microvm error: System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image: Kernel Loader: Invalid Elf magic number"
            )
        self.running = True
        words = source.get("boot_args", "").split()
        self.guest = next((word.removeprefix("tiny=") for word in words if word.startswith("tiny=")), "serves")
        self.starting = True

    def live(self) -> None:
        """What the guest says after the start, and how it ends where it does by itself."""
        if TROUBLE.startswith("kvm:"):
            log = sys.stdout if self.log.name == os.devnull else self.log  # as the real one, which logs to the console then
            log.write("2026-11-24T18:45:25.903 [one:fc_vcpu 0] Received KVM_EXIT_INTERNAL_ERROR signal\n")
            log.flush()
            sys.stderr.write("Error: RunWithApi(MicroVMStoppedWithError(GenericError))\n")
            sys.stderr.flush()
            os._exit(int(TROUBLE.partition(":")[2]))
        if self.guest == "vanishes":
            os._exit(0)
        if self.guest == "silent":
            return
        say(BOOT)
        if self.guest == "floods":
            for _ in range(240):
                say(b"x" * 99 + b"\n")
        if self.guest in {"serves", "stubborn", "floods", "babbles", "lingers"}:
            say(READY)
        while self.guest == "babbles":
            say(b"x" * 999 + b"\n")
        if self.guest == "echoes":
            say(b"login: ")
            while data := os.read(0, 4096):
                say(b"<" + data + b">")
            say(b"no more\n" + STOPPED)
            os._exit(0)
        if self.guest in ENDS:
            say(ENDS[self.guest])
            os._exit(0)


def parse(kind: str, body: bytes) -> dict[str, Any]:
    """The fields of a resource. Raises RefusedError for what the specification does not have."""
    begin = "An error occurred when deserializing the json body of a request: "
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise RefusedError(f"{begin}{error}.") from error
    known = RESOURCES[kind]
    for name, value in fields.items():
        if name not in known:
            raise RefusedError(f"{begin}unknown field `{name}`, expected one of {', '.join(known)}.")
        if type(value) is not known[name][0]:
            raise RefusedError(f"{begin}invalid type: {name}.")
    for name, (_, required) in known.items():
        if required and name not in fields:
            raise RefusedError(f"{begin}missing field `{name}`.")
    return dict(fields)


def opened(path: str, begin: str, mode: str | None = None) -> None:
    try:
        os.close(os.open(path, (os.O_RDWR if mode else os.O_RDONLY) | os.O_NONBLOCK))
    except OSError as error:
        raise RefusedError(f"{begin}{error.strerror} (os error {error.errno}) {path}") from error


def note(log: IO[str], text: str) -> None:
    """Into its log; what does not fit is lost there too."""
    with contextlib.suppress(OSError):
        os.write(log.fileno(), text.encode())


def say(text: bytes) -> None:
    """To the console; what does not fit is lost, as by a serial port."""
    with contextlib.suppress(OSError):
        os.write(1, text.replace(b"\n", b"\r\n"))


def trouble(at: str) -> None:
    if f"die:{at}" == TROUBLE:
        sys.stderr.write("the fake dies, as it was told to\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if f"hang:{at}" == TROUBLE:
        signal.pause()


def serve(machine: Machine, client: socket.socket) -> None:
    reader = client.makefile("rb")
    while line := reader.readline():
        method, path, _ = line.decode().split()
        headers = {}
        while header := reader.readline().strip():
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))
        trouble(path if path != "/actions" else path + ":" + json.loads(body)["action_type"])
        note(machine.log, f"{method} {path} {body.decode()} at {time.monotonic_ns()}\n")
        try:
            machine.request(method, path, body)
            client.sendall(b"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n")
            if machine.starting:  # only now: the guest may end at once
                machine.starting = False
                threading.Timer(0.005, machine.live).start()
        except RefusedError as refused:
            answer = json.dumps({"fault_message": str(refused)}).encode()
            client.sendall(
                b"HTTP/1.1 400 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(answer), answer)
            )


def main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print("Firecracker v1.12.1\n")
        return 0
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    if not set(options) <= {"--api-sock", "--id", "--log-path", "--level", "--http-api-max-payload-size"}:
        print(f"Error: ParseArguments({arguments})", file=sys.stderr)
        return 153
    if not options.get("--id", "anonymous-instance").replace("-", "").isalnum():
        return 134
    signal.alarm(LIFE_S)
    log = open(options.get("--log-path", os.devnull), "r+", encoding="utf-8")  # noqa: PTH123, SIM115
    signal.signal(signal.SIGXFSZ, lambda *_: os._exit(151))
    signal.signal(signal.SIGHUP, lambda *_: os._exit(156))
    trouble("socket")
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(options["--api-sock"])
    except OSError as error:
        print(f"Error: RunWithApi(FailedToBindSocket({error}))", file=sys.stderr)
        return 1
    server.listen()
    note(log, f"listening at {time.monotonic_ns()}\n")
    machine = Machine(log)
    while True:
        client, _ = server.accept()
        threading.Thread(target=serve, args=(machine, client), daemon=True).start()


if __name__ == "__main__":
    TROUBLE = os.environ["FAKE_TROUBLE"]
    sys.exit(main(sys.argv[1:]))
