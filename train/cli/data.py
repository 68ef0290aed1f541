"""``leuko data``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.text import Text

from edge.base import quantity, write_atomically
from edge.cli.errors import one_line_errors
from edge.cli.options import json_option, quiet_libraries, require_free
from edge.cli.output import echo
from edge.cli.tables import new_table, plain, print_table, progress
from train.check.doubts import DOUBTS_CSV, write_doubts
from train.check.findings import Status
from train.check.survey import Survey, as_object, survey, write_findings
from train.cli.agreement import agreement_command
from train.cli.options import EXISTING, FOLDER, require_extra

WARNINGS_SHOWN = 5
"""Warnings per question on the terminal; all errors are shown."""

COLOURS = {Status.NOT_RUN: "dim", Status.OK: "green", Status.WARNING: "yellow", Status.ERROR: "red"}


def print_survey(found: Survey, written: Path | None) -> None:
    """Print the answers as a table, each above its errors and first warnings; `written` holds all."""
    table = new_table("Check", "", "Result")
    rest = 0
    for result in found.results:
        table.add_row(
            result.question, Text(result.status.value, COLOURS[result.status]), plain(result.answer)
        )
        warnings = result.of_status(Status.WARNING)
        for finding in result.of_status(Status.ERROR) + warnings[:WARNINGS_SHOWN]:
            where = ", ".join(finding.where)
            line = f"{where}: {finding.message}" if where else finding.message
            table.add_row("", "", plain(line), style="dim")
        rest += max(0, len(warnings) - WARNINGS_SHOWN)
    print_table(table)
    if rest:
        where = "--out DIR writes all to check.csv" if written is None else f"all are in {written}"
        echo(f"{quantity(rest, 'finding')} more: {where}")


@click.group()
def data() -> None:
    """Look after sets of labelled crops."""


data.add_command(agreement_command)


@data.command()
@click.argument("data", type=EXISTING)
@click.option("--validation", type=EXISTING, help="Second set, to validate on; search both for shared cells.")
@click.option("--split", type=FOLDER, help="Run folder; search both parts of its split for shared cells.")
@click.option(
    "--model", type=FOLDER, help="Run folder made with --folds; list the labels that its folds doubt."
)
@click.option("--out", type=FOLDER, help="Folder for check.html, check.csv and, with --model, doubts.csv.")
@click.option(
    "--force", is_flag=True, help="Replace an earlier check in --out, but for the verdicts in doubts.csv."
)
@json_option
def check(
    data: Path,
    validation: Path | None,
    split: Path | None,
    model: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Check DATA, a folder of class folders or a CSV (path,label,group), before training on it.

    Reports unreadable files, sizes and depths, copies (also turned or mirrored), repeated cells, cells that a
    split shares, and drift of light and focus. Takes about 5 s per 1,000
    crops. Exit code 1 if no network can be trained on DATA.
    """
    if model is not None:
        require_extra("data check --model", "cleanlab")
    if out is not None:
        require_free(force, out / "check.html", out / "check.csv")
        require_extra("data check --out", "matplotlib")
    with one_line_errors(ValueError), quiet_libraries(), progress() as bar:
        task = bar.add_task("reading", total=None)

        def step(stage: str, total: int) -> None:
            if bar.tasks[task].description != stage:
                bar.reset(task, description=stage, total=total)
            bar.advance(task)

        found = survey(data, validation=validation, split=split, model=model, on_step=step)
        if out is not None:
            _write(found, out)
    if as_json:
        echo(json.dumps(as_object(found)))
    else:
        print_survey(found, None if out is None else out / "check.csv")
    if not found.trainable:
        raise click.exceptions.Exit(1)


def _write(found: Survey, out: Path) -> None:
    from train.report.check import check_page  # needs matplotlib, of the train extra

    out.mkdir(parents=True, exist_ok=True)
    write_findings(out / "check.csv", found.results)
    if found.doubts is not None:
        write_doubts(out / DOUBTS_CSV, found.doubts.found)
    write_atomically(out / "check.html", check_page(found).encode())
