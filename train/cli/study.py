"""``leuko study``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from edge.base import quantity, sole_writer, write_atomically
from edge.cli.errors import one_line_errors
from edge.cli.options import WholeRange, json_option, quiet_libraries
from edge.cli.output import echo
from edge.cli.tables import progress, say_duration, stdout_console, time_words
from train.cli.options import (
    EXISTING,
    FOLDER,
    epochs_option,
    learning_rate_option,
    precision_option,
    recipe_option,
    require_keras,
    validation_option,
    width_option,
)
from train.recipe import recipe_of
from train.study import STUDIES

if TYPE_CHECKING:
    from train.run import Epoch
    from train.study.results import Study
    from train.study.runs import StudyRun, StudySettings


class _Reporter:
    """Shows how a study proceeds on stderr: bars on a terminal, else one line per epoch."""

    def __init__(self, bar: Progress, runs: list[StudyRun], left: Callable[[], list[float]]) -> None:
        self._bar = bar
        self._runs = runs
        self._left = left
        self._begun = 0
        self._whole = bar.add_task("study", total=len(runs) * runs[0].recipe.epochs, left="")
        self._task = bar.add_task("", total=None, left="")

    def begin(self, run: StudyRun, epochs_done: int) -> None:
        self._begun += 1
        self._name = f"{run.title} seed {run.seed}"
        self._bar.reset(self._task, description=self._name, total=None)
        self._update_whole((self._begun - 1) * run.recipe.epochs + epochs_done)

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        epochs = self._runs[0].recipe.epochs
        self._bar.update(self._task, completed=epoch * steps + step, total=epochs * steps)
        self._update_whole((self._begun - 1) * epochs + epoch + step / steps)

    def on_epoch(self, row: Epoch) -> None:
        run = self._runs[self._begun - 1]
        left = self._left()
        here, whole = time_words(left[self._begun - 1]), time_words(sum(left))
        self._bar.update(self._task, left=here)
        self._bar.update(self._whole, left=whole)
        if self._bar.disable:
            echo(
                f"{self._name}  epoch {row.epoch}/{run.recipe.epochs}  loss {row.loss:.4f}  "
                f"accuracy {row.accuracy:.4f}  validation {row.validation_accuracy:.4f}  {here} left, "
                f"study {whole}",
                err=True,
            )

    def finished(self, run: StudyRun) -> None:
        self._bar.console.print(f"{run.folder} finished, {self._begun} of {len(self._runs)}", soft_wrap=True)

    def _update_whole(self, epochs: float) -> None:
        self._bar.update(
            self._whole, completed=epochs, description=f"study, run {self._begun} of {len(self._runs)}"
        )


@click.command()
@click.argument("name", type=click.Choice(list(STUDIES)), metavar="ablation|peers")
@click.argument("data", type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="The study's folder; an unfinished one is resumed.")
@click.option("--seeds", type=WholeRange(1, 100), default=3, show_default=True, help="Runs per network.")
@recipe_option("paper")
@width_option
@epochs_option
@learning_rate_option
@precision_option
@click.option(
    "--peer-px",
    type=WholeRange(32, 1024),
    help="Side of the crops for VGG-16 and ResNet-50, px: 64 makes them affordable.  [default: 224]",
)
@validation_option
@click.option(
    "--note", default="", help="Remark shown with every table and page, such as how the cells were stained."
)
@json_option
def study(
    name: str,
    data: Path,
    out: Path,
    seeds: int,
    recipe_name: str,
    peer_px: int | None,
    validation: Path | None,
    note: str,
    as_json: bool,
    **changes: Any,
) -> None:
    """Repeat the paper's comparison of its network with its ablations, or with its peers, on DATA.

    Takes hours on two cores, which --width and --peer-px shorten; the first line says how many.

    Every network is fitted with several seeds on the same split. Tables, figures and a page are updated after
    each run. Repeat the command to resume a stopped study, also with more --seeds.
    """
    require_keras("study")
    # these import Keras, which takes seconds, and matplotlib; the base install lacks both
    from train.report.study import as_json as summary
    from train.study.runs import StudySettings

    with one_line_errors(ValueError), quiet_libraries(), sole_writer(out):
        settings = StudySettings(name, out, recipe_of(recipe_name, **changes), seeds, peer_px)
        done = _run_study(settings, data, validation, note)
    if as_json:
        echo(json.dumps(summary(done)))
    else:
        _print(done)
        echo(f"{out / 'study.html'}", err=True)


def _run_study(settings: StudySettings, data: Path, validation: Path | None, note: str) -> Study:
    """Fit all runs that are not finished and return the study; write its files after each run."""
    # as in `study`
    from train.fit import FitObserver, expected_seconds
    from train.report.study import files
    from train.run import finished, read_history
    from train.run_config import read_config
    from train.study.results import read_study
    from train.study.runs import costs, fit_run, open_study, read_sets, seconds_left

    sets = read_sets(data, validation)
    open_study(settings, sets)
    runs = settings.runs()
    cost = costs(runs, len(read_config(settings.out).labels))
    if not read_history(runs[0].folder):
        training, _ = sets(runs[0].recipe.side_px)
        times = (expected_seconds(run.recipe, training, cost[run.network].macs) for run in runs)
        say_duration(f"a study of {quantity(len(runs), 'run')}", sum(times))
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    with progress(*columns) as bar:
        reporter = _Reporter(bar, runs, lambda: seconds_left(runs, cost))
        observer = FitObserver(on_step=reporter.on_step, on_epoch=reporter.on_epoch)
        for run in runs:
            was_finished = finished(run.folder)
            reporter.begin(run, len(read_history(run.folder)))
            fit_run(run, sets, observer)
            if not was_finished:
                reporter.finished(run)
            if not was_finished or run is runs[-1]:
                done = read_study(settings, cost, note)
                for name, text in files(done).items():
                    write_atomically(settings.out / name, text.encode())
    return done


def _print(done: Study) -> None:
    """Print the summary and its conclusions."""
    # as in `study`
    from train.report.study import SUMMARY_HEADER, notes, summary_rows
    from train.study.summary import findings

    table = Table(*SUMMARY_HEADER)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary_rows(done):
        table.add_row(*row)
    console = stdout_console()
    console.print(table)
    for text in [*notes(done), *findings(done.name, done.results)]:
        console.print(text, soft_wrap=True)
