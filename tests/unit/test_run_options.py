"""What `squib run` refuses as soon as its command line is read: before anything is looked at, built or booted."""

from __future__ import annotations

import pytest

from squib.cli import run as module
from squib.cli.main import squib
from squib.errors import UsageError


@pytest.fixture(autouse=True)
def _no_house(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "house", lambda **_: pytest.fail("it goes on"))


def refusal(*words: str) -> UsageError:
    with pytest.raises(UsageError) as caught, squib.make_context("squib", ["run", *words]) as context:
        squib.invoke(context)
    return caught.value


@pytest.mark.parametrize("name", ["a b", "../x", "-x", "", "x" * 64])
def test_what_cannot_be_a_name(name: str) -> None:
    error = refusal("clock", f"--name={name}")
    assert str(error) == f"{name!r} cannot be the name of a machine"
    assert error.hint.startswith("use letters, digits")


@pytest.mark.parametrize("words", [("--memory",), ("--memory", "--detach"), ("-dp",), ("-p", "-d")])
def test_an_option_that_lacks_its_value(words: tuple[str, ...]) -> None:
    error = refusal("clock", *words)
    assert str(error) == f"option {'--memory' if '--memory' in words else '-p'} needs a value"
    assert error.hint == "squib run --help"
