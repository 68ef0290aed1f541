"""Figures as SVG: the same data give the same bytes."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = Path(__file__).with_suffix(".mplstyle")


def axes(rows: int = 1, columns: int = 1, *, width_in: float = 6.0, height_in: float = 3.6) -> list[Axes]:
    """Return the axes of a new figure, row by row; ``axes()[0].figure`` is the figure."""
    with mpl.style.context(STYLE):
        # pyplot would keep the figures of a long study open, and look for a screen
        grid = Figure(figsize=(width_in, height_in)).subplots(rows, columns, squeeze=False)
    return list(grid.flat)


def svg(plot: Axes) -> str:
    """Draw the figure of these axes as SVG text, to be embedded in a page or written to a file."""
    text = io.StringIO()
    with mpl.style.context(STYLE):
        plot.get_figure(root=True).savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]
