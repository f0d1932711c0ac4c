"""A VMM in namespaces of its own: started by way of a process that makes them and then becomes it.

So what squib keeps of the machine is the VMM's own process, from the first moment on; its working folder is the machine's, by
which it is found and ended whoever dies meanwhile, and the way out dies with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squib.errors import HostError
from squib.host import ports
from squib.host.files import storage_errors
from squib.host.process import Handle
from squib.model.namespace_network import NamespaceNetwork
from squib.vmm.run_dir import end_way_out
from squib.wire import namespace_network

__all__ = ["Entry", "entered"]

_ENTRY = "squib.net.namespace"
"""The module's name alone: this room does not know that one."""
_FILE = "network.json"
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The command line to start, which keeps the descriptor `report`; then `settled` waits until it has become the VMM.

    `settled` raises TakenError (a published port), UnavailableError, HostError and their like; the process is left as it is.
    """

    line: tuple[str, ...]
    report: int
    settled: Callable[[Handle], None]


@contextlib.contextmanager
def entered(network: NamespaceNetwork, program: tuple[str, ...], run_dir: Path) -> Iterator[Entry]:
    """How `program` comes to run in `network`. Raises StorageError and its like."""
    file = run_dir / _FILE
    with storage_errors(file):
        file.write_bytes(namespace_network.encode(network))
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as answers, open(writer, "wb", buffering=0) as report:  # noqa: PTH123 - descriptors

        def settled(process: Handle) -> None:
            report.close()  # so that the end of what is said is the end of who could say something
            _await(process, answers.fileno(), network, run_dir)

        yield Entry((sys.executable, "-I", "-m", _ENTRY, _FILE, str(writer), *program), writer, settled)


def _await(process: Handle, reader: int, network: NamespaceNetwork, run_dir: Path) -> None:
    said = _read(reader)
    if said == namespace_network.READY:
        return
    ended = process.wait(1.0)
    end_way_out(run_dir)  # else a port of its own would look like somebody's
    for one in network.published:
        ports.check(one.host_address, one.host_port)  # it tells best why a port cannot be published
    if said:
        raise namespace_network.decode_failure(said.removeprefix(namespace_network.READY))
    why = "it was killed" if ended else f"it did nothing within {_DEADLINE_S:g} s"
    raise HostError(f"the machine's network was not set up: {why}", hint="see what the host did: dmesg | tail")


def _read(reader: int) -> bytes:
    """All that is written, until whoever could write has ended or become another program; or until the deadline."""
    said, deadline = b"", time.monotonic() + _DEADLINE_S
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        data = os.read(reader, 65536)
        if not data:
            return said
        said += data
    return b""
