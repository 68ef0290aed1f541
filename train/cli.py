"""``leuko crops``, ``leuko train`` and ``leuko evaluate``."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.options import FiniteRange, NamedPath, json_option, one_line_errors, quiet_libraries

if TYPE_CHECKING:
    from rich.progress import Progress

    from train.metrics import Scores

FOLDER = NamedPath(file_okay=False, path_type=Path)
EXISTING = NamedPath(exists=True, path_type=Path)


def require_keras(command: str) -> None:
    """Say which extra is missing, or keep TensorFlow's start-up messages off the terminal."""
    if importlib.util.find_spec("keras") is None:
        raise click.ClickException(f"leuko {command} needs the train extra: pip install 'leuko-edge[train]'")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet_libraries():
            importlib.import_module("keras")
    except ImportError as error:
        raise click.ClickException(
            f"Keras has no backend ({error}): pip install 'leuko-edge[train]'"
        ) from error


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a progress bar on the standard error, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


class _Report:
    """Tells how a fit goes: a bar over its steps and a line an epoch, both on the standard error."""

    def __init__(self, bar: Progress, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._task = bar.add_task("training", total=None)

    def step(self, epoch: int, step: int, steps: int) -> None:
        done, total = epoch * steps + step, self._epochs * steps
        self._bar.update(self._task, completed=done, total=total, description=f"epoch {epoch + 1}")

    def epoch(self, row: dict[str, float]) -> None:
        epoch = int(row["epoch"])
        words = [
            f"epoch {epoch}/{self._epochs}",
            f"loss {row['loss']:.4f}",
            f"accuracy {row['accuracy']:.4f}",
        ]
        if "validation_accuracy" in row:
            words.append(f"validation {row['validation_accuracy']:.4f}")
        words.append(f"{row['seconds'] * (self._epochs - epoch) / 60:.0f} min left")
        self._bar.console.print("  ".join(words), soft_wrap=True)


def _print_scores(scores: Scores, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(scores))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("truth", "precision", "recall", "F1", *(f"→ {label}" for label in scores["labels"]))
    for column in table.columns[1:]:
        column.justify = "right"
    for label, row in zip(scores["labels"], scores["confusion"], strict=True):
        values = (f"{scores[key][label]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(label, *values, *map(str, row))
    # a pipe or a file has no edge to wrap at
    console = Console(width=None if sys.stdout and sys.stdout.isatty() else 200)
    console.print(table)
    console.print(f"accuracy {scores['accuracy']:.4f} on {scores['cells']} cells", highlight=False)


def _parse_rename(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, str]:
    pairs = [pair.split("=") for pair in value.split(",")] if value else []
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise click.BadParameter("write OLD=NEW,OLD=NEW")
    return {old.strip(): new.strip() for old, new in pairs}


@click.command()
@click.argument("frames", nargs=-1, required=True, type=EXISTING)
@click.argument("boxes", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=FOLDER, help="Folder of class folders to write.")
@click.option("--rename", callback=_parse_rename, help="Class names for box labels, as WBC=leukocyte,RBC=…")
@click.option(
    "--scale", type=FiniteRange(0.05, 20), default=1.0, show_default=True, help="Frame pixels a crop pixel."
)
@click.option(
    "--pixel-um",
    type=FiniteRange(min=0, min_open=True),
    help="Side of a frame's pixel in the specimen, µm; by default what BOXES says.",
)
@click.option("--separate", is_flag=True, help="Leave out cells marked as touching or cut by the border.")
def crops(
    frames: tuple[Path, ...],
    boxes: Path,
    out: Path,
    rename: dict[str, str],
    scale: float,
    pixel_um: float | None,
    separate: bool,
) -> None:
    """Cut a 200×200 crop around each box of BOXES that lies in FRAMES (files or folders).

    BOXES is a CSV: frame,label,xmin,ymin,xmax,ymax. The crops go to class folders, listed in cells.csv.
    """
    from train.crops import cut

    with one_line_errors(ValueError), quiet_libraries(), _progress() as bar:
        task = bar.add_task("frames", total=None)
        counts = cut(
            frames,
            boxes,
            out,
            rename=rename,
            scale=scale,
            pixel_um=pixel_um,
            separate=separate,
            on_frame=lambda: bar.advance(task),
        )
    for label, n in counts.items():
        click.echo(f"{label}: {n}")


@click.command()
@click.argument("data", type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="Run folder; an unfinished one is resumed.")
@click.option(
    "--recipe", "recipe_name", type=click.Choice(["best", "paper"]), default="best", show_default=True
)
@click.option("--network", type=click.Choice(["fusion"]), help="By default the recipe's.")
@click.option("--width", type=FiniteRange(min=0, min_open=True, max=4), help="Factor on all channels.")
@click.option("--epochs", type=click.IntRange(min=1), help="By default the recipe's.")
@click.option("--batch", type=click.IntRange(min=1), help="Crops a step; by default the recipe's.")
@click.option("--learning-rate", type=FiniteRange(min=0, min_open=True), help="By default the recipe's.")
@click.option("--seed", type=click.IntRange(min=0, max=2**31 - 1), default=0, show_default=True)
@click.option("--validation", type=EXISTING, help="Labelled crops to validate on, instead of a split.")
@click.option(
    "--validation-fraction",
    type=FiniteRange(min=0, max=1, max_open=True),
    help="Share of each class that is split off to validate on; 0 trains on everything.  [default: 0.2]",
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
    seed: int,
    validation: Path | None,
    validation_fraction: float | None,
) -> None:
    """Train a network on DATA, a folder of class folders or a CSV (path,label,group)."""
    if validation is not None and validation_fraction is not None:
        raise click.UsageError("give --validation or --validation-fraction, not both")
    require_keras("train")
    from train import data as source
    from train.fit import fit
    from train.recipe import recipe_of
    from train.run import finished

    recipe = recipe_of(
        recipe_name,
        network=network,
        width=width,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
    )
    with one_line_errors(ValueError):
        training = source.read_data(data)
        held_out: source.Dataset | None = None
        if validation is not None:
            held_out = source.read_data(validation, training.labels)
        elif validation_fraction != 0:
            training, held_out = source.split(training, validation_fraction or 0.2, seed)
        was_finished = finished(out)
        with _progress() as bar:
            report = _Report(bar, recipe.epochs)
            scores = fit(training, held_out, out, recipe, seed, on_step=report.step, on_epoch=report.epoch)
    if was_finished:
        click.echo(f"{out} was finished before", err=True)
    if scores is not None:
        _print_scores(scores, as_json=False)


@click.command()
@click.argument("run_or_bundle")
@click.argument("data", type=EXISTING)
@json_option
def evaluate(run_or_bundle: str, data: Path, as_json: bool) -> None:
    """Score RUN_OR_BUNDLE on the labelled crops of DATA.

    A bundle (a path or a shipped name) needs the base install only; a run folder needs the train extra.
    """
    if Path(run_or_bundle).is_dir():
        require_keras("evaluate")
    from edge.runtime import RuntimeMissingError
    from train.evaluate import evaluate as evaluated

    with one_line_errors(ValueError, RuntimeMissingError), quiet_libraries():
        scores = evaluated(run_or_bundle, data)
    _print_scores(scores, as_json)
