"""What a run asks for: --publish and the values of keys, right and wrong."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import UsageError
from squib.model.appliance import Appliance, Key, KeyType
from squib.model.keys import key_values
from squib.model.run import Publish, parse_publish
from squib.model.units import format_bytes, parse_mem_size_mib

APPLIANCE = Appliance(
    "shop",
    "shop:answer",
    Path("/srv/shop"),
    keys=(
        Key("count", KeyType.INT, 1, ""),
        Key("fast", KeyType.BOOL, False, ""),
        Key("greeting", KeyType.STRING, "hello", ""),
    ),
)


@pytest.mark.parametrize(
    ("text", "address", "host", "guest"),
    [
        ("8080:80", "127.0.0.1", 8080, 80),
        ("0:80", "127.0.0.1", 0, 80),
        ("0.0.0.0:8080:80", "0.0.0.0", 8080, 80),
        ("[::1]:8080:80", "::1", 8080, 80),
    ],
)
def test_publish(text: str, address: str, host: int, guest: int) -> None:
    assert parse_publish(text) == Publish(ip_address(address), host, guest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        "8080",
        ":80",
        "a:80",
        "8080:0",
        "8080:70000",
        "70000:80",
        "::1:8080:80",
        "1.2.3:8080:80",
        "1:2:3:4",
        "8080:80 ",
    ],
)
def test_publish_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_publish(text)
    assert "8080:80" in caught.value.hint


@given(st.text())
def test_publish_never_fails_otherwise(text: str) -> None:
    try:
        parse_publish(text)
    except UsageError as error:
        assert error.hint


def test_key_values() -> None:
    pairs = [("count", "-3"), ("fast", "true"), ("greeting", "hello world"), ("port", "8080"), ("logs", "debug")]
    assert key_values(APPLIANCE, pairs) == dict(pairs)


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("count", "three")], "option --count: expected a whole number, got 'three'"),
        ([("count", "")], "expected a whole number"),
        ([("fast", "yes")], "expected true or false"),
        ([("greeting", "a\nb")], "expected one line of text"),
        ([("port", "0")], "expected a port, 1 to 65535"),
        ([("port", "٣")], "expected a port, 1 to 65535"),
        ([("count", "1"), ("count", "2")], "option --count stands twice"),
        ([("cuont", "1")], "unknown option --cuont"),
    ],
)
def test_key_values_refuse(pairs: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        key_values(APPLIANCE, pairs)


def test_an_unknown_key_suggests_a_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        key_values(APPLIANCE, [("greting", "x")])
    assert str(caught.value) == "unknown option --greting; did you mean --greeting?"
    assert caught.value.hint == "shop has the keys --count, --fast, --greeting, --port"


@pytest.mark.parametrize(("text", "mib"), [("128M", 128), ("1G", 1024), ("64MiB", 64), ("64mb", 64)])
def test_memory(text: str, mib: int) -> None:
    assert parse_mem_size_mib(text) == mib


@pytest.mark.parametrize("text", ["", "128", "0M", "-1M", "1.5G", "1T", "M", "128 M"])
def test_memory_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        parse_mem_size_mib(text)


def test_bytes_for_people() -> None:
    assert [format_bytes(size) for size in (40, 3174, 15_728_640)] == ["40 B", "3.1 KiB", "15.0 MiB"]
