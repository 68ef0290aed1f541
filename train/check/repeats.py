"""What repeated cells do to a set: double weight, two labels, and leaks from training into validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from edge.base import quantity
from train.check.duplicates import Pair, Repeats, clusters
from train.check.findings import Finding, Result, Status
from train.check.inventory import Crop
from train.table import VALIDATION


def check_copies(crops: Sequence[Crop], pairs: Sequence[Pair]) -> Result:
    """Check for equal crops, as files or in their pixels."""
    findings = []
    for one, other in ((crops[pair.first], crops[pair.second]) for pair in pairs if pair.copy):
        same_file = one.file_digest == other.file_digest
        message = "the same file twice" if same_file else "the same pixels, perhaps turned or mirrored"
        findings.append(Finding(message, other.name, one.name, 1.0))
    answer = quantity(len(findings), "crop is a copy", "crops are copies") + " of another"
    return Result("copies", answer if findings else "none", tuple(findings))


def check_repeated_cells(crops: Sequence[Crop], repeats: Repeats, *, grouped: bool, split: bool) -> Result:
    """Check for cells that several crops show.

    A set that may be split at random (`split`) keeps the crops of a group together, if it names groups.
    """
    pairs = [pair for pair in repeats.pairs if not pair.copy]
    findings = []
    for pair in pairs:
        one, other = crops[pair.first], crops[pair.second]
        message, status = f"apparently the same cell (correlation {pair.similarity:.3f})", Status.OK
        if split and one.group != other.group:
            groups = ", in two groups" if grouped else ""
            message, status = f"{message}{groups}: a random split may separate them", Status.WARNING
        findings.append(Finding(message, one.name, other.name, round(pair.similarity, 4), status))
    answer = "none"
    if pairs:
        found = clusters(pairs)
        by_chance = f", about {repeats.by_chance:,} of them by chance" if repeats.by_chance else ""
        answer = f"{sum(map(len, found)):,} crops show {quantity(len(found), 'cell')} "
        answer += f"({quantity(len(pairs), 'pair')}{'' if repeats.dismissed else by_chance})"
    if repeats.dismissed:
        similar = f"{quantity(repeats.dismissed, 'similar pair')} not counted"
        answer += f"; {similar}: chance would make about {repeats.by_chance:,}"
    return Result("repeated cells", answer, tuple(findings))


def check_labels(crops: Sequence[Crop], pairs: Sequence[Pair]) -> Result:
    """Check for cells with two labels."""
    findings = []
    for pair in pairs:
        one, other = crops[pair.first], crops[pair.second]
        if one.label != other.label:
            message = f"the same cell is {one.label} here and {other.label} there"
            findings.append(Finding(message, one.name, other.name, pair.similarity))
    return Result("two labels", quantity(len(findings), "pair") if findings else "none", tuple(findings))


def check_split(crops: Sequence[Crop], parts: Sequence[str], pairs: Sequence[Pair]) -> Result:
    """Check what training and validation share; `parts` has one of the two per crop."""
    parts_of_group: defaultdict[str, set[str]] = defaultdict(set)
    parts_of_label: defaultdict[str, set[str]] = defaultdict(set)
    for crop, part in zip(crops, parts, strict=True):
        parts_of_group[crop.group].add(part)
        parts_of_label[crop.label].add(part)
    findings = [
        Finding("a group in both training and validation", group)
        for group, found in parts_of_group.items()
        if len(found) > 1
    ]
    findings += [
        Finding(f"a class in {next(iter(found))} only", label)
        for label, found in parts_of_label.items()
        if len(found) == 1
    ]
    for pair in pairs:
        if parts[pair.first] != parts[pair.second]:
            trained, held_out = sorted((pair.first, pair.second), key=lambda index: parts[index])
            message = f"in training and again in validation (correlation {pair.similarity:.3f})"
            names = crops[trained].name, crops[held_out].name
            findings.append(Finding(message, *names, round(pair.similarity, 4)))
    leaked = sum(
        parts[index] == VALIDATION
        for cluster in clusters(pairs)
        if len({parts[index] for index in cluster}) > 1
        for index in cluster
    )
    validation = sum(part == VALIDATION for part in parts)
    answer = f"{len(parts) - validation:,} to train on, {validation:,} to validate on"
    if leaked:
        answer += f"; {quantity(leaked, 'of these is', 'of these are')} in training too"
    return Result("split", answer, tuple(findings))
