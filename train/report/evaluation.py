"""Write `evaluation.html`, `evaluation.json` and `predictions.csv`."""

from __future__ import annotations

import json
from itertools import starmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import quantity, write_atomically
from edge.report import Picture, confusion_table, encode_jpeg, gallery, page_shell, paragraph, section, table
from train.evaluate import Evaluation, Measures
from train.predict import Predictions
from train.report.figure import plots, svg
from train.report.words import (
    UNDEFINED,
    calibration_words,
    class_words,
    interval_words,
    percent,
    reject_words,
    score_words,
    unanimous_words,
)
from train.table import table_text

MISTAKES = 40
"""Crops of wrong answers shown on the page."""


def write_evaluation(
    out: Path, predictions: Predictions, found: Evaluation, wrong: NDArray[np.bool_] | None = None
) -> None:
    """Write the three files into the folder `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "predictions.csv": predictions_csv(predictions),
        "evaluation.json": json.dumps(found, indent=2) + "\n",
        "evaluation.html": evaluation_page(predictions, found, wrong),
    }
    for name, text in files.items():
        write_atomically(out / name, text.encode())


def predictions_csv(predictions: Predictions) -> str:
    """Return a table with one row per cell: path, truth, answer and one ``probability_LABEL`` per label."""
    dataset = predictions.dataset
    header = ("path", "truth", "answer", *(f"probability_{label}" for label in dataset.labels))
    rows = (
        # nine digits tell every float32 from its neighbours: all measures follow from this table
        (name, dataset.labels[truth], dataset.labels[answer], *(f"{value:.9g}" for value in row))
        for name, truth, answer, row in zip(
            dataset.names, dataset.truth, predictions.answers, predictions.probabilities, strict=True
        )
    )
    return table_text(header, rows)


def evaluation_page(
    predictions: Predictions, found: Evaluation, wrong: NDArray[np.bool_] | None = None
) -> str:
    """Return the page of an evaluation, see `train.evaluate.evaluation`."""
    sections = [("Scores", _scores(found))]
    without = found["without"]
    if without is not None and wrong is not None:
        left_out = (
            f"{quantity(len(without['left_out']), 'label')} that a person marked as wrong, with the answers:"
        )
        pictures = gallery(_pictures(predictions, np.flatnonzero(wrong)), kind="gallery large")
        body = _comparison(found, without) + paragraph(left_out) + pictures
        sections.append(("Without labels that are plainly wrong", body))
    sections += [
        ("Confusion matrix", confusion_table(found["labels"], found["confusion"])),
        ("Are the probabilities calibrated?", _calibration(found)),
        ("Accuracy of the most confident answers", _coverage(found)),
        ("Most confident mistakes", _mistakes(predictions)),
        ("How it was measured", _methods(found)),
    ]
    lead = f"{found['model']['name']} on {found['data']['path']}, {quantity(found['cells'], 'cell')}"
    notices = [_sentence(text) for text in found["notices"]]
    title = f"Accuracy {found['accuracy']:.3f}"
    return page_shell(title, lead, starmap(section, sections), notices=notices)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _scores(found: Evaluation) -> str:
    intervals = found["intervals"]
    rows = [
        (label, f"{sum(row):,}", *class_words(found, intervals, label))
        for label, row in zip(found["labels"], found["confusion"], strict=True)
    ]
    body = paragraph(f"Accuracy {score_words(found['accuracy'], intervals['accuracy'])}.")
    if found["unanimous"] is not None:
        body += paragraph(_sentence(unanimous_words(found["unanimous"])))
    body += table(("Class", "Cells", "Precision", "Recall", "F1"), rows)
    return body + paragraph(_sentence(interval_words(found)), small=True)


def _comparison(found: Measures, without: Measures) -> str:
    both = (found, without)
    rows = [
        ("Accuracy", *(score_words(m["accuracy"], m["intervals"]["accuracy"]) for m in both)),
        *(
            (f"F1 of {label}", *(score_words(m["f1"][label], m["intervals"]["f1"][label]) for m in both))
            for label in found["labels"]
        ),
        ("Expected calibration error", *(score_words(m["calibration_error"]) for m in both)),
    ]
    return table(("", f"all {found['cells']:,} cells", f"without, {without['cells']:,} cells"), rows)


def _calibration(found: Measures) -> str:
    figure, (axes,) = plots(height_in=4.0)
    bins = found["calibration"]["reliability"]
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="calibrated")
    lows, widths = [b["low"] for b in bins], [b["high"] - b["low"] for b in bins]
    accuracies, means = [b["accuracy"] for b in bins], [b["confidence"] for b in bins]
    axes.bar(lows, accuracies, widths, align="edge", edgecolor="white", alpha=0.85, label="accuracy per bin")
    axes.plot(means, accuracies, "o", markersize=4, color="black", label="mean probability per bin")
    for b in bins:
        place = ((b["low"] + b["high"]) / 2, b["accuracy"])
        axes.annotate(f"{b['cells']}", place, (0, 5), textcoords="offset points", ha="center", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="probability of the answer", ylabel="share of right answers")
    figure.legend(loc="outside upper left", ncols=3)
    body = svg(figure) + paragraph(_sentence(calibration_words(found)))
    return body + paragraph(
        "The error is the mean over all cells of the gap between accuracy and mean probability in "
        f"{found['calibration']['bins']} bins of equal width; the figure shows the number of cells per bin. "
        f"With bins of equal mass it is {found['calibration']['equal_mass_error']:.3f}. Brier score "
        f"{found['brier_score']:.3f} (0 best, 2 worst).",
        small=True,
    )


def _coverage(found: Measures) -> str:
    figure, (axes,) = plots(height_in=3.2)
    curve = found["coverage"]["curve"]
    axes.plot([p["coverage"] for p in curve], [p["accuracy"] for p in curve], drawstyle="steps-pre")
    reject = found["reject"]
    if reject is not None and reject["accuracy"] is not None:
        label = f"the bundle's threshold, {reject['below']:g}"
        axes.plot([reject["coverage"]], [reject["accuracy"]], "o", label=label)
        axes.legend(loc="lower left")
    lowest = min(p["accuracy"] for p in curve)
    axes.set(xlim=(0, 1.02), ylim=(max(0.0, lowest - 0.05), 1.005))
    axes.set(xlabel="share of cells, the most confident first", ylabel="their accuracy")
    rows = []
    for wanted, point in found["coverage"]["at_accuracy"].items():
        share, threshold = (
            (percent(point["coverage"]), f"{point['threshold']:.3f}") if point else [UNDEFINED] * 2
        )
        rows.append((percent(float(wanted), 0), share, threshold))
    body = svg(figure) + table(("Accuracy", "Cells answered", "Threshold"), rows)
    if reject is not None:
        body += paragraph(_sentence(reject_words(reject)))
    return body + paragraph(
        "The thresholds are chosen and measured on the same cells: expect slightly less on new cells.",
        small=True,
    )


def _mistakes(predictions: Predictions) -> str:
    mistakes = predictions.mistakes
    if len(mistakes) == 0:
        return paragraph("None. Every answer is right.")
    shown = min(len(mistakes), MISTAKES)
    all_of = "all" if shown == len(mistakes) else f"{shown} of"
    words = f"The most confident first, {all_of} {len(mistakes):,}: truth → answer, its probability, file."
    return paragraph(words) + gallery(_pictures(predictions, mistakes[:MISTAKES]), kind="gallery large")


def _pictures(predictions: Predictions, chosen: NDArray[np.int64]) -> list[Picture]:
    dataset, answers, confidence = predictions.dataset, predictions.answers, predictions.confidence

    def caption(k: int) -> str:
        words = f"{dataset.labels[dataset.truth[k]]} → {dataset.labels[answers[k]]} {confidence[k]:.2f}"
        return f"{words} {Path(dataset.names[k]).name}"

    return [Picture(encode_jpeg(dataset.crops[k], quality=85), caption(k), dataset.names[k]) for k in chosen]


def _methods(found: Evaluation) -> str:
    several = found["test_time_views"] > 1
    return table(
        ("", ""),
        [
            ("Model", f"{found['model']['kind']} {found['model']['name']}"),
            ("SHA-256 of the model", found["model"]["sha256"]),
            ("SHA-256 of the cells", found["data"]["sha256"]),
            ("Probabilities", "mean over up to 8 mirrored and rotated views" if several else "of one view"),
            (
                "Scores",
                "equations 1 to 4 of Chen, Fu et al. (Heliyon 2024): recall TP / (TP + FN), "
                "precision TP / (TP + FP), F1 2 TP / (2 TP + FP + FN), accuracy the share of right answers; "
                f"{UNDEFINED} where that is 0 / 0",
            ),
            ("Intervals", f"{interval_words(found)}; effective numbers: Korn and Graubard 1998"),
            (
                "Calibration error",
                "Naeini et al. 2015, Guo et al. 2017; equal mass: Nguyen and O'Connor 2015",
            ),
        ],
        text=True,
    )
