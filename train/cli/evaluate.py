"""``leuko evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from edge.base import quantity
from edge.classify import RuntimeMissingError
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, force_option, json_option, quiet_libraries, require_free, require_out
from edge.cli.output import echo
from edge.cli.tables import plain, progress, stdout_console
from edge.model import TEST_TIME_VIEWS
from train.cli.options import EXISTING, FOLDER, require_extra, require_keras
from train.evaluate import Evaluation, evaluation, read_wrong_labels
from train.metrics import Intervals, Scores
from train.predict import predict
from train.report.words import (
    calibration_words,
    class_words,
    coverage_words,
    interval_words,
    reject_words,
    score_words,
    unanimous_words,
)

EVALUATION_FILES = ("evaluation.html", "evaluation.json", "predictions.csv")


def print_scores(scores: Scores, intervals: Intervals | None = None) -> None:
    """Print the scores, with their intervals if given, and the confusion matrix as tables."""

    def table(*header: str) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for k, text in enumerate(header):
            # a narrow terminal wraps names, not numbers
            made.add_column(plain(text), justify="right" if k else "left", no_wrap=k > 0)
        return made

    measured = table("class", "cells", "precision", "recall", "F1")
    answered = table("truth", *(f"→ {label}" for label in scores["labels"]))
    for label, row in zip(scores["labels"], scores["confusion"], strict=True):
        measured.add_row(plain(label), str(sum(row)), *class_words(scores, intervals, label))
        answered.add_row(plain(label), *map(str, row))
    accuracy = score_words(scores["accuracy"], intervals["accuracy"] if intervals else None, digits=4)
    total = f"accuracy {accuracy} on {quantity(scores['cells'], 'cell')}"
    stdout_console().print(measured, "", answered, "", total, sep="\n")


def print_evaluation(found: Evaluation) -> None:
    """Print everything but the curves."""
    print_scores(found, found["intervals"])
    unanimous = found["unanimous"]
    _print_lines(
        *([] if unanimous is None else [unanimous_words(unanimous)]),
        interval_words(found),
        calibration_words(found),
        coverage_words(found),
        *([] if found["reject"] is None else [reject_words(found["reject"])]),
    )
    without = found["without"]
    if without is not None:
        _print_lines(
            "", f"without {quantity(len(without['left_out']), 'label')} that a person marked as wrong:", ""
        )
        print_scores(without, without["intervals"])
    _print_lines(*found["notices"], found["use"])


def _print_lines(*lines: str) -> None:
    stdout_console().print(*lines, sep="\n")


@click.command()
@click.argument("run_or_bundle")
@click.argument("data", type=EXISTING)
@click.option("--out", type=FOLDER, help="Folder for evaluation.html, evaluation.json and predictions.csv.")
@click.option(
    "--without",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    metavar="CSV",
    help="Table (path,verdict): score once more without the labels whose verdict is wrong.",
)
@click.option(
    "--test-time-views",
    type=click.Choice(list(map(str, TEST_TIME_VIEWS))),
    help="Mirrored and rotated views of a crop to average over; by default the model's.",
)
@force_option
@json_option
def evaluate(
    run_or_bundle: str,
    data: Path,
    out: Path | None,
    without: Path | None,
    test_time_views: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Score RUN_OR_BUNDLE on the labelled crops of DATA.

    A bundle (a path or a shipped name) needs the base install only; a run folder and --out need the train
    extra.
    """
    require_out(force, out)
    if out is not None:
        require_free(force, *(out / name for name in EVALUATION_FILES))
        require_extra("evaluate --out", "matplotlib")
    if Path(run_or_bundle).is_dir():
        require_keras("evaluate")
    with one_line_errors(ValueError, RuntimeMissingError), quiet_libraries():
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        with progress() as bar:
            task = bar.add_task("evaluating", total=None)
            predictions = predict(
                run_or_bundle,
                data,
                test_time_views=int(test_time_views) if test_time_views else None,
                on_cells=lambda done, cells: bar.update(task, completed=done, total=cells),
            )
        wrong = None if without is None else read_wrong_labels(without, predictions.dataset.names)
        found = evaluation(predictions, data, wrong)
        if out is not None:
            # it imports matplotlib, which the base install lacks
            from train.report.evaluation import write_evaluation

            write_evaluation(out, predictions, found, wrong)
    if as_json:
        echo(json.dumps(found))
    else:
        print_evaluation(found)
    if out is not None:
        echo(f"written to {out}: {', '.join(EVALUATION_FILES)}", err=True)
