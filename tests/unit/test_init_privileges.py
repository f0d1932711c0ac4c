"""How PID 1 checks that the server process has no privilege left."""

from __future__ import annotations

import pytest

from squib.guest.privileges import WANTED, privileges_left

CLEAN = "Name:\tpython3\n" + "".join(f"{name}:\t{value} \n" for name, value in WANTED.items())


def test_no_privilege_left() -> None:
    assert privileges_left(CLEAN) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Uid", "65532\t0\t65532\t65532"),
        ("Gid", "0\t0\t0\t0"),
        ("Groups", "0"),
        ("CapEff", "0000000000000400"),
        ("CapBnd", "000001ffffffffff"),
        ("CapAmb", "0000000000000001"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "0"),
    ],
)
def test_each_is_found(name: str, value: str) -> None:
    status = CLEAN.replace(f"{name}:\t{WANTED[name]} ", f"{name}:\t{value} ")
    assert status != CLEAN
    assert privileges_left(status) == [f"{name} is {value!r}"]


def test_what_the_kernel_does_not_say_is_not_taken_for_clean() -> None:
    assert len(privileges_left("")) == len(WANTED) - 1, "only of seccomp a kernel may know nothing"
