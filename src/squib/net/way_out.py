"""How the programs that connect a namespace to its host are started: command lines, as pure functions.

Whichever it is, the namespace's uplink has the same name and addresses, and nothing of the host's is reached by it but what a
process of the user's could connect to; the namespace's own rules see to the rest. Nothing is forwarded but what is published.
"""

from __future__ import annotations

from squib.model.namespace_network import NamespaceNetwork, WayOut

__all__ = ["API_SOCKET", "DEVICE", "LOG", "READY", "argv"]

DEVICE = "uplink0"
READY = "way-out.ready"
"""A FIFO: what is written to it means that the uplink is there."""
LOG = "way-out.log"
API_SOCKET = "slirp.sock"

_MAC = "9a:55:9a:55:9a:55"
_MTU = 65520  # what pasta takes by itself: the longest IPv4 packet, rounded to words


def argv(network: NamespaceNetwork, pid: int, ready: int, *, uid: int) -> tuple[str, ...]:
    """For the namespaces of the process `pid` of the user `uid`, to be run in its folder; `ready`: a descriptor of READY."""
    match network.way_out.kind:
        case WayOut.PASTA:
            return (str(network.way_out.path), *_pasta(network, uid), *("--pid", READY), str(pid))
        case WayOut.SLIRP4NETNS:
            return (str(network.way_out.path), *_slirp4netns(network, pid), *("--ready-fd", str(ready)), str(pid), DEVICE)


def _pasta(network: NamespaceNetwork, uid: int) -> tuple[str, ...]:
    """passt(1). The interface it would copy addresses from is named and not used, so the host needs no route anywhere."""
    ports = [f"{one.host_address}/{one.host_port}:{inside}" for inside, one in network.carried] or ["none"]
    return (
        *("--foreground", "--quiet", "--ipv4-only", "--config-net"),
        *(() if uid else ("--runas", "0")),  # root's would become nobody, who may not join root's namespaces
        *("--ns-ifname", DEVICE, "--interface", "lo", "--mac-addr", _MAC),
        *("--address", str(network.address), "--netmask", str(network.uplink.prefixlen), "--gateway", str(network.gateway)),
        *("--dns-forward", str(network.name_server)),
        "--no-map-gw",  # else the gateway's address is the host's loopback
        *(word for port in ports for word in ("--tcp-ports", port)),
        *("--udp-ports", "none"),
        *("--tcp-ns", "none", "--udp-ns", "none"),  # else the namespace's loopback has the host's listeners
        *("--no-icmp", "--no-dhcp", "--no-ndp", "--no-dhcpv6", "--no-ra"),
    )


def _slirp4netns(network: NamespaceNetwork, pid: int) -> tuple[str, ...]:
    """slirp4netns(1). What is published is told by its API socket."""
    return (
        *("--configure", "--mtu", str(_MTU), "--cidr", str(network.uplink)),
        "--disable-host-loopback",
        *("--enable-sandbox", "--enable-seccomp"),
        *("--userns-path", f"/proc/{pid}/ns/user", "--api-socket", API_SOCKET),
    )
