"""The tuned kernel: the distribution's source, squib's own fragment (kernel/tuned.config), one vmlinux with everything in it.

The rule: the same source, fragment and compiler give the same bytes, whoever builds, where, and when. So a kernel is named by
the digest of these three, and built once; everything happens in a folder that is gone afterwards, however it ends.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from squib.build import apt, kernel_cache, kernel_source, kernel_tools
from squib.build.apt import Package
from squib.build.kernels import Kernel
from squib.errors import ApplianceError, HostError, SquibError, StorageError
from squib.formats import kconfig
from squib.formats.linux_image import KernelImage, read_kernel
from squib.host import command
from squib.host.files import staging, storage_errors, write_atomic
from squib.model.image import InputRecord
from squib.model.progress import Progress

__all__ = ["FRAGMENT", "BuildKey", "build", "config_path", "fragment", "plan"]

FRAGMENT = "tuned.config"

_RECIPE = 1
"""Counts up where the steps below change the bytes."""

_DEFENCES = re.compile(r"CONFIG_(MITIGATION_\w+|PAGE_TABLE_ISOLATION|RETPOLINE|RETHUNK|CPU_\w+_ENTRY|CPU_SRSO)")
"""Their names and number change with every other hole that is found: what this version has by default is taken."""

_CONFIGURE_S, _COMPILE_S = 600.0, 6 * 3600.0
_STEPS = 1690
"""Lines that the build of 6.1 prints, to measure progress by. Another version differs by some: the bar then waits or jumps."""

_STEP = re.compile(r"  [A-Z][A-Z0-9]+ +\S")


@dataclass(frozen=True, slots=True)
class BuildKey:
    """What a kernel is made of, and the name that follows from it."""

    source: Package
    inputs: tuple[InputRecord, ...]

    @property
    def name(self) -> str:
        """`tuned-` and 12 hex digits."""
        parts = [str(_RECIPE), *(f"{record.name} {record.version} {record.sha256}" for record in self.inputs)]
        return f"tuned-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"


def fragment() -> bytes:
    """The configuration that comes with squib."""
    return (resources.files("squib") / "kernel" / FRAGMENT).read_bytes()


def plan() -> BuildKey:
    """What a build would be made of now. Raises UnavailableError where the source or a tool is missing."""
    kernel_tools.require()
    source = kernel_source.find()
    inputs = (
        InputRecord(source.name, source.version, source.sha256),
        InputRecord(FRAGMENT, "", kernel_cache.sha256_hex(fragment())),
        *kernel_tools.compiler_inputs(),
    )
    return BuildKey(source, inputs)


def build(key: BuildKey, jobs: int | None, progress: Progress) -> Kernel:
    """Compiles it with `jobs` at a time (None: as many as there are processors), and keeps it. Raises SquibError."""
    with staging(kernel_cache.folder()) as folder:
        progress(f"downloading {key.source.name} {key.source.version}", None)
        deb = apt.download(key.source, folder)
        progress("unpacking the source", None)
        tree = kernel_source.unpack(deb, folder)
        progress("configuring", None)
        config = _configure(tree)
        image = _compile(tree, jobs or len(os.sched_getaffinity(0)), progress)
    write_atomic(config_path(key.name), config.encode())
    source = f"package {key.source.name} {key.source.version}, tuned"
    return kernel_cache.store(key.name, image, (), source=source, inputs=key.inputs, needs_initrd=False)


def config_path(name: str) -> Path:
    """Where the whole configuration of the kernel `name` is kept."""
    return kernel_cache.folder() / f"{name}.config"


def _configure(tree: Path) -> str:
    """The finished .config, in which every line of the fragment stands."""
    own = tree / FRAGMENT
    with storage_errors(tree):
        own.write_bytes(fragment())
    # Not tinyconfig, and then the fragment: what that makes possible would come with its default, which is often yes.
    command.run(
        ["make", "allnoconfig"], cwd=tree, env={**kernel_tools.ENVIRONMENT, "KCONFIG_ALLCONFIG": str(own)}, timeout=_CONFIGURE_S
    )
    with storage_errors(tree):
        path = tree / ".config"
        path.write_text(kconfig.without(path.read_text(encoding="utf-8"), _DEFENCES), encoding="utf-8")
    command.run(["make", "olddefconfig"], cwd=tree, env=kernel_tools.ENVIRONMENT, timeout=_CONFIGURE_S)
    with storage_errors(tree):
        text = path.read_text(encoding="utf-8")
    lost = kconfig.dropped(kconfig.parse(fragment().decode(), FRAGMENT), kconfig.parse(text, ".config"))
    if lost:
        raise ApplianceError(
            f"this kernel's source did not take {len(lost)} lines of {FRAGMENT}",
            hint="is it much older or newer than 6.1? Then say so where squib is developed",
            detail="\n".join(lost),
        )
    return text


def _compile(tree: Path, jobs: int, progress: Progress) -> KernelImage:
    steps = 0

    def follow(line: str) -> None:
        nonlocal steps
        steps += bool(_STEP.match(line))
        progress("compiling the kernel", min(steps / _STEPS, 0.99))

    try:
        command.stream(
            ["make", f"-j{jobs}", "vmlinux"], cwd=tree, env=kernel_tools.ENVIRONMENT, timeout=_COMPILE_S, on_line=follow
        )
    except HostError as error:
        raise _explain(error) from error
    progress("keeping the kernel", None)
    with storage_errors(tree):
        return read_kernel((tree / "vmlinux").read_bytes())


def _explain(error: HostError) -> SquibError:
    if "No space left" in error.detail:
        return StorageError("no space left to compile the kernel", hint="free 2 GB: df -h ~/.cache", detail=error.detail)
    if "Killed" in error.detail:
        return HostError(
            "the compiler was killed", hint="too little memory? Try fewer at a time: --jobs 1", detail=error.detail
        )
    return HostError("the kernel did not compile", hint="what make said is above", detail=error.detail)
