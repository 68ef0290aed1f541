"""Numbers in sentences."""

from __future__ import annotations


def quantity(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 crop``, ``2,000 crops``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
