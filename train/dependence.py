"""How many independent cells tell as much as cells of groups (frames, patients), which are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.count import equivalent_ratio

_CORRELATIONS = ((np.arange(24) + 0.5) / 24) ** 2
"""Evenly spread square roots: the spread of the groups' rates is as likely small as large, but for a factor
1 − ρ, as groups of cells that are all alike are unlikely."""

_STEPS = np.linspace(-5, 5, 33)


def independent_share(values: NDArray[Any], groups: Sequence[str] | NDArray[Any] | None = None) -> float:
    """Return how many independent cells tell as much of the mean of these values, per cell; 0 of one group.

    It is one over the design effect 1 + (m − 1) ρ, where m is the mean number of cells in a cell's group and ρ
    the correlation of two cells of a group. Few mistakes hardly tell ρ, and one that is estimated from them is
    too small most of the time. So what the cells tell of it is used as a whole: the share is the one whose
    interval is as wide as that over all ρ, each as likely as a beta-binomial distribution of the groups makes it
    (superpopulation model: Franco, Little, Louis and Slud, JSSAM 7:334, 2019; prior: Gelman, Bayesian
    Analysis 1:515, 2006). Values that are all the same tell little of ρ, and do not count as independent.

    Parameters
    ----------
    values : [n]
        n > 0. Of more than two kinds, the one that is most alike in groups counts.
    groups : [n] or None
        Group of each value; by default each is its own.
    """
    _, group = np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)
    sizes = np.bincount(group)
    if len(sizes) == len(values):
        return 1.0
    if len(sizes) == 1:
        return 0.0
    kinds = np.unique(values)
    effects = 1 + (float((sizes**2).sum()) / len(values) - 1) * _CORRELATIONS
    return min(
        1 / equivalent_ratio(effects, _log_weights(np.bincount(group, values == kind), sizes, effects))
        for kind in (kinds if len(kinds) > 2 else kinds[:1])
    )


def _log_weights(
    hits: NDArray[Any], sizes: NDArray[np.int64], effects: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how likely each correlation is, a logarithm, for any rate of hits (Jeffreys' prior).

    Parameters
    ----------
    hits, sizes : [groups]
        Hits and cells of each group.
    effects : float64 [correlations]
        The design effect of each of `_CORRELATIONS`.
    """
    steps = np.arange(sizes.max())
    # a rising factorial a (a + 1) … (a + k − 1) is a product over all i < k
    of_hits, of_misses, of_cells = (
        (counts[:, None] > steps).sum(0) for counts in (hits, sizes - hits, sizes)
    )
    found = (hits.sum() + 0.5) / (sizes.sum() + 1)
    spread = 1 / np.sqrt((sizes.sum() + 1) * found * (1 - found))
    result = np.empty(len(effects))
    for k, (correlation, effect) in enumerate(zip(_CORRELATIONS.tolist(), effects.tolist(), strict=True)):
        logits = np.log(found / (1 - found)) + spread * np.sqrt(effect) * _STEPS
        rates = 1 / (1 + np.exp(-logits))
        cells = (1 - correlation) / correlation
        logs = (
            np.log(cells * rates[:, None] + steps) @ of_hits
            + np.log(cells * (1 - rates[:, None]) + steps) @ of_misses
            - np.log(cells + steps) @ of_cells
            + np.log(rates * (1 - rates) * effect) / 2
        )
        result[k] = np.log1p(-correlation) + logs.max() + np.log(np.exp(logs - logs.max()).sum())
    return result
