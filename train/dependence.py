"""How many independent cells tell as much as cells of groups (frames, patients), which are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.count import equivalent_ratio

Groups = Sequence[str] | NDArray[Any]

CORRELATIONS = ((np.arange(24) + 0.5) / 24) ** 2
"""Evenly spread square roots: the groups' rates are as likely to scatter little as much."""

_STEPS = np.linspace(-5, 5, 33)


def independent_share(
    values: NDArray[np.bool_], groups: Groups | None = None, alike: NDArray[np.float64] | None = None
) -> float:
    """Return how many independent cells tell as much of the mean of these values, per cell; 0 of one group.

    It is one over the design effect 1 + (m − 1) ρ, where m is the mean number of cells in a cell's group and
    ρ the correlation of two cells of a group. A ρ that is estimated from a few mistakes is too small most of
    the time. So the interval is as wide as one over all ρ, each as likely as `likeness` says (a
    superpopulation model, as in Franco, Little, Louis and Slud, Journal of Survey Statistics and Methodology
    7:334, 2019).

    Parameters
    ----------
    values : [n]
        n > 0.
    groups : [n] or None
        Group of each value; by default each is its own.
    alike : float64 or None
        The `likeness` of other cells of these groups; by default that of the values.
    """
    sizes = np.bincount(_indices(values, groups))
    if len(sizes) == len(values):
        return 1.0
    if len(sizes) == 1:
        return 0.0
    alike = likeness(values, groups) if alike is None else alike
    return 1 / equivalent_ratio(1 + (float((sizes**2).sum()) / len(values) - 1) * CORRELATIONS, alike)


def independent_share_of_gains(gains: NDArray[np.int64], groups: Groups | None = None) -> float:
    """Return `independent_share` of gains (1, 0 and -1).

    In a group, cells are alike in whether their answer changes, and in which way it does.
    """
    sizes = np.bincount(_indices(gains, groups))
    if len(sizes) == len(gains):
        return 1.0
    if len(sizes) == 1:
        return 0.0
    changed = gains != 0
    some = None if groups is None else np.asarray(groups)[changed]
    weights = np.add.outer(likeness(changed, groups), likeness(gains[changed] > 0, some))
    share = (changed.sum() + 0.5) / (len(gains) + 1)
    way = gains.sum() / (changed.sum() + 1)
    both = share**2 + CORRELATIONS[:, None] * share * (1 - share)  # of two cells of a group
    same = way**2 + CORRELATIONS * (1 - way**2)
    correlations = (both * same - (share * way) ** 2) / (share - (share * way) ** 2)
    effects = 1 + (float((sizes**2).sum()) / len(gains) - 1) * correlations
    return 1 / equivalent_ratio(effects.ravel(), weights.ravel())


def likeness(hits: NDArray[np.bool_], groups: Groups | None = None) -> NDArray[np.float64]:
    """Return how likely each of `CORRELATIONS` is, as a logarithm, for whatever rate of hits.

    The groups' rates are beta distributed. Before the cells are seen the root of ρ is evenly distributed (as
    the spread of groups in Gelman, Bayesian Analysis 1:515, 2006) but for a factor 1 − ρ, and the rate is as
    Jeffreys has it.
    """
    group = _indices(hits, groups)
    sizes, in_groups = np.bincount(group), np.bincount(group, hits)
    steps = np.arange(sizes.max(initial=0))
    # a rising factorial a (a + 1) … (a + k − 1) is the product over all i < k
    of_hits, of_misses, of_cells = (
        (counts[:, None] > steps).sum(0) for counts in (in_groups, sizes - in_groups, sizes)
    )
    found = (hits.sum() + 0.5) / (len(hits) + 1)
    spread = 1 / np.sqrt((len(hits) + 1) * found * (1 - found))
    mean_size = float((sizes**2).sum()) / max(len(hits), 1)
    result = np.empty(len(CORRELATIONS))
    for k, correlation in enumerate(CORRELATIONS.tolist()):
        reach = spread * np.sqrt(1 + (mean_size - 1) * correlation)
        rates = 1 / (1 + np.exp(-np.log(found / (1 - found)) - reach * _STEPS))
        cells = (1 - correlation) / correlation
        logs = (
            np.log(cells * rates[:, None] + steps) @ of_hits
            + np.log(cells * (1 - rates[:, None]) + steps) @ of_misses
            - np.log(cells + steps) @ of_cells
            + np.log(rates * (1 - rates)) / 2
        )
        result[k] = np.logaddexp.reduce(logs) + np.log((1 - correlation) * reach)
    return result


def _indices(values: NDArray[Any], groups: Groups | None) -> NDArray[np.int64]:
    """Return the number of each value's group."""
    return np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)[1]
