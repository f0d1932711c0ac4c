"""Numbers on the command line that no clock, timer or list can take."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import click
import pytest

from squib.app.vm.company import Company
from squib.cli.logs import logs
from squib.cli.param_types import Seconds
from squib.host.process import adopt
from squib.wire.firecracker.requests import Request

YEAR_S = 365 * 24 * 3600


@pytest.mark.parametrize("text", ["0.5", "31536001", "3e12", "1e999", "inf", "nan", "-1", "x"])
def test_what_is_no_wait(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Seconds(1).convert(text, None, None)


def test_a_wait() -> None:
    assert [Seconds(0).convert(text, None, None) for text in ("0", "1.5", str(YEAR_S))] == [0, 1.5, YEAR_S]


def test_a_tail_that_no_list_can_have() -> None:
    with pytest.raises(click.BadParameter, match="expected a whole number, 0 to 1000000000"):
        logs.make_context("logs", ["-n", "99999999999999999999", "web"])


class Silence:
    """Tells nobody."""

    def say(self, text: str) -> None: ...

    def output(self, data: bytes) -> None: ...

    def asked(self, request: Request) -> None: ...


@pytest.mark.parametrize("patience_s", [3_000_000.0, float(YEAR_S)])
def test_a_deadline_farther_off_than_poll_can_wait(patience_s: float, tmp_path: Path) -> None:
    with Company(keys=None, log=None, voice=Silence()) as company:
        child = subprocess.Popen(["sh", "-c", "echo said; sleep 0.2"], stdout=company.stdout)
        with adopt(child) as process:
            company.started()
            company._deadline = time.monotonic() + patience_s
            assert company.keep(process, tmp_path / "none", patience_s) is False
            assert process.returncode == 0
