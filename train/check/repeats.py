"""What repeated cells mean for a set: double weight, two labels, and leaks from training into validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from train.check.duplicates import Pair, Repeats, clusters
from train.check.findings import Finding, Result, Status, count
from train.check.inventory import Cell

TRAINING, VALIDATION = "training", "validation"


def check_copies(cells: Sequence[Cell], pairs: Sequence[Pair]) -> Result:
    """Answer which crops are equal, as files or in their pixels."""
    findings = []
    for pair in pairs:
        if pair.copy:
            one, other = cells[pair.first], cells[pair.second]
            same_file = one.file_digest == other.file_digest
            message = "the same file twice" if same_file else "the same pixels, turned or mirrored perhaps"
            findings.append(Finding(message, other.name, one.name, pair.similarity))
    answer = count(len(findings), "crop is a copy", "crops are copies") + " of another"
    return Result("copies", answer if findings else "none", tuple(findings))


def check_sightings(cells: Sequence[Cell], repeats: Repeats, *, grouped: bool, split: bool) -> Result:
    """Answer which cells are seen more than once.

    Parameters
    ----------
    cells, repeats
        The crops and what `train.check.duplicates.find_pairs` found.
    grouped
        Whether the set names groups; if so, a random split keeps crops of one group together.
    split
        Whether the set may be split at random; with a validation set, `check_split` tells what matters.
    """
    findings = []
    for pair in repeats.pairs:
        if not pair.copy:
            one, other = cells[pair.first], cells[pair.second]
            parted = split and one.group != other.group
            message = f"the same cell, as it seems (correlation {pair.similarity:.3f})"
            if parted:
                message += ", in two groups" if grouped else ""
                message += ": a random split may part them"
            status = Status.WARNING if parted else Status.OK
            findings.append(Finding(message, one.name, other.name, round(pair.similarity, 4), status))
    seen = clusters([pair for pair in repeats.pairs if not pair.copy])
    chance, sure = repeats.by_chance, not repeats.dismissed
    if findings:
        found = count(len(findings), "pair") + (
            f", about {chance:,} of them by chance" if sure and chance else ""
        )
        answer = f"{sum(map(len, seen)):,} crops show {count(len(seen), 'cell')} ({found})"
    else:
        answer = "none"
    if not sure:
        alike = f"{count(repeats.dismissed, 'pair')} of look-alikes not counted"
        answer += f"; {alike}: about {chance:,} such would be chance"
    return Result("seen again", answer, tuple(findings))


def check_labels(cells: Sequence[Cell], pairs: Sequence[Pair]) -> Result:
    """Answer which cells carry two labels."""
    findings = [
        Finding(
            f"the same cell is {one.label} here and {other.label} there",
            one.name,
            other.name,
            pair.similarity,
        )
        for pair in pairs
        for one, other in [(cells[pair.first], cells[pair.second])]
        if one.label != other.label
    ]
    return Result("two labels", count(len(findings), "pair") if findings else "none", tuple(findings))


def check_split(cells: Sequence[Cell], parts: Sequence[str], pairs: Sequence[Pair]) -> Result:
    """Answer what training and validation share.

    Parameters
    ----------
    cells
        Both parts.
    parts
        ``training`` or ``validation`` for each cell.
    pairs
        See `train.check.duplicates.find_pairs`.
    """
    findings = []
    parts_of_group: defaultdict[str, set[str]] = defaultdict(set)
    parts_of_label: defaultdict[str, set[str]] = defaultdict(set)
    for cell, part in zip(cells, parts, strict=True):
        parts_of_group[cell.group].add(part)
        parts_of_label[cell.label].add(part)
    for group, found in parts_of_group.items():
        if len(found) > 1:
            findings.append(Finding("a group in both training and validation", group))
    for label, found in parts_of_label.items():
        if len(found) == 1:
            findings.append(Finding(f"a class in {next(iter(found))} only", label))
    leaked = {
        index
        for cluster in clusters(pairs)
        if len({parts[index] for index in cluster}) > 1
        for index in cluster
        if parts[index] == VALIDATION
    }
    for pair in pairs:
        if parts[pair.first] != parts[pair.second]:
            trained, held_out = sorted((pair.first, pair.second), key=lambda index: parts[index])
            message = f"in training, and again in validation (correlation {pair.similarity:.3f})"
            findings.append(
                Finding(message, cells[trained].name, cells[held_out].name, round(pair.similarity, 4))
            )
    validation = sum(part == VALIDATION for part in parts)
    answer = f"{len(parts) - validation:,} to train on, {validation:,} to validate on"
    if leaked:
        answer += f", of which {count(len(leaked), 'is', 'are')} seen in training too"
    return Result("split", answer, tuple(findings))
