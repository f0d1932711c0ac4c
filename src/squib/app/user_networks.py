"""Networks of machines in namespaces of their own, with nothing leased and nothing of root's.

Here it is decided what such a namespace looks like, from what the host is; the process that becomes the VMM makes it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from squib.errors import PermissionDeniedError, SquibError, UnavailableError, UsageError
from squib.host import command, links, nft, resolvers, user_namespace
from squib.host.links import Route
from squib.model.machine import MachineConfig, PortForward
from squib.model.namespace_network import NamespaceNetwork, WayOut, WayOutProgram
from squib.net.addresses import choose_pool, slot
from squib.net.host_plan import uplinks_of
from squib.vmm.plan import with_namespace

__all__ = ["PACKAGE", "attach", "closed_networks", "look_ahead", "missing", "name_servers"]

PACKAGE = "passt"
_TUN = Path("/dev/net/tun")


def missing() -> str:
    """Why this user's machines can have no network; empty where they can."""
    try:
        _programs()
        return user_namespace.refusal()
    except SquibError as error:
        return str(error)


def look_ahead() -> None:
    """Raises UnavailableError or PermissionDeniedError where what `attach` needs is not there, or a namespace cannot be."""
    _programs()
    why = user_namespace.refusal()
    if why:
        raise UnavailableError(f"this user cannot make a user namespace with a network: {why}", hint=user_namespace.HINT)


def attach(config: MachineConfig, forwards: tuple[PortForward, ...], *, outbound: bool) -> MachineConfig:
    """`config` with a network in a namespace of its own, which is made when it starts; `forwards` are published then.

    Raises UnavailableError (a program is missing), PermissionDeniedError, TakenError (the host routes all of squib's pools),
    UsageError (what pasta cannot publish).
    """
    program = _programs()
    _check(program, forwards)
    addresses, routes = links.addresses(), links.routes()
    pool = choose_pool(route.network for route in routes if not route.leads_out)
    closed = closed_networks(addresses, routes, uplinks_of(routes)) if outbound else ()
    network = NamespaceNetwork(slot(pool, 0), _last(pool), program, outbound, forwards, closed)
    return with_namespace(config, network, name_servers(resolvers.read(), network) if outbound else ())


def closed_networks(
    addresses: Iterable[tuple[str, IPv4Interface]], routes: Iterable[Route], uplinks: Collection[str]
) -> tuple[IPv4Network, ...]:
    """What a guest does not reach though it may go out: the host itself, and networks that the host has beside its uplinks'.

    `addresses`: each with its device. The way out is a process of the host's: to it, the host's own addresses and the networks
    of its bridges and tunnels (containers, other machines, a VPN) are as near as any other.
    """
    known = tuple(addresses)
    ours = [address.network for device, address in known if device in uplinks]
    own = {IPv4Network(address.ip) for _, address in known}
    near = {address.network for device, address in known if device not in uplinks}
    near |= {route.network for route in routes if route.device not in uplinks and not route.leads_out}
    beside = {network for network in near if not any(network.overlaps(one) for one in ours)}
    return tuple(sorted({IPv4Network("0.0.0.0/8"), *own, *beside}))


def name_servers(known: Iterable[IPv4Address], network: NamespaceNetwork) -> tuple[IPv4Address, ...]:
    """The host's, as far as the guest reaches them; where it reaches none, the one that asks the host's for it."""
    reached = tuple(one for one in known if not any(one in closed for closed in network.closed))
    return reached or (network.name_server,)


def _check(program: WayOutProgram, forwards: tuple[PortForward, ...]) -> None:
    ports = [one.host_port for one in forwards]
    twice = next((port for port in ports if ports.count(port) > 1), None)
    if twice is not None and program.kind is WayOut.PASTA:
        raise UsageError(
            f"pasta publishes port {twice} at one address only",
            hint="publish at 0.0.0.0, or at another port of the other address",
        )


def _last(pool: IPv4Network) -> IPv4Network:
    """The last /24 of a pool; the guest's own network is the first /30."""
    return IPv4Network((int(pool.broadcast_address) & ~0xFF, 24))


def _programs() -> WayOutProgram:
    nft.find()
    if not os.access(_TUN, os.R_OK | os.W_OK):
        raise PermissionDeniedError(f"this user may not open {_TUN}", hint=f"sudo setfacl -m u:$USER:rw {_TUN}")
    for kind in WayOut:
        try:
            return WayOutProgram(kind, command.find(kind, package=PACKAGE))
        except UnavailableError:
            continue
    raise UnavailableError(
        "neither pasta nor slirp4netns is installed, and a machine needs one of them to have a network in a namespace",
        hint=f"sudo apt-get install {PACKAGE}; or do without: --no-outbound, for Firecracker --network none",
    )
