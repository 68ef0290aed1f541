"""Pairs of least total cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MANY_TIMES = 4
"""Rows per column from which columns are assigned to rows: each row would be a step, even if left alone."""


def linear_assignment(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the one-to-one pairs (row, column) of least total cost, by row.

    Shortest augmenting paths (Jonker and Volgenant, Computing 38:325, 1987) without their initialisation.
    SciPy has it too, but takes 140 MB of disk.

    Parameters
    ----------
    cost : float64 [m, n]
        Finite. Only pairs of negative cost are made.
    """
    useful = cost < 0
    rows, columns = np.flatnonzero(useful.any(axis=1)), np.flatnonzero(useful.any(axis=0))
    if not rows.size:
        return []
    if len(rows) > MANY_TIMES * len(columns):
        return sorted((row, column) for column, row in linear_assignment(cost.T))
    # a further column of cost 0 for each row: it may stay alone
    every = np.zeros((len(rows), len(columns) + len(rows)))
    own = every[:, : len(columns)]
    np.minimum(cost[np.ix_(rows, columns)], 0, out=own)
    owner = _assign_all_rows(every)
    return sorted(
        (int(rows[row]), int(columns[column]))
        for column, row in enumerate(owner[: len(columns)])
        if row >= 0 and own[row, column] < 0
    )


def _assign_all_rows(cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the row of each column, or -1, in the least assignment of all rows; float64 [m, n], m ≤ n."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1, np.intp)
    for start in range(rows):
        length = np.full(columns, np.inf)
        before = np.full(columns, -1, np.intp)
        done = np.zeros(columns, bool)
        row, column, base = start, -1, 0.0
        reached: list[int] = []
        while True:
            through = base + cost[row] - row_price[row] - column_price
            shorter = ~done & (through < length)
            length[shorter], before[shorter] = through[shorter], column
            column = int(np.argmin(np.where(done, np.inf, length)))
            base = float(length[column])
            done[column] = True
            if owner[column] < 0:
                break
            reached.append(column)
            row = int(owner[column])
        row_price[start] += base
        for passed in reached:
            row_price[owner[passed]] += base - length[passed]
            column_price[passed] -= base - length[passed]
        while column >= 0:
            previous = int(before[column])
            owner[column] = start if previous < 0 else owner[previous]
            column = previous
    return owner
