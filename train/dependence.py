"""How many independent cells tell as much as cells of groups (frames, patients), which are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.count import equivalent_ratio

Groups = Sequence[str] | NDArray[Any]

_CORRELATIONS = ((np.arange(24) + 0.5) / 24) ** 2
"""Evenly spread square roots: the groups' rates are as likely to scatter little as much."""

_STEPS = np.linspace(-5, 5, 33)


def independent_share(
    values: NDArray[Any], groups: Groups | None = None, alike: NDArray[np.float64] | None = None
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
        n > 0. Of more than two kinds, the one whose cells are most alike counts.
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
    effects = 1 + (float((sizes**2).sum()) / len(values) - 1) * _CORRELATIONS
    kinds = np.unique(values)
    of_kinds = (likeness(values == kind, groups) for kind in (kinds if len(kinds) > 2 else kinds[:1]))
    return min(1 / equivalent_ratio(effects, one) for one in (of_kinds if alike is None else [alike]))


def likeness(hits: NDArray[np.bool_], groups: Groups | None = None) -> NDArray[np.float64]:
    """Return how likely each of `_CORRELATIONS` is, as a logarithm, for whatever rate of hits.

    The groups' rates are beta distributed. Before the cells are seen the root of ρ is evenly distributed (as
    the spread of groups in Gelman, Bayesian Analysis 1:515, 2006) but for a factor 1 − ρ, and the rate is as
    Jeffreys has it.
    """
    group = _indices(hits, groups)
    sizes, in_groups = np.bincount(group), np.bincount(group, hits)
    steps = np.arange(sizes.max())
    # a rising factorial a (a + 1) … (a + k − 1) is the product over all i < k
    of_hits, of_misses, of_cells = (
        (counts[:, None] > steps).sum(0) for counts in (in_groups, sizes - in_groups, sizes)
    )
    found = (hits.sum() + 0.5) / (len(hits) + 1)
    spread = 1 / np.sqrt((len(hits) + 1) * found * (1 - found))
    mean_size = float((sizes**2).sum()) / len(hits)
    result = np.empty(len(_CORRELATIONS))
    for k, correlation in enumerate(_CORRELATIONS.tolist()):
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
