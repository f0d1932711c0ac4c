"""What is made of bench/http's results: promises, tables, charts."""

from __future__ import annotations

import statistics

from bench.chart import Bar, Group, Mark, bars
from bench.promises import number
from bench.results import Measure, Promise, Results, ratios
from bench.table import Table

MAIN_CASE = "64 connections"
BROWSER = "a browser's twelve headers"
DIFFER = "no two targets alike"
UNLIKE = "twelve headers, cookies differ as well"
LOGGED = "each request logged"
LABELS = {"squib": "squib", "nginx": "nginx return 200", "seed": "the seed (OCaml)", "uvicorn": "uvicorn", "granian": "granian"}


def promises(measures: list[Measure]) -> list[Promise]:
    """What docs/promises.md holds the server to."""
    by = {(m.what, m.whom, m.case): m for m in measures}

    def ratio(over: str, under: str, case: str) -> list[float]:
        return [round(value, 3) for value in ratios(by["cpu", over, case], by["cpu", under, case])]

    def over_nginx(name: str, says: str, case: str, tolerance: float) -> Promise:
        return Promise(name, says, "×", ratio("squib", "nginx", case), target=1.10, goal=1.0, tolerance=tolerance)

    resident = by["resident", "squib", MAIN_CASE].values
    over_seed = ratio("squib", "seed", MAIN_CASE)
    return [
        over_nginx("http.cpu-nginx", "CPU of a request, over nginx's `return 200`", MAIN_CASE, 0.08),
        over_nginx("http.cpu-nginx-differ", "the same, no two targets alike", DIFFER, 0.08),
        over_nginx("http.cpu-nginx-unlike", "the same, twelve headers, cookies differ as well", UNLIKE, 0.08),
        over_nginx("http.cpu-nginx-browser", "the same, with a browser's twelve headers", BROWSER, 0.08),
        over_nginx("http.cpu-nginx-logged", "the same, each request logged", LOGGED, 0.10),
        Promise("http.cpu-seed", "CPU of a request, over the seed's server", "×", over_seed, target=0.5, tolerance=0.10),
        Promise("http.resident", "resident memory of the server", "MiB", resident, target=13),
    ]


def tables(results: Results) -> list[Table]:
    """CPU by scenario, and the main scenario's other numbers."""
    rows: list[tuple[str, ...]] = []
    for case in dict.fromkeys(m.case for m in results.measures):
        for who, label in LABELS.items():
            if (cpu := results.find("cpu", who, case)) is None:
                continue
            under = results.find("cpu", "nginx", case)
            over = f"{statistics.median(ratios(cpu, under)):.2f}" if under else ""
            shown = "" if any(row[0] == case for row in rows) else case
            rows.append((shown, label, number(cpu.median, ""), over, *_more(results, who, case)))
    head = ("", "server", "CPU µs", "over nginx", "answers/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms")
    memory = [(LABELS[m.whom], number(m.median, "")) for m in results.measures if m.what == "resident"]
    return [
        Table("CPU time of a request, and what wrk saw", head, rows,
              "Medians of the rounds; “over nginx” is the median of the ratios within a round. "
              "Answers/s and latencies are of one core under full load."),
        Table("Resident memory after the first scenario, of the process that serves", ("server", "MiB"), memory),
    ]  # fmt: skip


def _more(results: Results, who: str, case: str) -> list[str]:
    rate = results.find("rate", who, case)
    times = [results.find(what, who, case) for what in ("p50", "p90", "p99", "p99.9")]
    # Of many requests at once wrk cannot always tell the highest.
    return [f"{rate.median:,.0f}" if rate else "", *("–" if not m or not m.median else number(m.median, "") for m in times)]


def charts(results: Results) -> dict[str, str]:
    """All servers in the main scenario; squib over nginx in all."""
    main = sorted((m for m in results.measures if m.what == "cpu" and m.case == MAIN_CASE), key=lambda m: m.median)
    over = [_over_nginx(results, case) for case in dict.fromkeys(m.case for m in results.measures)]
    return {
        "http-cpu.svg": bars(
            "What one request costs",
            "CPU time on one core, keep-alive, 64 connections, the same 40 bytes. Shorter is better.",
            [Group("", [_bar(m) for m in main])],
            "µs",
        ),
        "http-over-nginx.svg": bars(
            "squib over nginx, one thing changed at a time",
            "CPU time of a request, divided by that of nginx in the same round. Shorter is better.",
            [Group("", over)],
            "×",
            mark=Mark(1, "nginx"),
            label_width=280,
        ),
    }


def _over_nginx(results: Results, case: str) -> Bar:
    own, nginx = results.find("cpu", "squib", case), results.find("cpu", "nginx", case)
    found = ratios(own, nginx) if own and nginx else [0.0]
    return Bar(case, statistics.median(found), min(found), max(found), own=True)


def _bar(measure: Measure) -> Bar:
    return Bar(LABELS[measure.whom], measure.median, min(measure.values), max(measure.values), own=measure.whom == "squib")
