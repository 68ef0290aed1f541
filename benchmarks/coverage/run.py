"""Coverage of every 95 % interval that is printed, in simulated counts of many kinds.

``python -m benchmarks.coverage [--only NAME] [--processes 2] [--json]``

A line per interval and scenario; exits with 1 if a printed interval covers less than 93 %, beyond the
standard error of the simulation. The seeds are fixed. `docs/statistics.md` says what each interval is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Sequence

from benchmarks.coverage import corrected, dependence, gates
from benchmarks.coverage.row import LEAST, Row, Scenario

SCENARIOS: dict[str, Scenario] = {**corrected.SCENARIOS, **dependence.SCENARIOS, **gates.SCENARIOS}
"""Name → function; longest first, so that the processes end together."""


def simulate(name: str) -> list[Row]:
    return list(SCENARIOS[name]())


def table(rows: Iterable[Row]) -> Iterable[str]:
    yield f"{'interval':34} {'scenario':58} {'coverage':>8} {'± s.e.':>6} {'trials':>6} {'width':>8}"
    for row in rows:
        remark = f"  not printed: {row.not_printed}" if row.not_printed else ""
        remark = remark if row.holds else f"  below {LEAST:g}"
        yield (
            f"{row.interval:34} {row.scenario:58} {row.coverage:8.3f} {row.standard_error:6.3f}"
            f" {row.trials:6} {row.width:8.3g}{remark}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose name begins so")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    names = [name for name in SCENARIOS if name.startswith(options.only)]
    if not names:
        parser.error(f"no scenario {options.only}: {', '.join(SCENARIOS)}")
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        rows = [row for found in pool.map(simulate, names, chunksize=1) for row in found]
    if options.json:
        print(json.dumps([row.as_json() for row in rows]))
    else:
        print("\n".join(table(rows)))
    sys.exit(not all(row.holds for row in rows))
