"""Which names a class of cells may have: a label stands beside our own words in tables and reports."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

LONGEST_LABEL = 80

RESERVED = frozenset(
    {
        *("all leukocytes", "all", "total", "totals", "sum", "rejected", "counted", "not counted"),
        *("not a leukocyte", "corrected", "unusable", "share", "95 % interval", "cells/µl"),
        *("counts", "fractions", "cells_per_ul", "quality", "remarks", "detections", "frames", "cells"),
        *("frame", "frame_index", "width", "height", "xmin", "ymin", "xmax", "ymax", "area_px"),
        *("label", "labels", "probability", "likeliest", "rejected_by", "track_id", "particle", "pixel_um"),
        *("path", "group", "part", "fold", "truth", "answer", "suggestion", "suggested", "reason", "verdict"),
        *("accuracy", "precision", "recall", "f1", "confusion", "network", "seed", "epoch", "epochs"),
        *("training", "validation", "crops", "backgrounds", "cells.csv"),
        *("unsure", "unconfirmed", "exclude", "flagged", "no nucleus", "touching", "border", "out_of_focus"),
    }
)
"""Headings and keys of what holds labels (tables, files, pages, folders), and marks of cells without one."""


_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Printable characters that show nothing: fillers, joiners, variation selectors, a blank Braille pattern."""


def label_problem(label: str) -> str:
    """Return why a class of cells cannot have this name; empty if it can."""
    if not label.strip():
        return "a label is empty"
    named = f"label {label[:LONGEST_LABEL]!r}"
    if label != label.strip():
        return f"{named} has spaces at an end"
    if not label.isprintable() or _BLANK.search(label):
        return f"{named} has control characters, or characters that do not show"
    if len(label) > LONGEST_LABEL:
        return f"{named}… has {len(label)} characters, more than {LONGEST_LABEL}"
    plain = unicodedata.normalize("NFKC", label)
    if plain[0] in "=+-@'":
        return f"{named} begins with {label[0]}, as a formula in a spreadsheet does"
    if label[0] == "." or set(plain) & set("/\\"):
        return f"{named} cannot name a folder"
    if _folded(label) in _RESERVED_FOLDED:
        return f"{named} is a heading of the results: give the class another name"
    return ""


def labels_problem(labels: Iterable[str]) -> str:
    """Return why these cannot be the classes of one set; empty if they can."""
    labels = list(labels)
    problems = [*filter(None, map(label_problem, labels)), *alike_labels(labels)]
    return problems[0] if problems else ""


def alike_labels(labels: Iterable[str]) -> list[str]:
    """Return one line per group of labels that differ only in case, spaces or Unicode form."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        groups[_folded(label)].append(label)
    return [
        f"labels {' and '.join(alike)} differ only in case, spaces or Unicode form: make them one"
        for alike in groups.values()
        if len(alike) > 1
    ]


def _folded(label: str) -> str:
    return "".join(unicodedata.normalize("NFKC", label).casefold().split())


_RESERVED_FOLDED = frozenset(map(_folded, RESERVED))
