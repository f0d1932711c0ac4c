"""A machine of `squib vm` in a jail of Firecracker's jailer, by firectl's words: filled, told of, and removed again.

The user, the group and the folder are whoever's who asks: unlike in the jails of `squib run`, nothing is leased. The network is
the host's, because the taps are there already.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from squib.errors import TakenError, UsageError
from squib.host import cgroups
from squib.host.afterwards import if_we_are_killed
from squib.host.files import storage_errors, working_folder
from squib.host.process import Handle, working_in
from squib.model.jail import Jail
from squib.vmm.firecracker import jail as jails
from squib.vmm.firecracker import jail_plan
from squib.wire.firecracker.resources import FullVmConfiguration

__all__ = ["API_SOCKET", "Cell", "JailWish", "cell"]

API_SOCKET = "api.sock"
PARENT_CGROUP = "squib-vm"
"""Not that of the machines in the store: an id here is whoever's who asks."""

_NODES = Path("/sys/devices/system/node")


@dataclass(frozen=True, slots=True)
class JailWish:
    """As firectl's options have it; `base`, an absolute path, is the folder below which the jailer makes its own."""

    jailer: Path
    uid: int
    gid: int
    base: Path
    node: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A jail that is filled: the machine in its names, its root, and the jailer's line but for Firecracker's own arguments."""

    machine: FullVmConfiguration
    root: Path
    program: Path
    jail: Jail
    wish: JailWish

    def line(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """The command line that becomes Firecracker with `arguments`, which have no `--id`."""
        return jail_plan.argv(
            self.jail, arguments, jailer=self.wish.jailer, program=self.program, base=self.wish.base, netns=None
        )

    def seal(self) -> None:
        """Before the guest runs."""
        jails.seal(self.root)


@contextlib.contextmanager
def cell(
    wish: JailWish,
    machine: FullVmConfiguration,
    program: Path,
    vm_id: str | None,
    *,
    scratch: Path,
    made: Mapping[str, int],
) -> Iterator[Cell]:
    """A jail for `machine`; at the end, also where this process is killed, what is in it is ended, and it and `scratch` go.

    `made`: the files that squib made for it, and the descriptors by which it holds them. Raises TakenError (there is one by
    that id, or another file where squib made one), UsageError, HostError and its like.
    """
    jail = Jail(vm_id or secrets.token_hex(6), wish.uid, wish.gid, _node_limits(wish.node), PARENT_CGROUP)
    root = jail_plan.root(wish.base, program, jail.id)
    within, files = jail_plan.inside(machine)
    if jail.limits and cgroups.exists(PARENT_CGROUP, jail.id):
        raise TakenError(f"there is a cgroup {PARENT_CGROUP}/{jail.id} already", hint="choose another --id")
    mark = secrets.token_hex(8)  # of what is ours: whoever is killed may not have come as far as that

    def clear() -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(jails.staged_for(root, mark), ignore_errors=True)
        if (root.parent / mark).exists():
            _clear(root, jail, scratch)
        with contextlib.suppress(OSError):  # others are there; or it was not made yet
            root.parent.parent.rmdir()

    with if_we_are_killed(clear), contextlib.ExitStack() as stack:
        stack.callback(clear)
        jails.make(root, mark)
        jails.fill(root, files, jail, folder=working_folder(), program=program, made=made)
        yield Cell(within, root, program, jail, wish)


def _node_limits(node: int | None) -> tuple[tuple[str, str], ...]:
    """The processors and the memory of one NUMA node (cgroup-v2.rst, cpuset)."""
    if node is None:
        return ()
    try:
        cpus = (_NODES / f"node{node}/cpulist").read_text(encoding="ascii").strip()
    except OSError as error:
        raise UsageError(f"this host has no NUMA node {node}", hint=f"ls {_NODES}") from error
    cgroups.check("leave --node out")
    return (("cpuset.mems", str(node)), ("cpuset.cpus", cpus))


def _clear(root: Path, jail: Jail, scratch: Path) -> None:
    folders = (root.parent, root)
    while there := [one for folder in folders if folder.is_dir() for one in working_in(folder, said_in=scratch)]:
        for identity in there:  # a jailer, or what it became
            process = Handle.open(identity)
            if process is not None:
                with process:
                    process.kill()
    if jail.limits:
        cgroups.remove(PARENT_CGROUP, jail.id)
        cgroups.remove_parent(PARENT_CGROUP)
    with storage_errors(root.parent):
        if root.parent.is_dir():
            shutil.rmtree(root.parent)
