"""Progress for people: one live line on a terminal, plain lines elsewhere (also on a dumb one), nothing where nobody asked."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

from squib.cli.escaping import one_line
from squib.cli.report import complain
from squib.cli.terminal import console, styled
from squib.model.progress import Note, Progress, silent

__all__ = ["progress"]

_QUIET_S = 0.5
"""What is done sooner than this is not worth a line."""


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """A Progress that writes to standard error while the context lasts."""
    if quiet:
        yield silent
    elif styled(sys.stderr):
        with _live() as report:
            yield report
    else:
        with _plain() as report:
            yield report


@contextlib.contextmanager
def _live() -> Iterator[Progress]:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn())
    with Bar(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(step: str, done: float | None) -> None:
            if isinstance(step, Note):
                complain(f"squib: {one_line(step)}")  # rich puts it above the live line
                return
            step = one_line(step)
            if done is None:
                bar.update(task, description=step, total=None)
            else:
                bar.update(task, description=step, total=1.0, completed=done)

        yield report


@contextlib.contextmanager
def _plain() -> Iterator[Progress]:
    """A line for each step that takes its time, for logs."""
    step_now = ""
    timer: threading.Timer | None = None

    def report(step: str, _done: float | None) -> None:
        nonlocal step_now, timer
        if isinstance(step, Note):
            complain(f"squib: {one_line(step)}")
            return
        if step == step_now:
            return
        step_now = step
        if timer is not None:
            timer.cancel()
        timer = threading.Timer(_QUIET_S, complain, (f"squib: {one_line(step)}",))
        timer.daemon = True
        timer.start()

    try:
        yield report
    finally:
        if timer is not None:
            timer.cancel()
