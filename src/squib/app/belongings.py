"""What a machine has on the host besides process, ports and folder: a network, a jail. All of it goes with the machine."""

from __future__ import annotations

from dataclasses import dataclass

from squib.app.jailing import Jails
from squib.app.networking import HostNetworks
from squib.store import Store

__all__ = ["Belongings"]


@dataclass(frozen=True, slots=True)
class Belongings:
    """Those of the machines in `store`."""

    store: Store

    @property
    def networks(self) -> HostNetworks:
        """Their networks on the host."""
        return HostNetworks(self.store)

    @property
    def jails(self) -> Jails:
        """Their jails."""
        return Jails(self.store)

    def tidy(self) -> None:
        """Takes back what machines had that are over or gone. Raises SquibError where something stays."""
        self.jails.tidy()
        self.networks.tidy()
