"""``leuko bench``: speed of a bundle on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge.base import cores
from edge.classify import RuntimeMissingError
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, WholeRange, json_option, quiet_libraries
from edge.cli.output import echo
from edge.cli.tables import new_table, print_table
from edge.model import BundleError, load_bundle
from edge.run import (
    ChildError,
    Timing,
    ask_runtime,
    describe_machine,
    ratios,
    split_runtimes,
    time_bundle,
    warnings,
)


@click.command()
@click.argument("bundle", default="hemocytometer")
@click.option(
    "--float",
    "float_model",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    help="Float32 version of the network, a .tflite file, timed for comparison.",
)
@click.option("--runtime", help="Time only this runtime; by default every installed one.")
@click.option(
    "--threads",
    multiple=True,
    type=WholeRange(1, 256),
    help="Threads of the interpreter; repeatable. By default 1 and all cores.",
)
@click.option(
    "--rounds",
    type=WholeRange(1, 1000),
    default=9,
    show_default=True,
    help="Rounds of measurement; the median is shown.",
)
@json_option
def bench(
    bundle: str,
    float_model: Path | None,
    runtime: str | None,
    threads: tuple[int, ...],
    rounds: int,
    as_json: bool,
) -> None:
    """Time BUNDLE, a path or a shipped name, on every installed runtime, in milliseconds per crop."""
    about = describe_machine()  # before this program's own load
    tried = threads or tuple(sorted({1, cores()}))
    with one_line_errors(BundleError, RuntimeMissingError, ChildError, ValueError), quiet_libraries():
        checked = load_bundle(bundle)
        first, others = split_runtimes(runtime)
        timings = time_bundle(checked, first, tried, float_file=float_model, rounds=rounds)
        options = [f"--rounds={rounds}", *(f"--threads={n}" for n in tried)]
        options += [f"--float={float_model}"] if float_model else []
        for other in others:
            rows = ask_runtime(other, "bench", bundle, *options, sha256=checked.sha256)["timings"]
            timings += [Timing(**row) for row in rows if row["runtime"]]  # the frame is timed already

    if as_json:
        manifest = checked.manifest
        result = {
            "bundle": {"name": manifest.name, "version": manifest.version, "sha256": checked.sha256},
            "machine": about,
            "rounds": rounds,
            "timings": [asdict(timing) for timing in timings],
        }
        echo(json.dumps(result))
    else:
        _print(about, timings)


def _print(about: dict[str, Any], timings: list[Timing]) -> None:
    """Print the machine, and one row per kind of work."""
    board = f"{about['board']}, " if about["board"] else ""
    governor = f", governor {about['governor']}" if about["governor"] else ""
    echo(f"{board}{about['processor']}, {about['cores']} cores{governor}, load {about['load']:.2f}")
    for runtime, version in dict.fromkeys((t.runtime, t.version) for t in timings if t.runtime):
        echo(f"{runtime} {version}")
    headings = ("Runtime", "Work", "Batch", "Threads", "ms", "Quartiles", "CPU ms", "Ratio")
    table = new_table(*headings, whole=headings)
    for column in table.columns[2:]:
        column.justify = "right"
    for timing, ratio in zip(timings, ratios(timings), strict=True):
        table.add_row(
            timing.runtime,
            f"{timing.model} {timing.work}".strip(),
            str(timing.batch or ""),
            str(timing.threads),
            f"{timing.ms:.2f}",
            f"{timing.low:.1f}–{timing.high:.1f}",
            f"{timing.processor_ms:.2f}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    print_table(table)
    echo("ms: per crop (segment: per frame), median of the rounds. CPU ms: summed over all threads.")
    echo("Ratio: to int8 on litert, same batch and threads; of CPU ms for 1 thread, else of ms.")
    for warning in warnings(about):
        echo(f"Warning: {warning}", err=True)
