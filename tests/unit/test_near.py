"""Which known word somebody may have meant, and when there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.guest import options as guest_options
from squib.model.near import did_you_mean, distance, near

VERBS = ("build", "demo", "deploy", "help", "logs", "ps", "restart", "rm", "run", "serve", "stop")
OPTIONS = ("accel", "memory", "name", "network", "publish", "quiet", "vcpus", "vmm")


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("bild", VERBS, "build"),
        ("rnu", VERBS, "run"),
        ("RUN", VERBS, "run"),
        ("memry", OPTIONS, "memory"),
        ("cpus", OPTIONS, "vcpus"),
        ("nmae", OPTIONS, "name"),
        ("publsih", OPTIONS, "publish"),
        ("rest", VERBS, "restart"),
        ("mem", OPTIONS, "memory"),
    ],
)
def test_a_near_word(typed: str, known: tuple[str, ...], meant: str) -> None:
    assert near(typed, known) == meant


@pytest.mark.parametrize("typed", ["list", "kill", "remove", "destroy", "login", "x", "", "r", "xs", "de", "b" * 10_000])
def test_what_is_far_from_all(typed: str) -> None:
    assert near(typed, VERBS) is None


def test_two_words_that_begin_so_are_no_hint() -> None:
    assert near("alph", ["alphabetical", "alphanumeric"]) is None
    assert near("alph", ["alphabetical"]) == "alphabetical"


def test_the_words_behind_a_message() -> None:
    assert did_you_mean("memry", OPTIONS, "--{}") == "; did you mean --memory?"
    assert did_you_mean("zzz", OPTIONS, "--{}") == ""


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_the_distance_is_one(one: str, other: str) -> None:
    assert distance(one, other) == distance(other, one) == guest_options.distance(one, other)
    assert (distance(one, other) == 0) == (one == other)
    assert distance(one, other) <= max(len(one), len(other))


@given(st.text("abcdef", min_size=1, max_size=10))
def test_the_server_program_keeps_the_same_rule(typed: str) -> None:
    """But for beginnings of words, which it takes for the whole word."""
    known = ("ace", "bead", "cafe", "decade", "facade")
    if any(one.startswith(typed) for one in known):
        return
    told = str(guest_options._unknown(f"--{typed}", known))
    meant = near(typed, known)
    assert told == f"unknown option `--{typed}'" + (f", did you mean `--{meant}'?" if meant else ".")
