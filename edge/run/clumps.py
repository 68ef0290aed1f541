"""Remarks on fields that differ by more than chance, and on too few of them to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.count import ENOUGH_FIELDS, LEUKOCYTES, Dispersion


def clump_remarks(shares: Mapping[str, Dispersion], numbers: Mapping[str, Dispersion]) -> Iterator[str]:
    """Yield the remarks.

    Parameters
    ----------
    shares, numbers : mapping
        Label → dispersion of its share, and of its concentration; empty where none are stated.
    """
    differing = [label for label, one in shares.items() if one.clear]
    if differing:
        yield (
            f"the fields differ in their shares of {', '.join(differing)} by more than chance, and intervals"
            " allow for it: mix the sample well, and take more fields, from all over it"
        )
    every = numbers.get(LEUKOCYTES)
    if every is None:
        return
    wide = f"the interval of cells/µL of all leukocytes is {every.ratio**0.5:.2g} times as wide for it"
    if every.clear:
        yield (
            "the fields differ in their numbers of cells by more than chance, as with clumps:"
            f" {wide}; mix the sample well, let the cells settle, and take more fields, from all over it"
        )
    elif every.fields < ENOUGH_FIELDS:
        few = "1 field" if every.fields == 1 else f"{every.fields} fields"
        yield (
            f"{few} cannot show whether cells lie in clumps, and intervals allow for it: {wide}; take"
            f" {ENOUGH_FIELDS} fields or more"
        )
