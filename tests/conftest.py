"""Options and fixtures for every test."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from hang import GRACE_S, Watch
from support import LAB, missing

if not LAB:  # no test there makes up its input, so the lab host has no hypothesis
    from hypothesis import HealthCheck, settings

    # No test is timed: the machine may be busy.
    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
    parser.addoption(
        "--boot-rounds", type=int, default=1, metavar="N", help="make lab: boots of each kernel that are timed (%(default)s)"
    )
    parser.addoption(
        "--run-limit", type=float, default=75 * 60, metavar="S", help="seconds that all tests may take (%(default)s)"
    )
    parser.addoption("--grace", type=float, default=GRACE_S, metavar="S", help="what a test has behind its limit (%(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    """What a shell starts in the background ignores Ctrl-C and Ctrl-\\, nohup's the end of the terminal, and so do their programs.

    Here all three are taken as from a terminal.
    """
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    config.pluginmanager.register(Watch(config.getoption("--run-limit"), config.getoption("--grace")))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """For `.ci/run`: make tells its caller only that pytest failed, not how."""
    if not LAB and not hasattr(session.config, "workerinput"):  # the process that has no workers, or is told by them
        session.config.cache.set("squib/exit-status", int(exitstatus))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Each file's tests run in one process, and those of containers in one together, which share engines."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class ByRoom(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            folder = file.rpartition("/")[0]
            return folder if folder == "tests/containers" else file

    return ByRoom(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests with the marker `lab` run on the lab host (docs/lab.md); elsewhere they are not even skipped."""
    if LAB:
        return
    elsewhere = [item for item in items if item.get_closest_marker("lab")]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def _root_marker(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root") and os.geteuid() != 0:
        missing("needs root")
