"""A container image as values: what `build.image` makes of a tree, and what `wire.oci` and `formats.oci` write."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from squib.model.image import InputRecord
from squib.model.reference import Reference
from squib.model.tree import RootfsTree

__all__ = ["Compression", "ContainerConfig", "ContainerImage", "Descriptor", "Layer", "PackedLayer"]


class Compression(StrEnum):
    """How layers are compressed. Docker 20.10 reads gzip only."""

    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """How an engine starts it; `ports` are TCP, `user` is numeric (`UID:GID`), `env` pairs of name and value."""

    architecture: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    ports: tuple[int, ...]
    user: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of the tree that moves by itself; `why` says what is in it."""

    name: str
    why: str
    tree: RootfsTree


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What points to a blob (OCI image-spec, descriptor.md); `digest` is `sha256:HEX`, `size` in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer as bytes: `diff_id` is the digest of its tar, which has `size` bytes; `blob` the compressed one."""

    layer: Layer
    diff_id: str
    size: int
    blob: bytes
    descriptor: Descriptor


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """All of an image; `created` in seconds since 1970, `config_json` and `manifest_json` the bytes that are digested.

    `closed`: it holds a file that is not for other users to read.
    """

    reference: Reference
    created: int
    config: ContainerConfig
    layers: tuple[PackedLayer, ...]
    config_json: bytes
    config_descriptor: Descriptor
    manifest_json: bytes
    descriptor: Descriptor
    inputs: tuple[InputRecord, ...]
    closed: bool = False

    @property
    def compressed_size(self) -> int:
        """Bytes that a registry sends for it: the layers."""
        return sum(layer.descriptor.size for layer in self.layers)
