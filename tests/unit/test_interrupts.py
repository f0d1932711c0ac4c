"""Ctrl-C is answered by what it left."""

from __future__ import annotations

import pytest

from squib.cli.narrator import interrupts_told


@pytest.mark.parametrize(("quiet", "said"), [(False, "squib: interrupted; shop is left ended\n"), (True, "")])
def test_what_is_left_is_told(capsys: pytest.CaptureFixture[str], quiet: bool, said: str) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_told(lambda: "shop is left ended", quiet=quiet):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == said


def test_as_a_rule_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_told():
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "squib: interrupted; nothing is left running\n"
