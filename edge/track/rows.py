"""Tables of cells: arrays with a row a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Base of the tables: every field is an array, and all have the same number of rows."""

    track_id: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.track_id)

    def take(self, rows: NDArray[Any]) -> Self:
        """These rows, in this order, or those of a mask."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def followed_by(self, others: Self) -> Self:
        """These rows and then the others."""
        pairs = {name: (values, vars(others)[name]) for name, values in vars(self).items()}
        return type(self)(**{name: np.concatenate(pair) for name, pair in pairs.items()})
