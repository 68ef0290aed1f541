"""The page of a training run: its curves by epoch, and whether the validation set says to stop earlier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edge.base import write_atomically
from edge.report import page_shell, paragraph, section, table
from train.report.figure import plots, svg
from train.run import Epoch

CURVES = "curves.html"

SMOOTHED = 3
"""Epochs whose median validation loss is judged: single ones fluctuate."""

RISE = 1.1
"""Median validation loss, relative to its lowest, above which a run has trained for too long."""


def write_curves(out: Path, history: Sequence[Epoch], epochs: int, *, finished: bool = False) -> None:
    """Write `CURVES` into a run folder, whole or not at all; `epochs` is how many the run will have."""
    write_atomically(out / CURVES, curves_page(out.name, history, epochs, finished=finished).encode())


def curves_page(name: str, history: Sequence[Epoch], epochs: int, *, finished: bool = False) -> str:
    """Return the page of a run with at least one epoch."""
    last = history[-1]
    title = f"Trained for {epochs}" if finished else f"Training: {last.epoch} of {epochs}"
    figures = {"Loss": f"{last.loss:.4f}", "Accuracy": f"{last.accuracy:.4f}"}
    if last.validation_loss is not None and last.validation_accuracy is not None:
        figures["Validation loss"] = f"{last.validation_loss:.4f}"
        figures["Validation accuracy"] = f"{last.validation_accuracy:.4f}"
    sections = [("Curves", _curves(history, finished)), ("Epochs", _epochs(history))]
    notices = (advice(history),)
    return page_shell(
        f"{title} {'epoch' if epochs == 1 else 'epochs'}",
        name,
        starmap(section, sections),
        notices=notices,
        figures=figures,
    )


def advice(history: Sequence[Epoch]) -> str:
    """Return one sentence if the validation loss rises again; empty otherwise."""
    losses = [row.validation_loss for row in history if row.validation_loss is not None]
    medians = [median(losses[k : k + SMOOTHED]) for k in range(len(losses) - SMOOTHED + 1)]
    if not medians or medians[-1] <= RISE * min(medians):
        return ""
    lowest = medians.index(min(medians)) + 1 + SMOOTHED // 2  # the middle of its epochs, from 1
    rise = medians[-1] / min(medians) - 1
    return (
        f"The validation loss was lowest around epoch {lowest} and has risen by {100 * rise:.0f} % since: "
        "the network learns the training crops by heart. "
        f"Add labelled crops, or train again with --epochs {lowest}."
    )


def _curves(history: Sequence[Epoch], finished: bool) -> str:
    """Draw loss and accuracy side by side, with the epoch whose network is kept."""
    figure, (left, right) = plots(1, 2, width_in=8.0, height_in=3.4)
    _lines(left, "loss", [row.loss for row in history], [row.validation_loss for row in history])
    _lines(right, "accuracy", [row.accuracy for row in history], [row.validation_accuracy for row in history])
    if finished:
        for axes in (left, right):
            axes.axvline(history[-1].epoch, color="0.6", linewidth=1, linestyle="--", label="kept")
    right.set_ylim(top=min(1.0, right.get_ylim()[1]))
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3)
    kept = (
        f"The network of epoch {history[-1].epoch}, the last one, is kept, even if an earlier was better. "
        if finished
        else "The network of the last epoch will be kept. "
    )
    validated = any(row.validation_loss is not None for row in history)
    others = (
        "Training numbers are means over an epoch, of augmented crops; validation numbers are of plain "
        "crops, after it. So training may look worse than validation."
        if validated
        else "There is no validation set."
    )
    return svg(figure) + paragraph(kept + others, small=True)


def _lines(axes: Axes, name: str, training: Sequence[float], validation: Sequence[float | None]) -> None:
    epochs = range(1, len(training) + 1)
    marker = "o" if len(training) == 1 else ""  # one epoch has no line
    axes.plot(epochs, training, marker=marker, label="training")
    if found := [value for value in validation if value is not None]:
        axes.plot(epochs[-len(found) :], found, marker=marker, label="validation")
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _epochs(history: Sequence[Epoch]) -> str:
    rows = [
        (
            row.epoch,
            *(
                "–" if value is None else f"{value:.4f}"
                for value in (row.loss, row.accuracy, row.validation_loss, row.validation_accuracy)
            ),
            f"{row.seconds:.0f}",
        )
        for row in history
    ]
    return table(("Epoch", "Loss", "Accuracy", "Validation loss", "Validation accuracy", "Seconds"), rows)
