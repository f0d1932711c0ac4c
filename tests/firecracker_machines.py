"""Hypothesis strategies of Firecracker's configurations."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from squib.wire.firecracker.resources import (
    Balloon,
    BootSource,
    Drive,
    EntropyDevice,
    FullVmConfiguration,
    Logger,
    MachineConfiguration,
    Metrics,
    MmdsConfig,
    NetworkInterface,
    RateLimiter,
    TokenBucket,
    Vsock,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = st.from_regex(r"\A[A-Za-z0-9_]{1,6}\Z") | TEXT
COUNTS = st.integers(0, (1 << 63) - 1)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


BUCKETS = st.builds(TokenBucket, COUNTS, COUNTS, maybe(COUNTS))
LIMITERS = st.builds(RateLimiter, maybe(BUCKETS), maybe(BUCKETS))
DRIVES = st.builds(
    Drive, IDS, st.booleans(), maybe(TEXT), st.sampled_from(["Unsafe", "Writeback"]), maybe(st.booleans()), maybe(TEXT),
    maybe(LIMITERS), maybe(st.sampled_from(["Sync", "Async"])), maybe(TEXT),
)  # fmt: skip
MACS = st.from_regex(r"\A[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")
INTERFACES = st.builds(NetworkInterface, IDS, TEXT, maybe(MACS), maybe(LIMITERS), maybe(LIMITERS))
MACHINES = st.builds(
    FullVmConfiguration,
    st.builds(BootSource, TEXT, maybe(TEXT), maybe(TEXT)),
    st.lists(DRIVES, max_size=3).map(tuple),
    maybe(st.builds(MachineConfiguration, st.integers(1, 32), st.integers(1, 1 << 40), st.booleans(), maybe(st.just("T2")))),
    maybe(TEXT),
    st.lists(INTERFACES, max_size=3).map(tuple),
    maybe(st.builds(Vsock, st.integers(3, (1 << 32) - 1), TEXT)),
    maybe(st.builds(Balloon, st.integers(0, 9), st.booleans(), st.integers(0, 9))),
    maybe(st.builds(EntropyDevice, maybe(LIMITERS))),
    maybe(st.builds(MmdsConfig, st.lists(IDS, max_size=2).map(tuple), st.sampled_from(["V1", "V2"]))),
    maybe(st.builds(Logger, maybe(TEXT), maybe(st.sampled_from(["Error", "debug"])), maybe(st.booleans()))),
    maybe(st.builds(Metrics, TEXT)),
)
