"""`squib vm`: any kernel and root file-system in Firecracker, by firectl's words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from squib import __version__
from squib.app.vm import inputs, preflight, session
from squib.app.vm.jailed import JailWish
from squib.app.vm.plan import plan
from squib.cli.commands import Command
from squib.cli.escaping import json_safe
from squib.cli.narrator import say
from squib.cli.param_types import OneOf, Seconds, Whole
from squib.cli.vm_voice import VmVoice
from squib.errors import PermissionDeniedError, UsageError
from squib.host import tap, tty
from squib.model import vm_spec
from squib.model.units import MAX_VCPU_COUNT
from squib.model.vm_spec import DriveWord, TapWord, VmSpec, VsockWord
from squib.wire.firecracker import vm_json

__all__ = ["vm"]

_Word = TypeVar("_Word")
Completion = Callable[[str], list[CompletionItem]]

API_VERSION = "1.12"
"""Of Firecracker, whose specification `squib.wire.firecracker` follows."""


class _Words(click.ParamType[object]):
    """A word that one of `vm_spec`'s functions reads; `complete` offers beginnings of it."""

    def __init__(self, name: str, parse: Callable[[str], object], complete: Completion | None = None) -> None:
        self.name = name
        self._parse = parse
        self._complete = complete

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ARG002 - click's
        """As click has it."""
        return self._parse(value) if isinstance(value, str) else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's
        """As click has it."""
        return [] if self._complete is None else self._complete(incomplete)


def _file(incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _tap(incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{name}/") for name in tap.names() if name.startswith(incomplete)]


_MAX_ID = (1 << 32) - 2
"""The last user; the number after it stands for none (chown(2))."""
_MAX_NODE = 1023
"""A kernel of x86 has at most 1,024 NUMA nodes (arch/x86/Kconfig, NODES_SHIFT)."""
_CHROOT_BASE_DIR = "/srv/jailer"
"""The jailer's own default."""
_STDIN = 0
_PATH = click.Path()  # any path: completion offers files, and whether it is there is told in squib's own words
_ROOT_DRIVE = _Words("drive", vm_spec.parse_root_drive, _file)
_ADD_DRIVE = _Words("drive", vm_spec.parse_add_drive, _file)
_TAP = _Words("tap", vm_spec.parse_tap_device, _tap)
_VSOCK = _Words("vsock", vm_spec.parse_vsock_device, _file)
_MEMORY = _Words("memory", vm_spec.parse_memory)
_LEVELS = OneOf(["Error", "Warning", "Info", "Debug", "Trace", "Off"], case_sensitive=False)
_TEMPLATES = OneOf(["C3", "T2", "T2S", "T2CL", "T2A", "None"])


class _TextOption(click.Option):
    """An option whose value may be the empty text: it is not given then, as with firectl, whose users fill in variables."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> Any:
        """As click has it; `opts` are the options that were said, by their names."""
        said = {name: value for name, value in opts.items() if name != self.name}
        value = opts.get(str(self.name), "")
        if isinstance(value, list):
            value = [one for one in value if one != ""]
        return super().consume_value(ctx, said | {str(self.name): value} if value not in ("", []) else said)


_text_option = partial(click.option, cls=_TextOption)


_SECTIONS = (
    ("The machine", (
        "kernel", "kernel_opts", "initrd_path", "root_drive", "root_partition", "add_drive", "ncpus", "memory", "disable_smt",
        "cpu_template", "tap_device", "vsock_device", "metadata", "metadata_file", "mmds_version", "config",
    )),
    ("Firecracker", (
        "firecracker_binary", "vm_id", "socket_path", "firecracker_log", "vmm_log_fifo", "log_level", "metrics_fifo",
    )),
    ("Its jail", ("jailer", "exec_file", "uid", "gid", "node", "chroot_base_dir", "daemonize")),
    ("This run", ("print_config", "stdin", "stop_timeout", "debug")),
)  # fmt: skip


@click.command(cls=Command, sections=_SECTIONS, no_args_is_help=True)
@_text_option("--firecracker-binary", type=_PATH, metavar="PATH", help="Firecracker.  [default: from PATH]")
@_text_option("--kernel", type=_PATH, metavar="PATH", help="The kernel, an ELF vmlinux.  [default: ./vmlinux]")
@_text_option("--kernel-opts", metavar="LINE", help=f"The kernel's command line.  [default: {vm_spec.DEFAULT_KERNEL_OPTS}]")
@_text_option("--initrd-path", type=_PATH, metavar="PATH", help="The initrd.")
@_text_option("--root-drive", type=_ROOT_DRIVE, multiple=True, metavar="PATH[:ro|:rw]", help="The root drive, /dev/vda.")
@_text_option("--root-partition", metavar="UUID", help="The partition of the root drive to mount.")
@_text_option("--add-drive", type=_ADD_DRIVE, multiple=True, metavar="PATH:ro|rw", help="A further drive. Repeatable.")
@_text_option("--tap-device", type=_TAP, multiple=True, metavar="DEV/MAC", help="A network card on a tap. Repeatable.")
@_text_option("--vsock-device", type=_VSOCK, multiple=True, metavar="PATH:CID", help="A vsock, and its Unix socket here.")
@click.option("-c", "--ncpus", type=Whole(1, MAX_VCPU_COUNT), metavar="N", help="Processors.  [default: 1]")
@click.option("-m", "--memory", type=_MEMORY, metavar="MIB", help="Memory in MiB, or as in 1G.  [default: 512]")
@click.option("-t", "--disable-smt", "--disable-hyperthreading", is_flag=True, help="One thread a core.")
@_text_option("--cpu-template", type=_TEMPLATES, help="One of Firecracker's CPU templates.")
@_text_option("--metadata", metavar="JSON", help="What the guest can ask MMDS for: an object.")
@_text_option("--metadata-file", type=_PATH, metavar="PATH", help="The same from a file.")
@_text_option("--mmds-version", type=OneOf(["V1", "V2"]), help="V2 wants a session token.  [default: V1]")
@_text_option("-l", "--firecracker-log", type=_PATH, metavar="PATH", help="A file to append Firecracker's log to.")
@_text_option("--vmm-log-fifo", type=_PATH, metavar="PATH", help="A FIFO for the log; made where it is not there.")
@_text_option("--log-level", type=_LEVELS, help="[default: Debug into a file or FIFO, else Warning]")
@_text_option("--metrics-fifo", type=_PATH, metavar="PATH", help="A FIFO for the metrics; made where it is not there.")
@_text_option(
    "-s", "--socket-path", type=_PATH, metavar="PATH", help="The API's socket.  [default: a new one, told at the start]"
)
@_text_option("--id", "vm_id", metavar="ID", help="The machine's name to Firecracker.")
@_text_option("--config", type=_PATH, metavar="PATH", help="Firecracker's own configuration file; options here beat it.")
@click.option("--print-config", is_flag=True, help="Print that file for what would be started; start nothing.")
@_text_option(
    "--stdin",
    type=OneOf(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="What is typed goes to the guest; auto: on a terminal.",
)
@click.option(
    "--stop-timeout", type=Seconds(0), default=60, show_default=True, metavar="SECONDS", help="A guest's time to stop."
)
@_text_option("--jailer", type=_PATH, metavar="PATH", help="Start Firecracker by its jailer, as root only, and:")
@_text_option("--exec-file", type=_PATH, metavar="PATH", help="this Firecracker,")
@click.option("--uid", type=Whole(1, _MAX_ID), metavar="UID", help="as this user (must be given),")
@click.option("--gid", type=Whole(1, _MAX_ID), metavar="GID", help="as this group (default: UID),")
@click.option("--node", type=Whole(0, _MAX_NODE), metavar="N", help="on this NUMA node,")
@_text_option("--chroot-base-dir", type=_PATH, metavar="DIR", help="jailed below this folder (default: /srv/jailer),")
@click.option("--daemonize", is_flag=True, help="without showing its console.")
@click.option("-d", "--debug", is_flag=True, help="Tell each request to Firecracker.")
@click.option("--version", is_flag=True, help="Print squib's version, and that of the API it speaks.")
def vm(
    firecracker_binary: str | None, kernel: str | None, kernel_opts: str | None, initrd_path: str | None,
    root_drive: tuple[DriveWord, ...], root_partition: str | None, add_drive: tuple[DriveWord, ...],
    tap_device: tuple[TapWord, ...], vsock_device: tuple[VsockWord, ...], ncpus: int | None, memory: int | None,
    disable_smt: bool, cpu_template: str | None, metadata: str | None, metadata_file: str | None, mmds_version: str | None,
    firecracker_log: str | None, vmm_log_fifo: str | None, log_level: str | None, metrics_fifo: str | None,
    socket_path: str | None, vm_id: str | None, config: str | None, print_config: bool, stdin: str, stop_timeout: float,
    jailer: str | None, exec_file: str | None, uid: int | None, gid: int | None, node: int | None,
    chroot_base_dir: str | None, daemonize: bool, debug: bool, version: bool,
) -> int:  # fmt: skip
    """Start any kernel and root file-system in Firecracker, by firectl's words.

    The machine runs in the foreground. On a terminal what you type goes to the guest, Ctrl-C too; Ctrl-] asks the guest to
    stop, as SIGINT and SIGTERM do, and once more ends it at once. squib's exit status is 0 where the guest ended well.

    docs/vm.md tells option by option what firectl does, and what is different here.
    """
    if version:
        print(f"squib {__version__}, for Firecracker's API {API_VERSION}")
        return 0
    jail = _jail(jailer, exec_file, uid, gid, node, chroot_base_dir, daemonize=daemonize)
    if firecracker_log is not None and vmm_log_fifo is not None:
        raise UsageError("--firecracker-log and --vmm-log-fifo are two places for one log", hint="leave one of them out")
    contents = inputs.read_metadata(metadata, metadata_file)
    spec = VmSpec(
        kernel=kernel,
        kernel_opts=kernel_opts,
        initrd_path=initrd_path,
        root_drive=_only("--root-drive", root_drive),
        root_partition=root_partition,
        add_drives=add_drive,
        tap_devices=tap_device,
        vsock_device=_only("--vsock-device", vsock_device),
        log_path=firecracker_log if vmm_log_fifo is None else vmm_log_fifo,
        log_level=log_level,
        metrics_path=metrics_fifo,
        vcpu_count=ncpus,
        mem_size_mib=memory,
        smt=False if disable_smt else None,
        cpu_template=cast("Literal['C3', 'T2', 'T2S', 'T2CL', 'T2A', 'None'] | None", cpu_template),
        metadata=contents,
        mmds_version=cast("Literal['V1', 'V2'] | None", mmds_version),
    )
    machine = plan(spec, None if config is None else inputs.read_configuration(config))
    if print_config:
        for what, path in preflight.absent(machine):
            say(f"warning: the {what} {path} is not here; it must be where this machine is started")
        sys.stdout.write(json_safe(vm_json.encode(machine).decode()))
        return 0
    if config is not None:
        preflight.check_beside(machine, Path(config))
    keys = _keys(stdin)
    voice = VmVoice(raw=keys is not None, debug=debug, mute=daemonize)
    if keys is not None and tty.ours(keys):
        voice.say("what you type goes to the guest; Ctrl-] asks it to stop")
    session.run(
        session.Launch(
            program=preflight.find_firecracker(firecracker_binary if exec_file is None else exec_file),
            machine=machine,
            cpu_config=inputs.read_cpu_config(machine),
            metadata=contents,
            socket_path=socket_path,
            vm_id=vm_id,
            log_file=firecracker_log,
            fifos=tuple(path for path in (vmm_log_fifo, metrics_fifo) if path is not None),
            keys=keys,
            stop_timeout_s=stop_timeout,
            jail=jail,
        ),
        voice,
    )
    return 0


def _keys(stdin: str) -> int | None:
    """Standard input, where it goes to the guest."""
    match stdin:
        case "always":
            return _STDIN
        case "auto" if tty.ours(_STDIN):
            return _STDIN
        case _:
            return None


def _only(option: str, words: tuple[_Word, ...]) -> _Word | None:
    if len(words) > 1:
        raise UsageError(f"{option} was given {len(words)} times", hint="a machine has one; leave the others out")
    return words[0] if words else None


def _jail(
    jailer: str | None, exec_file: str | None, uid: int | None, gid: int | None, node: int | None, base: str | None,
    *, daemonize: bool,
) -> JailWish | None:  # fmt: skip
    """None without --jailer; what goes with it is refused then: whoever asks for a jail must not run without one."""
    if jailer is None:
        if daemonize or any(one is not None for one in (exec_file, uid, gid, node, base)):
            raise UsageError(
                "--exec-file, --uid, --gid, --node, --chroot-base-dir and --daemonize go with --jailer", hint="leave them out"
            )
        return None
    if uid is None:
        raise UsageError("--jailer goes with --uid", hint="name a user that nothing else runs as: --uid 10001")
    if os.geteuid() != 0:
        raise PermissionDeniedError("only root may start the jailer", hint="run it with sudo")
    where = Path(base or _CHROOT_BASE_DIR).resolve()
    return JailWish(preflight.find_program("jailer", jailer), uid, uid if gid is None else gid, where, node)
