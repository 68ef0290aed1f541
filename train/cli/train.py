"""``leuko train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, quiet_libraries
from train.cli.options import EXISTING, FOLDER, NETWORK_INPUT_PX, progress, require_extra, require_keras

if TYPE_CHECKING:
    from rich.progress import Progress


TEACHER_SHARE = 0.5
"""Of a teacher's predictions in the labels to learn."""


class _Report:
    """Tells how a fit goes: a bar over its steps and a line an epoch, both on the standard error."""

    def __init__(self, bar: Progress, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._part = ""
        self._task = bar.add_task("training", total=None)

    def part(self, name: str) -> None:
        self._part = f"{name}, "

    def step(self, epoch: int, step: int, steps: int) -> None:
        done, total = epoch * steps + step, self._epochs * steps
        self._bar.update(
            self._task, completed=done, total=total, description=f"{self._part}epoch {epoch + 1}"
        )

    def epoch(self, row: dict[str, float]) -> None:
        epoch = int(row["epoch"])
        words = [
            f"{self._part}epoch {epoch}/{self._epochs}",
            f"loss {row['loss']:.4f}",
            f"accuracy {row['accuracy']:.4f}",
        ]
        if "validation_accuracy" in row:
            words.append(f"validation {row['validation_accuracy']:.4f}")
        words.append(f"{row['seconds'] * (self._epochs - epoch) / 60:.0f} min left")
        self._bar.console.print("  ".join(words), soft_wrap=True)


@click.command()
@click.argument("data", type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="Run folder; an unfinished one is resumed.")
@click.option(
    "--recipe", "recipe_name", type=click.Choice(["best", "paper"]), default="best", show_default=True
)
@click.option("--network", type=click.Choice(list(NETWORK_INPUT_PX)), help="By default the recipe's.")
@click.option("--width", type=FiniteRange(min=0, min_open=True, max=4), help="Factor on all channels.")
@click.option("--epochs", type=click.IntRange(min=1), help="By default the recipe's.")
@click.option("--batch", type=click.IntRange(min=1), help="Crops a step; by default the recipe's.")
@click.option("--learning-rate", type=FiniteRange(min=0, min_open=True), help="By default the recipe's.")
@click.option(
    "--balance",
    type=FiniteRange(0, 1),
    help="How far rare classes are shown more often: 0 as they are, 1 as often as the largest.",
)
@click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]), help="bfloat16 is faster on some processors."
)
@click.option("--seed", type=click.IntRange(min=0, max=2**31 - 1), default=0, show_default=True)
@click.option("--validation", type=EXISTING, help="Labelled crops to validate on, instead of a split.")
@click.option(
    "--validation-fraction",
    type=FiniteRange(min=0, max=1, max_open=True),
    help="Share of each class that is split off to validate on; 0 trains on everything.  [default: 0.2]",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2, max=50),
    help="Also fit this many models, each without its part of the crops, for `leuko data check --model`.",
)
@click.option(
    "--teacher",
    type=FOLDER,
    help="Run made with --folds whose predictions make up half of the labels: wrong ones weigh less.",
)
@click.option(
    "--distil",
    type=FOLDER,
    multiple=True,
    help="Finished run whose network teaches this one, which then comes near it; several teach together.",
)
def train(
    data: Path,
    out: Path,
    recipe_name: str,
    network: str | None,
    width: float | None,
    epochs: int | None,
    batch: int | None,
    learning_rate: float | None,
    balance: float | None,
    precision: str | None,
    seed: int,
    validation: Path | None,
    validation_fraction: float | None,
    folds: int | None,
    teacher: Path | None,
    distil: tuple[Path, ...],
) -> None:
    """Train a network on DATA, a folder of class folders or a CSV (path,label,group)."""
    if validation is not None and validation_fraction is not None:
        raise click.UsageError("give --validation or --validation-fraction, not both")
    if balance is not None and recipe_name == "paper":
        raise click.UsageError("the recipe paper expands each class by the paper's own factors: no --balance")
    given = {"--teacher": teacher, "--folds": folds, "--distil": distil}
    if len(named := [option for option, value in given.items() if value]) > 1:
        raise click.UsageError(f"give {' or '.join(named)}, not both")
    require_extra("train")
    from train import data as source
    from train.recipe import recipe_of

    recipe = recipe_of(
        recipe_name,
        network=network,
        width=width,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        balance=balance,
        precision=precision,
        # a teacher's doubts take the place of evenly spread ones
        label_smoothing=None if teacher is None and not distil else 0.0,
    )
    crop_px = recipe.crop_px or NETWORK_INPUT_PX[recipe.network]
    # the data first: what is wrong with it need not wait for Keras
    with one_line_errors(ValueError), quiet_libraries():
        training = source.read_data(data, size_px=crop_px)
        held_out: source.Dataset | None = None
        if validation is not None:
            held_out = source.read_data(validation, training.labels, crop_px)
        elif validation_fraction != 0:
            training, held_out = source.split(training, validation_fraction or 0.2, seed)

    require_keras("train")
    from train.cli.evaluate import print_scores
    from train.distil import read_teacher
    from train.fit import fit
    from train.folds import out_of_fold, soft_targets
    from train.run import finished

    with one_line_errors(ValueError), quiet_libraries():
        targets = None if teacher is None else soft_targets(training, teacher, TEACHER_SHARE)
        teaching = None if not distil else read_teacher(distil, training.labels, crop_px, recipe)
        was_finished = finished(out)
        with progress() as bar:
            report = _Report(bar, recipe.epochs)
            scores = fit(
                training,
                held_out,
                out,
                recipe,
                seed,
                targets=targets,
                teacher=teaching,
                on_step=report.step,
                on_epoch=report.epoch,
            )
            if folds is not None:
                out_of_fold(
                    training,
                    held_out,
                    out,
                    recipe,
                    seed,
                    folds,
                    on_fold=lambda fold: report.part(f"fold {fold}/{folds}"),
                    on_step=report.step,
                    on_epoch=report.epoch,
                )
    if was_finished:
        click.echo(f"{out} was finished before", err=True)
    if scores is not None:
        print_scores(scores)
