"""A container image, from a tree to its bytes: golden JSON, layers that move alone, and nothing of the building machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from squib.build.image import archive, container_config, container_port, pack, split
from squib.formats import oci
from squib.model.appliance import Appliance, Key, KeyType, NetworkSettings
from squib.model.container import Compression, ContainerImage
from squib.model.reference import parse_reference
from squib.model.tree import Directory, File, RootfsTree
from squib.wire import oci as wire
from support import golden

REFERENCE = parse_reference("example/clock")


def tree(app: bytes = b"app") -> RootfsTree:
    return RootfsTree.of(
        [
            File("/usr/bin/python3", b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0", 0o755),
            File("/usr/lib/python3.11/os.pyc", b"os"),
            File("/usr/lib/squib/squib/guest/server.pyc", b"server"),
            File("/bin/server", b"#!", 0o755),
            File("/etc/passwd", b"root"),
            File("/etc/squib/appliance", b"spec"),
            File("/app/shop.pyc", app),
            Directory("/tmp", 0o1777),
        ]
    )


def appliance(default: int | None = 80, ports: tuple[int, ...] = (80,)) -> Appliance:
    keys = () if default is None else (Key("port", KeyType.PORT, default, ""),)
    return Appliance("clock", "shop:answer", Path("/"), summary="tells the time", keys=keys, network=NetworkSettings(ports))


def image(app: bytes = b"app", created: int = 0, compression: Compression = Compression.GZIP) -> ContainerImage:
    config = container_config(appliance(), "amd64")
    packed = tuple(pack(layer, compression) for layer in split(tree(app)))
    config_json = wire.config_json(config, created, packed)
    described = oci.describe(config_json, wire.CONFIG_TYPE)
    manifest = wire.manifest_json(config, described, packed)
    whole = oci.describe(manifest, wire.MANIFEST_TYPE)
    return ContainerImage(REFERENCE, created, config, packed, config_json, described, manifest, whole, ())


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def test_the_json_is_canonical_and_as_ever(update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of compressed layers are zlib's to choose, so they are taken out."""
    monkeypatch.setattr("squib.build.image.__version__", "1.2.3")
    made = image()
    found = members(archive(made))
    texts = {"config": made.config_json, "manifest": made.manifest_json}
    texts |= {name: found[name] for name in ("index.json", "oci-layout", "manifest.json")}
    shown = []
    for name, data in texts.items():
        value = json.loads(data)
        assert data == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        text = f"{name}:\n{json.dumps(value, indent=2)}\n"
        for packed in made.layers:
            text = text.replace(packed.descriptor.digest[7:], f"<{packed.layer.name}>")
            text = text.replace(f'"size": {packed.descriptor.size}\n', '"size": "<size>"\n')
        shown.append(
            text.replace(made.descriptor.digest[7:], "<manifest>").replace(
                f'"size": {made.descriptor.size}', '"size": "<size>"'
            )
        )
    golden("oci-image.txt", "\n".join(shown), update=update_golden)


def test_every_blob_is_named_by_its_digest_and_every_pointer_leads_to_one() -> None:
    found = members(archive(image()))
    blobs = {name.rpartition("/")[2]: data for name, data in found.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    (entry,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(blobs[entry["digest"][7:]])
    for pointer in (entry, manifest["config"], *manifest["layers"]):
        assert len(blobs[pointer["digest"][7:]]) == pointer["size"]
    (docker,) = json.loads(found["manifest.json"])
    assert docker["Config"] in found
    assert docker["RepoTags"] == ["example/clock:latest"]
    assert [found[path] for path in docker["Layers"]] == [blobs[layer["digest"][7:]] for layer in manifest["layers"]]
    diff_ids = json.loads(found[docker["Config"]])["rootfs"]["diff_ids"]
    assert diff_ids == [f"sha256:{hashlib.sha256(gzip.decompress(found[path])).hexdigest()}" for path in docker["Layers"]]


def test_layers_hold_each_entry_once_and_modes_of_folders_everywhere() -> None:
    layers = split(tree())
    files = [entry.path for layer in layers for entry in layer.tree.entries if isinstance(entry, File)]
    assert sorted(files) == sorted(entry.path for entry in tree().entries if isinstance(entry, File))
    assert [layer.name for layer in layers] == ["interpreter", "packages", "app"]
    whole = {entry.path: entry for entry in tree().entries}
    assert all(whole[entry.path] == entry for layer in layers for entry in layer.tree.entries)
    assert {entry.path for layer in layers for entry in layer.tree.entries} == set(whole)


def test_a_change_of_the_app_moves_one_small_layer() -> None:
    before, after = image(b"one"), image(b"two")
    moved = [one.layer.name for one, other in zip(before.layers, after.layers, strict=True) if one.diff_id != other.diff_id]
    assert moved == ["app"]
    assert before.descriptor != after.descriptor


def test_the_time_is_told_where_it_was_asked_for_and_moves_no_layer() -> None:
    old, new = image(), image(created=1_700_000_000)
    assert json.loads(new.config_json)["created"] == "2023-11-14T22:13:20Z"
    assert old.layers == new.layers
    assert archive(old) == archive(image())
    for packed in new.layers:
        assert packed.blob[:8] == b"\x1f\x8b\x08\0\0\0\0\0"  # gzip, no name, no time


def test_zstd_is_the_same_tar() -> None:
    gzipped, zstd = image(), image(compression=Compression.ZSTD)
    assert [packed.diff_id for packed in gzipped.layers] == [packed.diff_id for packed in zstd.layers]
    for packed in zstd.layers:
        assert packed.descriptor.media_type.endswith("tar+zstd")
        assert oci.digest(zstandard.ZstdDecompressor().decompress(packed.blob)) == packed.diff_id


@pytest.mark.parametrize(
    ("default", "ports", "port", "exposed"),
    [
        (80, (80,), 8080, (8080,)),
        (None, (80,), 8080, (8080,)),
        (443, (443, 9000), 8080, (8080, 9000)),
        (8000, (8000,), 8000, (8000,)),
    ],
)
def test_a_container_s_port_is_one_that_any_user_may_have(
    default: int | None, ports: tuple[int, ...], port: int, exposed: tuple[int, ...]
) -> None:
    chosen = appliance(default, ports)
    config = container_config(chosen, "amd64")
    assert container_port(chosen) == port
    assert config.ports == exposed
    assert config.cmd == ("--port", str(port))
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert config.env == (
        ("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("PATH", path), ("TZ", "UTC"), ("SQUIB_PORT", str(port)),
    )  # fmt: skip
