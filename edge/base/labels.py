"""Which names a class of cells may have: a label stands beside our own words in tables and reports."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

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

_ALIKE = {
    ord(other): row[0]
    for row in (
        *("a\u0410\u0430\u0391\u03b1\u0251", "b\u0412\u0392", "c\u0421\u0441", "d\u0501"),
        *("e\u0415\u0435\u0395", "g\u0261", "h\u041d\u04bb\u0397", "i\u0406\u0456\u0399\u03b9\u0131"),
        *("j\u0408\u0458", "k\u041a\u043a\u039a\u03ba", "l\u04c0\u04cf", "m\u041c\u043c\u039c"),
        *("n\u039d", "o\u041e\u043e\u039f\u03bf", "p\u0420\u0440\u03a1\u03c1", "q\u051a\u051b"),
        *("s\u0405\u0455", "t\u0422\u0442\u03a4\u03c4", "u\u03c5", "v\u03bd\u0475"),
        *("w\u051c\u051d", "x\u0425\u0445\u03a7\u03c7", "y\u0423\u0443\u03a5", "z\u0396"),
    )
    for other in row[1:]
}
"""Cyrillic, Greek and phonetic letters that look like Latin ones, with those before them."""


@lru_cache(maxsize=4096)
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
    """Return one line per group of labels that differ only in case, spaces or letters that look alike."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        groups[_folded(label)].append(label)
    return [
        f"labels {' and '.join(alike)} differ only in case, spaces or letters that look alike: make them one"
        for alike in groups.values()
        if len(alike) > 1
    ]


def _folded(label: str) -> str:
    return "".join(unicodedata.normalize("NFKC", label).translate(_ALIKE).casefold().split())


_RESERVED_FOLDED = frozenset(map(_folded, RESERVED))
