"""Figures as SVG: the same data give the same bytes, whatever a person's settings of matplotlib."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = Path(__file__).with_suffix(".mplstyle")


def plots(
    rows: int = 1, columns: int = 1, *, width_in: float = 6.0, height_in: float = 3.6
) -> tuple[Figure, list[Axes]]:
    """Return a new figure and its axes, row by row."""
    with mpl.style.context(STYLE, after_reset=True):
        # pyplot would keep every figure of a long study open, and look for a screen
        figure = Figure(figsize=(width_in, height_in))
        return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def svg(figure: Figure) -> str:
    """Return a figure as SVG text, for a page or a file."""
    text = io.StringIO()
    with mpl.style.context(STYLE, after_reset=True):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]
