"""``leuko train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress

from edge.base import quantity, sole_writer
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, WholeRange, quiet_libraries
from edge.cli.output import echo
from edge.cli.tables import progress, say_duration
from train.cli.evaluate import print_scores
from train.cli.options import (
    EXISTING,
    FOLDER,
    epochs_option,
    learning_rate_option,
    precision_option,
    recipe_option,
    require_extra,
    require_keras,
    validation_option,
    width_option,
)
from train.data import read_data, split
from train.recipe import NETWORK_INPUT_PX, Recipe, TrainingJob, recipe_of

if TYPE_CHECKING:
    from train.run import Epoch


class _Reporter:
    """Shows how a fit proceeds on stderr: a bar over its steps and one line per epoch."""

    def __init__(self, bar: Progress, epochs: int, folds: int | None) -> None:
        self._bar = bar
        self._epochs = epochs
        self._folds = folds
        self._part = ""
        self._task = bar.add_task("training", total=None)

    def on_fold(self, fold: int) -> None:
        self._part = f"fold {fold}/{self._folds}, "

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        done, total = epoch * steps + step, self._epochs * steps
        self._bar.update(
            self._task, completed=done, total=total, description=f"{self._part}epoch {epoch + 1}"
        )

    def on_epoch(self, row: Epoch) -> None:
        held_out = "" if row.validation_accuracy is None else f"  validation {row.validation_accuracy:.4f}"
        minutes = row.seconds * (self._epochs - row.epoch) / 60
        self._bar.console.print(
            f"{self._part}epoch {row.epoch}/{self._epochs}  loss {row.loss:.4f}  "
            f"accuracy {row.accuracy:.4f}{held_out}  {minutes:.0f} min left",
            soft_wrap=True,
        )


@click.command()
@click.argument("data", type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="Run folder; an unfinished run there is resumed.")
@recipe_option("best")
@click.option(
    "--network", type=click.Choice(list(NETWORK_INPUT_PX)), help="Network to train; by default the recipe's."
)
@width_option
@epochs_option
@click.option("--batch", type=WholeRange(min=1), help="Crops per step; by default the recipe's.")
@learning_rate_option
@click.option(
    "--balance",
    type=FiniteRange(0, 1),
    help="Repetition of rare classes: 0 keeps their frequency, 1 makes all classes equally frequent.",
)
@precision_option
@click.option(
    "--seed",
    type=WholeRange(min=0, max=2**31 - 1),
    default=0,
    show_default=True,
    help="Seed of weights, order, augmentation and split.",
)
@validation_option
@click.option(
    "--validation-fraction",
    type=FiniteRange(min=0, max=1, max_open=True),
    help="Share of each class to split off for validation; 0 trains on everything.  [default: 0.2]",
)
@click.option(
    "--folds",
    type=WholeRange(min=2, max=50),
    help="Also fit this many networks, each without its part of the crops, for `leuko data check --model`.",
)
def train(
    data: Path,
    out: Path,
    recipe_name: str,
    seed: int,
    validation: Path | None,
    validation_fraction: float | None,
    folds: int | None,
    **changes: Any,
) -> None:
    """Train a network on DATA, a folder of class folders or a CSV (path,label,group).

    A cell that several people read (columns label, reader1, reader2, …) is learned by the shares of its
    readings, and scored by their majority.

    On two cores an epoch of 1,000 crops takes about 20 s at full width, 6 s at half. Ctrl-C stops it, and the
    same command resumes it.
    """
    if validation is not None and validation_fraction is not None:
        raise click.UsageError("give --validation or --validation-fraction, not both")
    if changes["balance"] is not None and recipe_name == "paper":
        raise click.UsageError("the recipe paper expands each class by the paper's own factors: no --balance")
    require_extra("train")
    # the data first: errors in it need not wait for Keras
    with one_line_errors(ValueError), quiet_libraries():
        recipe = recipe_of(recipe_name, **changes)
        fraction = 0.2 if validation_fraction is None else validation_fraction
        job = _read_job(data, validation, fraction, recipe, seed)
    require_keras("train")
    # these import Keras, which takes seconds and is not in the base install
    from train.fit import FitObserver, expected_seconds, fit
    from train.folds import write_out_of_fold
    from train.run import finished

    with one_line_errors(ValueError), quiet_libraries(), sole_writer(out):
        was_finished = finished(out)
        if not was_finished:
            work = f"training on {len(job.training.names):,} crops for {quantity(recipe.epochs, 'epoch')}"
            say_duration(work, expected_seconds(recipe, job.training) * (folds or 1))
        with progress() as bar:
            reporter = _Reporter(bar, recipe.epochs, folds)
            observer = FitObserver(reporter.on_fold, reporter.on_step, reporter.on_epoch)
            scores = fit(job, out, observer)
            if folds is not None:
                write_out_of_fold(job, out, folds, observer)
    if was_finished:
        echo(f"{out} was finished before", err=True)
    if scores is not None:
        print_scores(scores)


def _read_job(data: Path, validation: Path | None, fraction: float, recipe: Recipe, seed: int) -> TrainingJob:
    """Read the data; the validation set is `validation` if given, else a fraction of `data`."""
    training = read_data(data, size_px=recipe.side_px)
    if validation is not None:
        held_out = read_data(validation, training.labels, recipe.side_px).settled()
        return TrainingJob(training, held_out, recipe, seed)
    if fraction == 0:
        return TrainingJob(training, None, recipe, seed)
    return TrainingJob(*split(training, fraction, seed), recipe, seed)
