"""``leuko data``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.errors import one_line_errors
from edge.cli.options import json_option, quiet_libraries
from train.cli.options import EXISTING, FOLDER, progress

if TYPE_CHECKING:
    from train.check.survey import Survey

WARNINGS_SHOWN = 5
"""Warnings a question on the terminal; errors are all shown."""

COLOURS = {"not run": "dim", "ok": "green", "warning": "yellow", "error": "red"}


def print_survey(found: Survey, written: Path | None) -> None:
    """Print the answers as a table, each above its errors and first warnings; `written` has all."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from train.check.findings import count

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Check", "", "Result"):
        table.add_column(heading)
    rest = 0
    for result in found.results:
        status = result.status.value
        table.add_row(result.question, Text(status, COLOURS[status]), Text(_printable(result.answer)))
        errors, warnings = (
            [finding for finding in result.findings if finding.status.value == status]
            for status in ("error", "warning")
        )
        for finding in errors + warnings[:WARNINGS_SHOWN]:
            where = ", ".join(name for name in (finding.path, finding.other) if name)
            line = f"{where}: {finding.message}" if where else finding.message
            table.add_row("", "", Text(_printable(line), "dim"))
        rest += max(0, len(warnings) - WARNINGS_SHOWN)
    # a pipe or a file has no edge to wrap at
    console = Console(width=None if sys.stdout and sys.stdout.isatty() else 200)
    console.print(table)
    if rest:
        where = "--out DIR writes all to check.csv" if written is None else f"all are in {written}"
        console.print(f"{count(rest, 'finding')} more: {where}", highlight=False, markup=False)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@click.group()
def data() -> None:
    """Look after sets of labelled crops."""


@data.command()
@click.argument("data", type=EXISTING)
@click.option("--validation", type=EXISTING, help="Labelled crops to validate on: is a cell in both sets?")
@click.option("--split", type=FOLDER, help="Run folder: is a cell in both parts of its split?")
@click.option("--model", type=FOLDER, help="Run folder, made with --folds: which labels do its folds doubt?")
@click.option("--out", type=FOLDER, help="Folder for check.html, check.csv and, with --model, doubts.csv.")
@json_option
def check(
    data: Path,
    validation: Path | None,
    split: Path | None,
    model: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Check DATA, a folder of class folders or a CSV (path,label,group), before training on it.

    Reports unreadable files, sizes and depths, copies (also turned or mirrored), cells seen more than once,
    what a split shares, and drift of light and focus. Exit code 1 if no network can be trained on DATA.
    """
    from train.check.survey import as_object, survey, write_findings

    with one_line_errors(ValueError), quiet_libraries(), progress() as bar:
        task = bar.add_task("reading", total=None)

        def step(stage: str, total: int) -> None:
            if bar.tasks[task].description != stage:
                bar.reset(task, description=stage, total=total)
            bar.advance(task)

        try:
            found = survey(data, validation=validation, split=split, model=model, on_step=step)
            if out is not None:
                from train.check.doubts import DOUBTS_CSV, write_doubts
                from train.report.check import check_page

                out.mkdir(parents=True, exist_ok=True)
                write_findings(out / "check.csv", found.results)
                if found.doubts is not None:
                    write_doubts(out / DOUBTS_CSV, found.doubts.found)
                (out / "check.html").write_text(check_page(found), encoding="utf-8")
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"leuko data check needs {error.name} here: pip install 'leuko-edge[train]'"
            ) from error
    if as_json:
        click.echo(json.dumps(as_object(found)))
    else:
        print_survey(found, None if out is None else out / "check.csv")
    if not found.trainable:
        raise click.exceptions.Exit(1)
