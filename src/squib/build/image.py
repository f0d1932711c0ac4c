"""A container image of an appliance: its tree cut into layers, packed, and described. Nothing is written but the cache.

The rule: a layer holds what changes together, the rarest first, so that after a change of the app only a small one moves.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from squib import __version__
from squib.build import interpreter, rootfs
from squib.build.cache import Cache
from squib.build.include import tell_left_out
from squib.build.module_finder import APP, PACKAGES
from squib.errors import UnavailableError
from squib.formats import elf, oci, tar
from squib.host.files import cache_home
from squib.model.appliance import Appliance
from squib.model.container import Compression, ContainerConfig, ContainerImage, Layer, PackedLayer
from squib.model.image import Target
from squib.model.progress import Progress
from squib.model.reference import Reference
from squib.model.tree import Entry, File, RootfsTree
from squib.wire import oci as wire

__all__ = ["SERVER", "ImageOptions", "archive", "container_config", "container_port", "plan_image", "split"]

SERVER = "/bin/server"
_PORT = 8080
"""Where an appliance listens in a container if its own default is a port that only root may have."""

_ENVIRONMENT = (
    ("HOME", "/tmp"),  # noqa: S108 - in the image
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TZ", "UTC"),
)
_FIRST_FREE_PORT = 1024
_IMPLIED_PORT = 80
"""The port that a server has where the appliance has no such key (squib.guest.options)."""

_PYTHON = "/usr/bin/python3"
_LAYERS = (
    ("interpreter", "Python, its library, and the system's libraries"),
    ("packages", "squib's server and installed packages"),
    ("app", "the appliance's own files"),
)


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """`created` in seconds since 1970."""

    reference: Reference
    created: int = 0
    compression: Compression = Compression.GZIP


def plan_image(appliance: Appliance, options: ImageOptions, report: Progress) -> ContainerImage:
    """The whole image in memory. Raises SquibError."""
    report("reading Python and the appliance", None)
    multiarch = str(getattr(sys.implementation, "_multiarch", ""))
    bytecode = Cache(cache_home() / "bytecode")
    root = rootfs.plan(appliance, interpreter.running(), bytecode, multiarch, Target.CONTAINER)
    tell_left_out(root.left_out, report)
    layers = split(root.tree)
    report("packing the layers", None)
    packed = tuple(pack(layer, options.compression) for layer in layers)
    config = container_config(appliance, _architecture(root.tree))
    config_json = wire.config_json(config, options.created, packed)
    config_descriptor = oci.describe(config_json, wire.CONFIG_TYPE)
    manifest_json = wire.manifest_json(config, config_descriptor, packed)
    return ContainerImage(
        reference=options.reference,
        created=options.created,
        config=config,
        layers=packed,
        config_json=config_json,
        config_descriptor=config_descriptor,
        manifest_json=manifest_json,
        descriptor=oci.describe(manifest_json, wire.MANIFEST_TYPE),
        inputs=root.inputs,
        closed=root.closed,
    )


def split(tree: RootfsTree) -> tuple[Layer, ...]:
    """The layers of `tree`, which together hold each of its entries once, and in each the folders above them."""
    parts: dict[str, list[Entry]] = {name: [] for name, _ in _LAYERS}
    for entry in tree.entries:
        parts[_layer_of(entry.path)].append(entry)
    return tuple(Layer(name, why, _with_folders(parts[name], tree)) for name, why in _LAYERS)


def _layer_of(path: str) -> str:
    if path == APP or path.startswith((f"{APP}/", "/etc/squib")):
        return "app"
    return "packages" if path == SERVER or path.startswith(PACKAGES) else "interpreter"


def _with_folders(entries: list[Entry], tree: RootfsTree) -> RootfsTree:
    """Folders above come with the mode that they have in `tree`, since a later layer's folder wins."""
    whole = {entry.path: entry for entry in tree.entries}
    wanted = {entry.path for entry in RootfsTree.of(entries).entries}
    return RootfsTree.of(whole[path] for path in wanted)


def pack(layer: Layer, compression: Compression) -> PackedLayer:
    """The layer as a compressed tar."""
    data = tar.pack(layer.tree)
    blob = oci.compress(data, compression)
    return PackedLayer(layer, oci.digest(data), len(data), blob, oci.describe(blob, wire.LAYER_TYPES[compression]))


def container_port(appliance: Appliance) -> int:
    """Where the server listens unless told otherwise: the key's default where any user may have that port, else 8080."""
    own = _own_port(appliance)
    return own if own >= _FIRST_FREE_PORT else _PORT


def _own_port(appliance: Appliance) -> int:
    return next((int(key.default) for key in appliance.keys if key.name == "port"), _IMPLIED_PORT)


def container_config(appliance: Appliance, architecture: str) -> ContainerConfig:
    """How engines start it."""
    port = container_port(appliance)
    others = {other for other in appliance.network.ports if other != _own_port(appliance)}
    labels = {
        "org.opencontainers.image.title": appliance.name,
        "org.opencontainers.image.description": appliance.summary,
        "squib.version": __version__,
    }
    return ContainerConfig(
        architecture=architecture,
        entrypoint=(SERVER,),
        cmd=("--port", str(port)),
        # As PID 1 sets them in a machine (squib.guest.environment). The port: for whoever gives arguments, which replace `cmd`.
        env=(*_ENVIRONMENT, ("SQUIB_PORT", str(port))),
        ports=tuple(sorted({port, *others})),
        user=f"{rootfs.SERVER_ID}:{rootfs.SERVER_ID}",
        labels=tuple((name, value) for name, value in sorted(labels.items()) if value),
    )


def archive(image: ContainerImage) -> bytes:
    """The image as one file: OCI layout and `docker load` archive."""
    return oci.archive(
        [layer.blob for layer in image.layers] + [image.config_json, image.manifest_json],
        index=wire.index_json(image.descriptor, image.reference, image.config.architecture),
        layout=wire.layout_json(),
        docker=wire.docker_json(
            oci.blob_path(image.config_descriptor.digest),
            [oci.blob_path(layer.descriptor.digest) for layer in image.layers],
            image.reference,
        ),
    )


def _architecture(tree: RootfsTree) -> str:
    """As Go calls it, which OCI follows."""
    binary = next(entry.data for entry in tree.entries if isinstance(entry, File) and entry.path == _PYTHON)
    name = elf.go_architecture(binary)
    if not name:
        raise UnavailableError("this Python's processor is none that squib knows", hint="build on x86-64 or 64-bit ARM")
    return name
