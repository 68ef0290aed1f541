"""``leuko study``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, json_option, quiet_libraries
from train.cli.options import EXISTING, FOLDER, progress, require_keras
from train.study import STUDIES

if TYPE_CHECKING:
    from rich.progress import Progress

    from train.study.clock import Clock
    from train.study.results import Study
    from train.study.runs import StudyRun


class _Report:
    """Tells how a study goes: bars on a terminal, else a line an epoch, both on the standard error."""

    def __init__(self, bar: Progress, clock: Clock, runs: list[StudyRun]) -> None:
        self._bar = bar
        self._clock = clock
        self._runs = runs
        self._begun = 0
        self._whole = bar.add_task("study", total=len(runs) * runs[0].recipe.epochs, left="")
        self._task = bar.add_task("", total=None, left="")

    def begin(self, run: StudyRun, epochs_done: int) -> None:
        self._begun += 1
        self._name = f"{run.title} seed {run.seed}"
        self._bar.reset(self._task, description=self._name, total=None)
        self._whole_done((self._begun - 1) * run.recipe.epochs + epochs_done)

    def step(self, epoch: int, step: int, steps: int) -> None:
        epochs = self._runs[0].recipe.epochs
        self._bar.update(self._task, completed=epoch * steps + step, total=epochs * steps)
        self._whole_done((self._begun - 1) * epochs + epoch + step / steps)

    def epoch(self, row: dict[str, float]) -> None:
        run = self._runs[self._begun - 1]
        self._clock.epoch(run.network, run.seed, row["seconds"])
        here = _words(self._clock.left([(run.network, run.seed)]))
        whole = _words(self._clock.left((run.network, run.seed) for run in self._runs))
        self._bar.update(self._task, left=here)
        self._bar.update(self._whole, left=whole)
        if self._bar.disable:
            click.echo(
                f"{self._name}  epoch {row['epoch']:.0f}/{run.recipe.epochs}  loss {row['loss']:.4f}  "
                f"accuracy {row['accuracy']:.4f}  validation {row['validation_accuracy']:.4f}  {here} left, "
                f"study {whole}",
                err=True,
            )

    def finished(self, run: StudyRun) -> None:
        self._bar.console.print(f"{run.folder} finished, {self._begun} of {len(self._runs)}", soft_wrap=True)

    def _whole_done(self, epochs: float) -> None:
        self._bar.update(
            self._whole, completed=epochs, description=f"study, run {self._begun} of {len(self._runs)}"
        )


def _words(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


@click.command()
@click.argument("which", type=click.Choice(list(STUDIES)), metavar="ablation|peers")
@click.argument("data", type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="The study's folder; an unfinished one goes on.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs a network.")
@click.option(
    "--recipe", "recipe_name", type=click.Choice(["paper", "best"]), default="paper", show_default=True
)
@click.option(
    "--width",
    type=FiniteRange(min=0, min_open=True, max=4),
    help="Factor on all channels of fusion and its ablations.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="By default the recipe's.")
@click.option(
    "--learning-rate",
    type=FiniteRange(min=0, min_open=True),
    help="Of all networks; by default the recipe's.",
)
@click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]), help="bfloat16 is faster on some processors."
)
@click.option(
    "--peer-px",
    type=click.IntRange(32, 1024),
    help="Side of the crops for VGG-16 and ResNet-50, px: 64 makes them affordable.  [default: 224]",
)
@click.option(
    "--validation", type=EXISTING, help="Labelled crops to validate on, instead of a split of DATA."
)
@click.option(
    "--note", default="", help="Said with every table and page, such as how the cells were stained."
)
@json_option
def study(
    which: str,
    data: Path,
    out: Path,
    seeds: int,
    recipe_name: str,
    width: float | None,
    epochs: int | None,
    learning_rate: float | None,
    precision: str | None,
    peer_px: int | None,
    validation: Path | None,
    note: str,
    as_json: bool,
) -> None:
    """Repeat the paper's comparison on DATA: of its network with its ablations, or with its peers.

    Every network is fitted with several seeds on the same split. Tables, figures and a page are written anew
    after each run; the same command goes on where it was stopped, more --seeds included.
    """
    require_keras("study")
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn

    from edge.base import write_atomically
    from train.recipe import recipe_of
    from train.report.study import as_json as summary
    from train.report.study import files
    from train.run import finished, read_config
    from train.study import runs as source
    from train.study.clock import Clock
    from train.study.results import read_study

    recipe = recipe_of(
        recipe_name, width=width, epochs=epochs, learning_rate=learning_rate, precision=precision
    )
    planned = source.planned(which, out, recipe, seeds, peer_px)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    with one_line_errors(ValueError), quiet_libraries():
        sets = source.read_sets(data, validation)
        source.open_study(which, out, recipe, peer_px, sets)
        cost = source.costs(planned, len(read_config(out)["labels"]))
        clock = Clock(recipe.epochs, {name: one.macs for name, one in cost.items()})
        for run in planned:
            for row in source.epochs_done(run):
                clock.epoch(run.network, run.seed, row["seconds"])
        with progress(*columns) as bar:
            report = _Report(bar, clock, planned)
            for run in planned:
                was_finished = finished(run.folder)
                report.begin(run, len(source.epochs_done(run)))
                source.conduct(run, sets, report.step, report.epoch)
                if not was_finished:
                    report.finished(run)
                if not was_finished or run is planned[-1]:
                    done = read_study(which, out, planned, cost, note)
                    for name, text in files(done).items():
                        write_atomically(out / name, text.encode())
    if as_json:
        click.echo(json.dumps(summary(done)))
    else:
        _print(done)
        click.echo(f"{out / 'study.html'}", err=True)


def _print(done: Study) -> None:
    """Print the summary and what follows from it."""
    from rich.console import Console
    from rich.table import Table

    from train.report.study import SUMMARY_HEADER, notes, summary_rows
    from train.study.summary import findings

    table = Table(*SUMMARY_HEADER)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary_rows(done):
        table.add_row(*row)
    # a pipe or a file has no edge to wrap at
    console = Console(width=None if sys.stdout and sys.stdout.isatty() else 200, highlight=False)
    console.print(table)
    for text in [*notes(done), *findings(done.name, done.results)]:
        console.print(text, soft_wrap=True)
