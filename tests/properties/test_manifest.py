"""manifest.json: decode∘encode is the identity, and no other bytes are taken without a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import ApplianceError
from squib.model.appliance import (
    Appliance,
    BudgetSettings,
    HealthSettings,
    ImageSettings,
    Key,
    KeyType,
    MachineSettings,
    NetworkSettings,
    RestartPolicy,
    RestartSettings,
)
from squib.model.image import FileRecord, InputRecord, KernelRecord, Manifest
from squib.wire.manifest import decode, encode

FOLDER = Path("/srv/artifact")
word = st.text(st.characters(codec="utf-8"), max_size=12)
whole = st.integers(min_value=-(2**63), max_value=2**63 - 1)

appliances = st.builds(
    Appliance,
    name=word,
    serve=word,
    folder=st.just(FOLDER),
    summary=word,
    keys=st.lists(
        st.builds(Key, name=word, type=st.sampled_from(KeyType), default=st.one_of(whole, word, st.booleans()), doc=word),
        max_size=3,
    ).map(tuple),
    machine=st.builds(MachineSettings, whole, whole),
    network=st.builds(NetworkSettings, st.lists(whole, max_size=3).map(tuple), st.booleans()),
    image=st.builds(ImageSettings, st.lists(word, max_size=3).map(tuple), st.lists(word, max_size=3).map(tuple)),
    restart=st.builds(RestartSettings, st.sampled_from(RestartPolicy), whole),
    budget=st.builds(BudgetSettings, st.none() | whole, st.none() | whole, st.none() | whole),
    health=st.none() | st.builds(HealthSettings, word, whole, whole, whole, whole),
)
manifests = st.builds(
    Manifest,
    squib=word,
    abi=whole,
    appliance=appliances,
    kernel=st.builds(KernelRecord, word, word, whole),
    files=st.lists(st.builds(FileRecord, word, whole, word), max_size=3).map(tuple),
    inputs=st.lists(st.builds(InputRecord, word, word, word), max_size=3).map(tuple),
)


@given(manifests)
def test_decode_undoes_encode(manifest: Manifest) -> None:
    assert decode(encode(manifest), FOLDER) == manifest


@given(manifests, st.data())
def test_a_cut_manifest_is_refused(manifest: Manifest, data: st.DataObject) -> None:
    whole_bytes = encode(manifest)
    cut = data.draw(st.integers(0, len(whole_bytes) - 3))
    with pytest.raises(ApplianceError, match=r"manifest\.json"):
        decode(whole_bytes[:cut], FOLDER)


@given(st.binary())
def test_any_bytes_give_a_clear_error(data: bytes) -> None:
    with pytest.raises(ApplianceError):
        decode(data, FOLDER)
