"""``leuko evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.options import json_option, one_line_errors, quiet_libraries
from train.cli.options import EXISTING, require_keras

if TYPE_CHECKING:
    from train.metrics import Scores


def print_scores(scores: Scores) -> None:
    """Print the scores and the confusion matrix as a table."""
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
    if as_json:
        click.echo(json.dumps(scores))
    else:
        print_scores(scores)
