"""Evenly spaced lines in a profile, fitted by a lattice of nodes."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Profile = NDArray[np.float64]

MIN_CONTRAST = 0.02
"""Least height of the lines, relative to the illumination."""

LINE_LEVEL = 0.35
"""Height above which the profile is a line, as a part of the highest line's."""

TOLERANCE = 0.07
"""Largest distance of a line from its node, as a part of the period. The outer ones of a triple line are
0.1 off; the distortion of the lens moves lines by up to 0.03."""

TRUE_TOLERANCE = 0.045
"""Largest such distance of a line that measures the period. Where a triple line is half resolved, its middle
line and an outer one merge, 0.055 off."""

OCCUPIED = 0.85
"""Least part of a lattice's nodes that have a line (all of up to six), and of lines that are near a node."""

NEAR = 0.2
"""Distance from a node, as a part of the period, within which the outer lines of a triple line lie."""

MIN_GRID_LINES = 3
"""Evenly spaced lines that make a grid if they fill the frame; two would have any spacing."""

MIN_MICROMETER_LINES = 10
"""Evenly spaced lines that make a scale, which may begin and end within the frame."""


class Lattice(NamedTuple):
    """Evenly spaced nodes: distance and its standard error in pixels, and the number of lines on them."""

    period: float
    error: float
    lines: int


def line_positions(profile: Profile) -> Profile:
    """Return the positions of the lines in a profile: its peaks or its valleys."""
    smooth = np.asarray(cv2.GaussianBlur(profile[None], (0, 0), 1.5))[0]
    smooth = smooth - np.median(smooth)
    smooth *= np.sign((smooth**3).sum())
    excess = smooth - LINE_LEVEL * smooth.max()
    if smooth.max() < MIN_CONTRAST:
        return np.zeros(0)
    edges = np.flatnonzero(np.diff(excess > 0)) + 1
    if excess[0] > 0:  # the middle of a cut line is unknown
        edges = edges[1:]
    starts, ends = edges[: len(edges) // 2 * 2].reshape(-1, 2).T
    return np.array(
        [np.average(np.arange(a, b), weights=excess[a:b]) for a, b in zip(starts, ends, strict=True)]
    )


def find_lattice(lines: Profile, length: int, micrometer: bool) -> Lattice | None:
    """Return the lattice that holds most lines, if they fill it; None if there is none.

    Parameters
    ----------
    length : int
        Length of the profile.
    micrometer : bool
        The lines need not fill the frame, see `edge.calibration.lines.line_spacings`.
    """
    least = MIN_MICROMETER_LINES if micrometer else MIN_GRID_LINES
    found = []
    for first, line in enumerate(lines):
        for other in lines[first + 1 : first + 5]:  # a triple line's outer ones lie between
            fit = _fit(lines, line, other - line, least)
            if fit is None:
                continue
            nodes, origin, period, error = fit
            # a grid fills the frame, except where the frame's edge may cut a line
            frame = (-origin / period + 0.1, (length - 1 - origin) / period - 0.1)
            begin, end = (nodes[0], nodes[-1]) if micrometer else frame
            places = int(np.floor(end) - np.ceil(begin)) + 1
            off = (lines - origin) / period
            near = np.mean(np.abs(off - np.rint(off)) <= NEAR)
            if len(nodes) >= OCCUPIED * places and near >= OCCUPIED:
                found.append(Lattice(period, error, len(nodes)))
    return max(found, key=lambda one: (one.lines, -one.error / one.period, one.period), default=None)


def _fit(
    lines: Profile, origin: float, period: float, least: int
) -> tuple[NDArray[np.int64], float, float, float] | None:
    """Fit a lattice to the lines near it, by least squares: nodes, origin, period and its standard error."""
    for _ in range(3):
        nodes = np.rint((lines - origin) / period).astype(np.int64)
        off = np.abs(lines - origin - nodes * period)
        order = np.argsort(off, kind="stable")
        # one line per node, the nearest
        chosen = np.sort(order[np.unique(nodes[order], return_index=True)[1]])
        chosen = chosen[off[chosen] <= TOLERANCE * period]
        if len(chosen) < least:
            return None
        n, x = nodes[chosen], lines[chosen]
        # Theil–Sen estimate: a line far off does not pull it
        first, second = np.triu_indices(len(n), 1)
        period = float(np.median((x[second] - x[first]) / (n[second] - n[first])))
        origin = float(np.median(x - n * period))
    true = np.abs(x - origin - n * period) <= TRUE_TOLERANCE * period
    if true.sum() >= least:
        n, x = n[true], x[true]
    period = float(((n - n.mean()) * x).sum() / ((n - n.mean()) ** 2).sum())
    origin = float(x.mean() - period * n.mean())
    rest = x - origin - n * period
    error = float(np.sqrt((rest**2).sum() / (len(n) - 2) / ((n - n.mean()) ** 2).sum()))
    return nodes[chosen], origin, period, error
