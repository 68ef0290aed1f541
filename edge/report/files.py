"""`cells.csv`, written while counting, and `summary.json`, the object that ``--json`` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from edge import __version__
from edge.base import RESEARCH_USE, Cell, csv_writer, write_atomically
from edge.classify import Decision
from edge.count import Correction, CountedFrame, CountResult

CELL_COLUMNS = (*("frame", "x", "y", "width", "height", "label", "probability", "likeliest", "rejected_by"),)
"""Of every ``cells.csv``; those of `probability_columns` follow, and where a report counts each cell once
``track_id``."""

PIXEL_COLUMN = "pixel_um"
"""Follows the probabilities: the side of the frame's pixel, without which a box has no scale."""


def result_summary(result: CountResult) -> dict[str, Any]:
    """Return a finished count as one JSON object; the value of a share without cells is null.

    Of an unusable count ``fractions``, ``corrected`` and ``cells_per_ul`` are null, and ``counts`` only say
    what the network called the bodies.
    """
    tally, manifest, corrected = result.tally, result.manifest, result.corrected
    fractions = {label: asdict(fraction) for label, fraction in tally.fractions.items()}
    per_ul = {label: asdict(value) for label, value in result.concentrations.items()}
    usable = not result.unusable
    return {
        "unusable": result.unusable or None,
        "counts": dict(tally.counts),
        "fractions": fractions if usable else None,
        "dispersion": dict(tally.dispersion) if usable else None,
        "corrected": _corrected(corrected) if usable else None,
        "rejected": tally.rejected,
        "rejected_by": dict(tally.rejected_by),
        "frames": {
            "read": tally.frames_read,
            "failed": [
                {"name": failed.name, "kind": failed.kind, "reason": failed.reason} for failed in tally.failed
            ],
            "unlisted": dict(tally.unlisted),
        },
        "cells": tally.cells,
        "detections": result.detections,
        "cells_per_ul": per_ul if usable and per_ul else None,
        "field_volume": asdict(result.volume) | {"exact": list(result.volume.exact)}
        if usable and result.volume
        else None,
        "no_cells_per_ul": result.unusable or result.no_concentration or None,
        "size_gates": {name: asdict(effect) for name, effect in result.size_gates.items()}
        if usable
        else None,
        "quality": {
            "dropped": result.dropped,
            "measures": {name: asdict(spread) for name, spread in result.quality.items()},
            "out": [{"name": name, "breaches": list(breaches)} for name, breaches in result.out],
        },
        "remarks": list(result.remarks),
        "stopped": result.stopped,
        "stop_rule": dict(result.stop_rule),
        "ended": result.ended or None,
        "session": result.session or None,
        "bundle": {
            "name": manifest.name,
            "version": manifest.version,
            "sha256": result.bundle_sha256,
            "signature": result.signed,
        },
        "seconds": round(result.seconds, 3),
        "identifier": result.identifier,
        "pixel": {"um": result.parameters["pixel_um"], "from": result.pixel_from},
        "parameters": dict(result.parameters),
        "sources": list(result.sources),
        "sample_id": result.sample_id or None,
        "operator": result.operator or None,
        "notice": manifest.notice,
        "use": RESEARCH_USE,
        "software": f"leuko-edge {__version__}",
        "finished": result.finished.isoformat(timespec="seconds"),
    }


def _corrected(correction: Correction) -> dict[str, Any]:
    return asdict(correction) | {"unvalidated": list(correction.unvalidated), "report": correction.report}


def write_summary(path: Path, result: CountResult) -> None:
    """Write `result_summary` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(result_summary(result), indent=2) + "\n").encode())


def write_cells_header(file: TextIO, labels: Sequence[str], *, each_once: bool = False) -> None:
    """Begin a ``cells.csv``."""
    tracked = ("track_id",) if each_once else ()
    csv_writer(file)((*CELL_COLUMNS, *probability_columns(labels), PIXEL_COLUMN, *tracked))
    file.flush()


def write_cells(file: TextIO, counted: CountedFrame, pixel_um: float | None = None) -> None:
    """Write one row per cell, and pass the rows to the operating system at once."""
    write = csv_writer(file)
    track_ids = [()] * len(counted.cells) if counted.track_ids is None else counted.track_ids[:, None]
    for cell, decision, row, track_id in zip(
        counted.cells, counted.decisions, counted.probabilities.tolist(), track_ids, strict=True
    ):
        write((*cell_values(counted.frame.name, cell, decision, row), pixel_um, *track_id))
    file.flush()


def probability_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the columns with the probability of each label, in the bundle's order."""
    return tuple(f"p_{label}" for label in labels)


def cell_values(
    frame: str, cell: Cell, decision: Decision, probabilities: Sequence[float]
) -> tuple[object, ...]:
    """Return the values of `CELL_COLUMNS` and `probability_columns`.

    The box is in full-frame pixels. ``label`` is ``rejected`` for a rejected cell, and ``rejected_by`` then
    states why; ``likeliest`` and ``probability`` are those of the most probable label.
    """
    box = (cell.x, cell.y, cell.width, cell.height)
    named = (decision.label, f"{max(probabilities):.4f}", decision.likeliest, decision.rejected_by)
    return (frame, *box, *named, *(f"{p:.6f}" for p in probabilities))
