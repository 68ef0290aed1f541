"""Draw the figures of a study as SVG: one colour per network, means over the seeds with their deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from train.report.figure import plots, svg
from train.study.differences import Spread, spread
from train.study.results import Result, defined_scores

MEASURES = ("recall", "precision", "f1")

Groups = Mapping[str, Sequence[Result]]
"""Network → its finished runs."""


def loss(groups: Groups) -> str:
    """Draw the training loss over the epochs."""
    figure, (axes,) = plots(width_in=8.0, height_in=3.2)
    _bands(axes, groups, "loss")
    axes.set_ylabel("training loss")
    _legend(figure, axes)
    return svg(figure)


def accuracy(groups: Groups) -> str:
    """Draw training and validation accuracy over the epochs, side by side."""
    figure, both = plots(1, 2, width_in=8.0, height_in=3.4)
    for axes, column, title in zip(
        both, ("accuracy", "validation_accuracy"), ("training", "validation"), strict=True
    ):
        _bands(axes, groups, column)
        axes.set_title(title)
    low = min(axes.get_ylim()[0] for axes in both)
    high = max(axes.get_ylim()[1] for axes in both)
    for axes in both:
        axes.set_ylim(low, min(high, 1.0))
    both[0].set_ylabel("accuracy")
    _legend(figure, both[0])
    return svg(figure)


def _bands(axes: Axes, groups: Groups, column: str) -> None:
    """Draw each network's mean over the seeds, with a band of one standard deviation."""
    for group in groups.values():
        curves = np.stack([result.curve(column) for result in group])
        epochs = np.arange(1, curves.shape[1] + 1)
        mean = curves.mean(axis=0)
        # one epoch has no line, so it gets a dot
        (line,) = axes.plot(epochs, mean, marker="o" if len(mean) == 1 else "", label=group[0].run.title)
        if len(group) > 1:
            sd = curves.std(axis=0, ddof=1)
            axes.fill_between(epochs, mean - sd, mean + sd, color=line.get_color(), alpha=0.18, linewidth=0)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def scores(groups: Groups, labels: Sequence[str]) -> str:
    """Draw recall, precision and F1 as bars, one group per class."""
    figure, three = plots(1, 3, width_in=9.0, height_in=3.6)
    width = 0.8 / max(1, len(groups))
    for axes, measure in zip(three, MEASURES, strict=True):
        for k, group in enumerate(groups.values()):
            found = [defined_scores(group, measure, label) for label in labels]
            spreads = [spread(values) if values else Spread(0, 0.0, None) for values in found]
            places = np.arange(len(labels)) + (k - (len(groups) - 1) / 2) * width
            axes.bar(
                places,
                [one.mean for one in spreads],
                width,
                yerr=[one.sd or 0.0 for one in spreads] if len(group) > 1 else None,
                error_kw={"elinewidth": 0.8},
                label=group[0].run.title,
            )
        axes.set_title(measure.replace("f1", "F1"))
        axes.set_ylim(0, 1.05)
        axes.grid(visible=False, axis="x")
        axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", rotation_mode="anchor")
    _legend(figure, three[0])
    return svg(figure)


def channels(maps: Mapping[str, NDArray[np.float32]], labels: Sequence[str]) -> str:
    """Draw maps, float32 [labels, channels, h, w]: one row per label, one column per network title."""
    figure, panels = plots(len(labels), 2, width_in=8.0, height_in=0.95 * len(labels) + 0.4)
    for k, (title, found) in enumerate(maps.items()):
        for row, label in enumerate(labels):
            axes = panels[2 * row + k]
            # each panel has its own scale: brightness cannot be compared between panels
            axes.imshow(_tiled(found[row]), interpolation="none", cmap="viridis", vmin=0.0)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(title)
            if k == 0:
                axes.set_ylabel(label, rotation=0, ha="right", va="center")
    figure.set_layout_engine("constrained", wspace=0.06)
    return svg(figure)


def _legend(figure: Figure, axes: Axes) -> None:
    """Add a legend of the networks below all axes."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)


def _tiled(maps: NDArray[np.float32], columns: int = 8) -> NDArray[np.float32]:
    """Arrange maps, float32 [n, h, w], in rows with gaps of NaN."""
    count, height, width = maps.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan, np.float32)
    for k, one in enumerate(maps):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        sheet[top : top + height, left : left + width] = one
    return sheet
