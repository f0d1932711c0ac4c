"""A guest that does as it is told, as root and with no squib in it: whoever connects to its port 80 sends Python, and gets what that says.

With the word `babble` on the kernel's line it writes to its console without end, too.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from squib.build import ext4
from squib.build.artifact import BuildPlan
from squib.model.image import MANIFEST, ROOTFS, VMLINUX, FileRecord
from squib.model.tree import File, RootfsTree
from squib.wire import manifest

END = b"\n\0\n"
"""Behind the Python that is sent."""

_INIT = """
import _socket, os, select, time
console = os.open("/dev/console", os.O_RDWR)
os.write(console, b"squib.boot abi=3 uptime_ms=1\\n")
server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
server.bind(("0.0.0.0", 80))
server.listen(8)
os.write(console, b"squib.ready abi=3 uptime_ms=2 listen=tcp:0.0.0.0:80\\n")
if "babble" in sys.argv and os.fork() == 0:
    while True:
        os.write(console, b"x" * 99 + b"\\n")
while True:
    client, answer = _socket.socket(fileno=server._accept()[0]), []
    try:
        text = b""
        while not text.endswith(END) and (data := client.recv(65536)):
            text += data
        exec(text[: -len(END)].decode(), {"_socket": _socket, "select": select, "time": time, "say": answer.append})
    except Exception as error:
        answer.append(repr(error))
    try:
        client.sendall("\\n".join(map(str, answer)).encode())
    except OSError:
        pass
    client.close()
"""


def write(plan: BuildPlan, artifact: Path, folder: Path) -> None:
    """The artifact in `folder`: what `plan` is of, which `artifact` holds, with another PID 1."""
    entries = [
        _init(entry) if isinstance(entry, File) and entry.path == "/sbin/init" else entry for entry in plan.rootfs.entries
    ]
    folder.mkdir(exist_ok=True)
    ext4.write(RootfsTree.of(entries), folder / ROOTFS, ext4.find_programs())
    shutil.copyfile(artifact / VMLINUX, folder / VMLINUX)
    known = manifest.decode((artifact / MANIFEST).read_bytes(), artifact)
    data = (folder / ROOTFS).read_bytes()
    root = FileRecord(ROOTFS, len(data), hashlib.sha256(data).hexdigest())
    files = tuple(root if file.name == ROOTFS else file for file in known.files)
    (folder / MANIFEST).write_bytes(manifest.encode(replace(known, files=files)))


def _init(real: File) -> File:
    """The program, which begins as the real one does: with the interpreter, and where its library is."""
    head = [line for line in real.data.decode().splitlines() if line.startswith(("#!", "import sys", "sys.path"))]
    return replace(real, data=("\n".join([*head, f"END = {END!r}"]) + _INIT).encode())
