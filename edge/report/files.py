"""`cells.csv`, written while counting, and `summary.json`, the object that ``--json`` prints."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from edge import __version__
from edge.base import RESEARCH_USE, Cell, write_atomically
from edge.classify import Decision
from edge.count import CountedFrame, CountResult

CELL_COLUMNS = ("frame", "x", "y", "width", "height", "label", "probability", "likeliest", "rejected_by")


def result_summary(run: CountResult) -> dict[str, Any]:
    """State a finished count as one JSON object; a fraction without cells has the value null."""
    tally, manifest = run.tally, run.manifest
    return {
        "counts": dict(tally.counts),
        "fractions": {label: asdict(fraction) for label, fraction in tally.fractions.items()},
        "corrected": asdict(run.corrected) | {"unvalidated": list(run.corrected.unvalidated)},
        "rejected": tally.rejected,
        "rejected_by": dict(tally.rejected_by),
        "frames": {
            "read": tally.frames_read,
            "failed": [{"name": failed.name, "reason": failed.reason} for failed in tally.failed],
        },
        "cells": tally.cells,
        "detections": run.detections,
        "cells_per_ul": {label: asdict(value) for label, value in run.concentrations.items()} or None,
        "no_cells_per_ul": run.no_concentration or None,
        "quality": {
            "dropped": run.dropped,
            "measures": {name: asdict(spread) for name, spread in run.quality.items()},
            "out": [{"name": name, "breaches": list(breaches)} for name, breaches in run.out],
        },
        "remarks": list(run.remarks),
        "stopped": run.stopped,
        "stop_rule": dict(run.stop_rule),
        "ended": run.ended or None,
        "session": run.session or None,
        "bundle": {
            "name": manifest.name,
            "version": manifest.version,
            "sha256": run.bundle_sha256,
            "signature": run.signed,
        },
        "seconds": round(run.seconds, 3),
        "identifier": run.identifier,
        "parameters": dict(run.parameters),
        "sources": list(run.sources),
        "notice": manifest.notice,
        "use": RESEARCH_USE,
        "software": f"leuko-edge {__version__}",
        "finished": run.finished.isoformat(timespec="seconds"),
    }


def write_summary(path: Path, run: CountResult) -> None:
    """Write `summary` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(result_summary(run), indent=2) + "\n").encode())


def write_cells_header(file: TextIO, *, each_once: bool = False) -> None:
    """Begin a ``cells.csv``, with a column ``track_id`` where each cell is counted once."""
    columns = (*CELL_COLUMNS, "track_id") if each_once else CELL_COLUMNS
    csv.writer(file, lineterminator="\n").writerow(columns)
    file.flush()


def cell_columns(frame: str, cell: Cell, decision: Decision, probability: float) -> tuple[object, ...]:
    """Return the values of `CELL_COLUMNS`."""
    box = (cell.x, cell.y, cell.width, cell.height)
    return (frame, *box, decision.label, f"{probability:.4f}", decision.likeliest, decision.rejected_by)


def write_cells(file: TextIO, counted: CountedFrame) -> None:
    """Add one row per cell, in full-frame pixels, and pass the rows to the operating system at once.

    ``label`` is ``rejected`` for a rejected cell, and ``rejected_by`` then states why; ``likeliest`` and
    ``probability`` are those of the most probable label; ``track_id`` is the same in all rows of one cell.
    """
    writer = csv.writer(file, lineterminator="\n")
    track_ids = [()] * len(counted.cells) if counted.track_ids is None else counted.track_ids[:, None]
    for cell, decision, row, track_id in zip(
        counted.cells, counted.decisions, counted.probabilities, track_ids, strict=True
    ):
        columns = cell_columns(counted.frame.name, cell, decision, row.max())
        writer.writerow((*columns, *track_id))
    file.flush()
