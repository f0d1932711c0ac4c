"""An appliance as a cluster runs it: what `app.deploying` plans and `wire.kubernetes` writes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Check", "Workload"]


@dataclass(frozen=True, slots=True)
class Check:
    """An HTTP GET of `path`, in whole seconds; `failures` bad ones in a row count, `start_s` is how long the start may take."""

    path: str
    interval_s: int
    timeout_s: int
    failures: int
    start_s: int


@dataclass(frozen=True, slots=True)
class Workload:
    """`image` is a reference, best with a digest; `env` pairs of name and value; `user` the number that it runs as.

    Empty `namespace`: the one that kubectl is in; empty `runtime_class`: the cluster's default.
    """

    name: str
    image: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    port: int
    service_port: int
    user: int
    replicas: int
    cpu_count: int
    mem_size_mib: int
    check: Check
    namespace: str = ""
    runtime_class: str = ""
