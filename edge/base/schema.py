"""Fields with a description and a range."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any


def key(
    comment: str, low: float = -math.inf, high: float = math.inf, *, pattern: str = "", **options: Any
) -> Any:
    """Declare a key.

    Parameters
    ----------
    comment : beside it in a new file
    low, high : range of a number
    pattern : regular expression of a text
    options : ``default`` if it may be left out
    """
    return field(metadata={"comment": comment, "low": low, "high": high, "pattern": pattern}, **options)
