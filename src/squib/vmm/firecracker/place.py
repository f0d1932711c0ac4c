"""Where a Firecracker is started: in the machine's folder as it is, in namespaces of a plain user's, or in a jail there.

A jailed one whose taps are all still to be made gets an empty network namespace. The taps are made in there, Firecracker opens
them there, and only then are they moved to the host's network: so it has its taps and no network, whatever becomes of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from squib.errors import UnavailableError
from squib.host import links, netns, ports
from squib.host.files import storage_errors
from squib.host.held import hold
from squib.host.process import Handle
from squib.model.jail import Jail
from squib.model.machine import MachineConfig
from squib.model.network import HostEnd, Tap
from squib.vmm.firecracker import configuration as plan
from squib.vmm.firecracker import jail as jails
from squib.vmm.firecracker import jail_plan
from squib.vmm.firecracker.configuration import API_SOCKET, LOG, METRICS
from squib.vmm.handover import by_descriptor
from squib.vmm.namespace import entered
from squib.vmm.run_dir import JAIL, jail_root
from squib.wire.firecracker.requests import Request

__all__ = ["Place", "Programs", "api_socket", "place"]


@dataclass(frozen=True, slots=True)
class Programs:
    """`jailer` is None where there is none."""

    firecracker: Path
    jailer: Path | None


@dataclass(frozen=True, slots=True)
class Place:
    """`line` is to be run in the run folder with these descriptors (`stdin` None: nothing to read); `socket` is then its API's.

    `settled` is to be called with its process before it is asked for anything; `wanted` is what it is asked for, and
    `before_guest` is to be done before the last of that.
    """

    line: tuple[str, ...]
    wanted: tuple[Request, ...]
    socket: Path
    stdin: int | None = None
    pass_fds: tuple[int, ...] = ()
    settled: Callable[[Handle], None] = lambda _: None
    before_guest: Callable[[], None] = lambda: None


def api_socket(run_dir: Path) -> Path:
    """The API's socket of the machine in a run folder."""
    root = jail_root(run_dir)
    return (run_dir if root is None else root) / API_SOCKET


@contextlib.contextmanager
def place(config: MachineConfig, run_dir: Path, programs: Programs) -> Iterator[Place]:
    """The place for `config`. Raises TakenError (a port, a tap), UnavailableError, HostError, StorageError and its like."""
    config, inherited = by_descriptor(config)
    for path in (config.log.path or run_dir / LOG, config.metrics or run_dir / METRICS):
        _touch(path)  # Firecracker opens both, and makes neither
    with ExitStack() as stack:
        held = [stack.enter_context(ports.hold(one.host_address, one.host_port)) for one in config.held_ports]
        if config.jail is None:
            _make_taps(config)
            line = plan.argv(config, program=programs.firecracker)
            if config.namespace is not None:
                entry = stack.enter_context(entered(config.namespace, line, run_dir))
                wanted, socket = plan.requests(config), run_dir / API_SOCKET
                yield Place(entry.line, wanted, socket, pass_fds=(entry.report, *inherited), settled=entry.settled)
                return
            descriptors = tuple(one.fileno() for one in held)
            yield Place(line, plan.requests(config), run_dir / API_SOCKET, pass_fds=(*descriptors, *inherited))
            return
        # The jailer closes what it is not told of, and nothing can be told to it.
        keeper = stack.enter_context(ports.keeper(held, run_dir)) if held else None
        with _jailed(config, config.jail, run_dir, programs, None if keeper is None else keeper.fileno()) as jailed:
            yield jailed


@contextlib.contextmanager
def _jailed(config: MachineConfig, jail: Jail, run_dir: Path, programs: Programs, stdin: int | None) -> Iterator[Place]:
    if programs.jailer is None:
        raise UnavailableError(
            f"there is no jailer beside {programs.firecracker}", hint="squib fetch firecracker; or run it with --no-jailer"
        )
    within, files = jail_plan.inside(plan.configuration(config))
    root = jail_plan.root(run_dir / JAIL, programs.firecracker, jail.id)
    carried = (*files, jail_plan.Carried(LOG, LOG, written=True))
    jails.make(root, "made")
    with ExitStack() as stack:
        made = {one.source: stack.enter_context(_held(run_dir / one.source)) for one in carried if one.source in {LOG, METRICS}}
        jails.fill(root, carried, jail, folder=run_dir, program=programs.firecracker, made=made)
        taps = _taps_to_make(config)
        alone = len(taps) == len(config.interfaces)
        namespace = stack.enter_context(netns.empty()) if alone else None
        if namespace is None:
            _make_taps(config, owner=jail.uid)
        else:
            netns.inside(namespace, lambda: _make_bare(taps, jail.uid))

        def before_guest() -> None:
            for name, end in taps.items():
                if namespace is not None:
                    links.bring_tap(name, namespace, end.address, from_loopback=end.from_loopback)
            jails.seal(root)

        line = jail_plan.argv(
            jail,
            plan.arguments(config),
            jailer=programs.jailer,
            program=programs.firecracker,
            base=run_dir / JAIL,
            netns=None if namespace is None else f"/proc/{os.getpid()}/fd/{namespace}",
        )
        yield Place(line, plan.requests_for(within, config), root / API_SOCKET, stdin=stdin, before_guest=before_guest)


def _make_bare(names: Iterable[str], owner: int) -> None:
    for name in names:
        links.make_tap(name, owner=owner)


def _taps_to_make(config: MachineConfig) -> dict[str, HostEnd]:
    taps = (one for one in config.interfaces if isinstance(one, Tap))
    return {one.host_dev_name: one.to_make for one in taps if one.to_make is not None}


def _make_taps(config: MachineConfig, owner: int | None = None) -> None:
    for name, end in _taps_to_make(config).items():
        links.add_tap(name, end.address, owner=owner, from_loopback=end.from_loopback)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[int]:
    with ExitStack() as stack:
        with storage_errors(path):
            held = stack.enter_context(hold(path))
        yield held


def _touch(path: Path) -> None:
    with storage_errors(path):
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
