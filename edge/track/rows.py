"""Tables of cells: arrays with one row per cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Base of the tables: every field is an array with the same number of rows."""

    track_id: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track_id)

    def take(self, rows: NDArray[Any]) -> Self:
        """Return these rows in this order, or the rows of a mask."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def followed_by(self, others: Self) -> Self:
        """Return these rows and then the others."""
        pairs = {name: (values, vars(others)[name]) for name, values in vars(self).items()}
        return type(self)(**{name: np.concatenate(pair) for name, pair in pairs.items()})
