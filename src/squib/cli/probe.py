"""`squib probe`: the seed's test scripts as a command."""

from __future__ import annotations

import sys
import time

import click

from squib.cli.commands import Command
from squib.cli.escaping import one_line, visible
from squib.cli.json_output import print_json
from squib.cli.param_types import Seconds, Whole
from squib.probe.http import Answer, ask
from squib.probe.report import ProbeReport, report

__all__ = ["ask_repeatedly", "probe", "show_answer"]


@click.command(cls=Command)
@click.argument("url")
@click.option("-n", "--count", type=Whole(1, 100_000), metavar="N", default=4, show_default=True, help="How many questions.")
@click.option(
    "--interval",
    type=Seconds(0, 3600),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="From one to the next.",
)
@click.option(
    "--timeout",
    type=Seconds(0.001, 3600),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="For one answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document at the end.")
def probe(url: str, count: int, interval: float, timeout: float, as_json: bool) -> int:
    """Ask a URL for the time, several times, and check the answers.

    Each answer must be 200 and JSON with a time, and the time must move. Exits with 1 where one is not.
    """
    result = ask_repeatedly(url, count=count, interval=interval, timeout=timeout, show=not as_json)
    if as_json:
        print_json(_json(url, result))
    else:
        for failure in result.failures:
            print(f"squib: {one_line(failure)}", file=sys.stderr)
    return 0 if result.ok else 1


def ask_repeatedly(url: str, *, count: int, interval: float, timeout: float, show: bool) -> ProbeReport:
    """`count` questions, `interval` seconds from one start to the next; answers are shown as they come."""
    answers: list[Answer] = []
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number * interval - time.monotonic()))
        answers.append(ask(url, timeout))
        if show:
            show_answer(answers[-1])
    return report(answers)


def show_answer(answer: Answer) -> None:
    """One line: the body and the latency; nothing for an answer that failed, which the report tells."""
    if not answer.error:
        print(f"{one_line(visible(answer.body.strip()))}  {answer.latency_us / 1000:.1f} ms", flush=True)


def _json(url: str, result: ProbeReport) -> dict[str, object]:
    return {
        "url": url,
        "ok": result.ok,
        "answers": [
            {
                "status": answer.status,
                "body": answer.body.decode("utf-8", "replace"),
                "latency_ms": round(answer.latency_us / 1000, 3),
                "error": answer.error or None,
            }
            for answer in result.answers
        ],
        "failures": list(result.failures),
    }
