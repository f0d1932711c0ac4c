"""Makes a machine's network in namespaces of its own and becomes its VMM: `python -I -m squib.net.namespace FILE FD PROGRAM …`.

So the process that squib started stays the same one. In the namespace it does what `squib host setup` and `squib run` do on a
host, with the same rules; then it gives up every capability. FILE describes the network (wire.namespace_network), FD is the
writing end of a pipe: that it is ready, and then its end when the program runs; or why it does not.
"""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import IPv4Network
from pathlib import Path

from squib.errors import HostError, PermissionDeniedError, SquibError, UnavailableError
from squib.host import links, nft, sysctl, unix_socket, user_namespace
from squib.host.files import storage_errors
from squib.host.user_namespace import Outside
from squib.model.host_network import HostSettings
from squib.model.namespace_network import NamespaceNetwork, WayOut
from squib.net import ruleset, way_out
from squib.wire import namespace_network, slirp4netns

__all__ = ["main", "settings"]

_UPLINK_S = 15.0
"""Seconds until the way out is there; it takes about 0.02."""
_ANSWER_S = 5.0
_SAID_BYTES = 4000
_NOISE = ("Failed to send ", "No external routable interface")
"""Of pasta, on a host without a system log; and of one that looks for IPv6 although it was told not to."""


def main(arguments: list[str]) -> int:
    """Returns only where it failed."""
    file, report, program = Path(arguments[0]), int(arguments[1]), arguments[2:]
    os.set_inheritable(report, False)  # noqa: FBT003 - its end is the sign that the program runs
    try:
        _make(namespace_network.decode(file.read_bytes()))
        user_namespace.drop_capabilities()
        os.write(report, namespace_network.READY)
        os.execv(program[0], program)
    except SquibError as error:
        os.write(report, namespace_network.encode_failure(error))
    except OSError as error:
        os.write(report, namespace_network.encode_failure(HostError(f"the machine's network was not set up: {error}")))
    return HostError.exit_code


def _make(network: NamespaceNetwork) -> None:
    with storage_errors(Path(way_out.READY)):
        os.mkfifo(way_out.READY, 0o600)
        ready = os.open(way_out.READY, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    outside = Outside(way_out.argv(network, os.getpid(), ready, uid=os.geteuid()), Path(way_out.LOG), keep=ready)
    with storage_errors(Path(namespace_network.WAY_OUT)):
        Path(namespace_network.WAY_OUT).write_text(str(outside.identity), encoding="ascii")
    user_namespace.enter()
    try:
        # The rules are there before any device is; the guest comes after all of it.
        nft.apply(ruleset.create_table(settings(network), closed=network.closed))
        nft.apply(ruleset.add_tap(network.tap))
        outside.start()
        links.set_up("lo")
        links.add_tap(network.slot.tap, network.slot.host, from_loopback=bool(network.published))
    except PermissionDeniedError as error:
        raise UnavailableError(
            f"this user can make a user namespace, but no network in it: {error}",
            hint=user_namespace.HINT,
            detail=error.detail,
        ) from error
    if not outside.wait(ready, _UPLINK_S):
        raise HostError(f"{network.way_out.kind} did not connect the machine's network", detail=_said())
    os.close(ready)
    sysctl.write(f"net/ipv4/conf/{way_out.DEVICE}/forwarding", "1")
    if network.way_out.kind is WayOut.SLIRP4NETNS:
        _publish(network)


def settings(network: NamespaceNetwork) -> HostSettings:
    """What the namespace is set up to do, in the words of a host."""
    return HostSettings((way_out.DEVICE,), IPv4Network(network.slot.host.network))


def _publish(network: NamespaceNetwork) -> None:
    for inside, published in network.carried:
        request = slirp4netns.add_hostfwd(published, str(network.address), inside)
        refused = slirp4netns.refusal(_asked(request))
        if refused:
            raise HostError(f"slirp4netns does not publish {published.host_address}:{published.host_port}", detail=refused)


def _asked(request: bytes) -> bytes:
    with unix_socket.connect(Path(way_out.API_SOCKET), _ANSWER_S) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def _said() -> str:
    text = Path(way_out.LOG).read_bytes()[-_SAID_BYTES:].decode("utf-8", "replace")
    return "\n".join(line for line in text.splitlines() if line and not line.startswith(_NOISE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
