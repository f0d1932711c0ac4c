"""Names of images: what docker takes is taken, and what it refuses is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.errors import UsageError
from squib.model.reference import Reference, parse_reference


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "full"),
    [
        ("webserver", "", "webserver", "latest", "docker.io/library/webserver:latest"),
        ("restack/001-webserver", "", "restack/001-webserver", "latest", "docker.io/restack/001-webserver:latest"),
        ("restack/001-webserver:v1.2_x", "", "restack/001-webserver", "v1.2_x", "docker.io/restack/001-webserver:v1.2_x"),
        ("localhost/a", "localhost", "a", "latest", "localhost/a:latest"),
        ("localhost:5000/a/b:1", "localhost:5000", "a/b", "1", "localhost:5000/a/b:1"),
        ("ghcr.example/a__b/c--d.e:T", "ghcr.example", "a__b/c--d.e", "T", "ghcr.example/a__b/c--d.e:T"),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", "[::1]:5000/a:latest"),
        ("docker.io/a", "docker.io", "a", "latest", "docker.io/library/a:latest"),
        ("a:" + "t" * 128, "", "a", "t" * 128, "docker.io/library/a:" + "t" * 128),
    ],
)
def test_what_is_a_reference(text: str, registry: str, path: str, tag: str, full: str) -> None:
    found = parse_reference(text)
    assert found == Reference(registry, path, tag)
    assert found.full == full
    assert parse_reference(found.familiar) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no part of an image's name"),
        ("Restack", "lower case: restack"),
        ("Restack/A:v1", "lower case: restack/a:v1"),
        ("Bad Ref", "lower-case letters and digits"),
        ("Good/a b", "lower-case letters and digits"),
        ("a//b", "'' is no part"),
        ("a_", "'a_' is no part"),
        ("a___b", "is no part"),
        ("/a", "'' is no part"),
        ("a/", "'' is no part"),
        ("a:", "'' is no tag"),
        ("a:.b", "'.b' is no tag"),
        ("a:b:c", "'b:c' is no tag"),
        ("a:" + "t" * 129, "its tag has 129 characters"),
        ("a" * 256, "more than 255 characters"),
        ("a@sha256:" + "0" * 64, "leave out what begins with @"),
        ("-x.example/a", "is no registry"),
        ("host:port/a", "is no registry"),
        ("ä", "is no part"),
        ("a b", "is no part"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert said in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


@given(st.one_of(st.text(max_size=40), st.text("ab./:-_@[]1A", max_size=20)))
def test_any_text_is_a_reference_that_reads_back_or_a_usage_error(text: str) -> None:
    try:
        found = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(found.familiar) == found
    assert parse_reference(found.full).full == found.full
