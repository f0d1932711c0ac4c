"""The JSON of container images, with its own names: OCI image-spec 1.0 (config.md, manifest.md, image-index.md), and the
manifest.json of `docker save`.

Canonical: keys sorted, no white space, what is empty is left out. Equal values are equal bytes, and so equal digests.
"""  # noqa: D205 - one sentence

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from squib.model.container import Compression, ContainerConfig, Descriptor, PackedLayer
from squib.model.reference import Reference

__all__ = [
    "CONFIG_TYPE",
    "LAYER_TYPES",
    "MANIFEST_TYPE",
    "config_json",
    "docker_json",
    "index_digest",
    "index_json",
    "layout_json",
    "manifest_json",
]

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPES = {
    Compression.GZIP: "application/vnd.oci.image.layer.v1.tar+gzip",
    Compression.ZSTD: "application/vnd.oci.image.layer.v1.tar+zstd",
}
_OS = "linux"
_CREATED_BY = "squib image"


class _Execution(msgspec.Struct, frozen=True, omit_defaults=True):
    """`config` of config.md: what a container gets unless told otherwise."""

    User: str
    Entrypoint: tuple[str, ...]
    Cmd: tuple[str, ...]
    WorkingDir: str
    StopSignal: str
    ExposedPorts: dict[str, dict[str, str]] = {}
    Env: tuple[str, ...] = ()
    Labels: dict[str, str] = {}


class _History(msgspec.Struct, frozen=True):
    created: str
    created_by: str
    comment: str


class _Rootfs(msgspec.Struct, frozen=True):
    type: str
    diff_ids: tuple[str, ...]


class _Config(msgspec.Struct, frozen=True):
    created: str
    architecture: str
    os: str
    config: _Execution
    rootfs: _Rootfs
    history: tuple[_History, ...]


class _Platform(msgspec.Struct, frozen=True):
    architecture: str
    os: str


class _Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    platform: _Platform | None = None


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str
    config: _Descriptor
    layers: tuple[_Descriptor, ...]
    annotations: dict[str, str]


class _Index(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str
    manifests: tuple[_Descriptor, ...]


class _DockerImage(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]


def config_json(config: ContainerConfig, created: int, layers: Sequence[PackedLayer]) -> bytes:
    """The image configuration."""
    time = _time(created)
    return _canonical(
        _Config(
            created=time,
            architecture=config.architecture,
            os=_OS,
            config=_Execution(
                User=config.user,
                Entrypoint=config.entrypoint,
                Cmd=config.cmd,
                WorkingDir="/",
                StopSignal="SIGTERM",
                ExposedPorts={f"{port}/tcp": {} for port in config.ports},
                Env=tuple(f"{name}={value}" for name, value in config.env),
                Labels=dict(config.labels),
            ),
            rootfs=_Rootfs("layers", tuple(layer.diff_id for layer in layers)),
            history=tuple(_History(time, _CREATED_BY, f"{layer.layer.name}: {layer.layer.why}") for layer in layers),
        )
    )


def manifest_json(config: ContainerConfig, descriptor: Descriptor, layers: Sequence[PackedLayer]) -> bytes:
    """The image manifest; the labels are its annotations as well, where registries look."""
    blobs = tuple(_descriptor(layer.descriptor) for layer in layers)
    return _canonical(_Manifest(2, MANIFEST_TYPE, _descriptor(descriptor), blobs, dict(config.labels)))


def index_json(manifest: Descriptor, reference: Reference, architecture: str) -> bytes:
    """index.json of an OCI layout with one image."""
    # The tag is OCI's (annotations.md); the full name is how containerd, docker and podman name what they load.
    names = {"org.opencontainers.image.ref.name": reference.tag, "io.containerd.image.name": reference.full}
    entry = _Descriptor(manifest.media_type, manifest.digest, manifest.size, names, _Platform(architecture, _OS))
    return _canonical(_Index(2, _INDEX_TYPE, (entry,)))


def index_digest(data: bytes) -> str:
    """The digest of the one image that an index.json as above leads to. Raises ValueError."""
    try:
        (entry,) = msgspec.json.decode(data, type=_Index).manifests
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"index.json: {error}") from error
    return entry.digest


def layout_json() -> bytes:
    """The file oci-layout."""
    return _canonical({"imageLayoutVersion": "1.0.0"})


def docker_json(config: str, layers: Sequence[str], reference: Reference) -> bytes:
    """manifest.json of a `docker load` archive; `config` and `layers` are paths in it."""
    return _canonical((_DockerImage(config, (reference.familiar,), tuple(layers)),))


def _descriptor(value: Descriptor) -> _Descriptor:
    return _Descriptor(value.media_type, value.digest, value.size)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")
