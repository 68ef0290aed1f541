"""Pairs of frames from two folders, by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

SAMPLE = 50
"""Names of the first folder that determine the rule, by which all are then paired."""


class Pairing(NamedTuple):
    """Pairs (name in the first folder, name in the second), and the names without a partner."""

    pairs: list[tuple[str, str]]
    first_alone: list[str]
    second_alone: list[str]


def pair_names(first: Sequence[str], second: Sequence[str]) -> Pairing:
    """Pair equal names or, if none are equal, names that differ in one part that is always the same.

    ``bf_01, bf_02`` and ``dapi_01, dapi_02`` pair by *bf → dapi*, wherever that part stands in the name. The
    part that pairs most names decides. If several do equally well nothing is paired, nor if a single pair
    differs in digits only, which may be the number of another frame. Names are without suffix, each once.
    """
    partners = {name: name for name in set(first) & set(second)} or _by_rule(first, second)
    taken = set(partners.values())
    return Pairing(
        [(name, partners[name]) for name in first if name in partners],
        [name for name in first if name not in partners],
        [name for name in second if name not in taken],
    )


def _by_rule(first: Sequence[str], second: Sequence[str]) -> dict[str, str]:
    """Pair by the difference that most names share."""
    counts = Counter(_difference(a, b) for a in first[:SAMPLE] for b in second)
    ranked = counts.most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return {}
    rule, pairs = ranked[0]
    if pairs == 1 and all(part.isdigit() or not part for part in rule):
        return {}
    found = [(a, b) for a in first for b in second if _difference(a, b) == rule]
    firsts, seconds = (Counter(names) for names in zip(*found, strict=True))
    return {a: b for a, b in found if firsts[a] == seconds[b] == 1}


def _difference(a: str, b: str) -> tuple[str, str]:
    """Return what is left of both without their common beginning and then their common end."""
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    return a[start : len(a) - end], b[start : len(b) - end]


def _common(a: str, b: str) -> int:
    """Return the length of the common beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
