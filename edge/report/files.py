"""`cells.csv`, written while counting, and `summary.json`, the object that ``--json`` prints."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from edge import __version__
from edge.bundle import Manifest
from edge.count import Correction, CountedFrame, Estimate, Tally
from edge.durable import write_atomically
from edge.totals import Spread

RESEARCH_USE = "research use only, not for diagnosis"
"""Said with every result."""

LEUKOCYTES = "leukocytes"
"""All counted labels together."""

CELL_COLUMNS = ("frame", "x", "y", "width", "height", "label", "probability")


@dataclass(frozen=True)
class Run:
    """A finished count and what it was made with.

    Attributes
    ----------
    tally : what was counted
    corrected : what that says of the true cells
    manifest, bundle_sha256 : the bundle, and the hash of its whole file
    identifier : the same for the same frames, bundle and parameters
    parameters : every setting that the count depends on, as JSON can hold it
    sources : what the operator named
    seconds : wall time
    finished : when
    stopped : the operator or a shutdown ended it before the last frame
    signed : who signed the bundle, in words
    plan : what was to end the count, see `edge.plan.Plan.stated`
    ended : what of that did, in words; empty where nothing did
    dropped : frames that a camera gave and nobody could count in time
    sightings : cells found in all frames, where each is counted once; None where frames are separate
    concentrations : counted label, and `LEUKOCYTES`, → cells in a µL of the sample; empty if not known
    no_concentration : why it is not known, in a sentence
    quality : measure → how it ran over the frames
    out : name of each frame beyond a limit of quality, and the limits, in words
    session : id of the session that keeps every frame's record; empty without one
    remarks : what whoever reads the results has to know, a sentence each
    other_files : it was gone on with, and there were more or fewer files than when it began
    """

    tally: Tally
    corrected: Correction
    manifest: Manifest
    bundle_sha256: str
    identifier: str
    parameters: Mapping[str, Any]
    sources: tuple[str, ...]
    seconds: float
    finished: datetime
    stopped: bool = False
    signed: str = "not signed"
    plan: Mapping[str, float] = field(default_factory=dict)
    ended: str = ""
    dropped: int = 0
    sightings: int | None = None
    concentrations: Mapping[str, Estimate] = field(default_factory=dict)
    no_concentration: str = ""
    quality: Mapping[str, Spread] = field(default_factory=dict)
    out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    session: str = ""
    remarks: tuple[str, ...] = ()
    other_files: bool = False


def summary(run: Run) -> dict[str, Any]:
    """State a finished count as one JSON object; a fraction without cells has the value null."""
    tally, manifest = run.tally, run.manifest
    return {
        "counts": dict(tally.counts),
        "fractions": {label: asdict(fraction) for label, fraction in tally.fractions.items()},
        "corrected": asdict(run.corrected) | {"unvalidated": list(run.corrected.unvalidated)},
        "rejected": tally.rejected,
        "frames": {
            "read": tally.frames_read,
            "failed": [{"name": failed.name, "reason": failed.reason} for failed in tally.failed],
        },
        "cells": tally.cells,
        "sightings": run.sightings,
        "cells_per_ul": {label: asdict(value) for label, value in run.concentrations.items()} or None,
        "no_cells_per_ul": run.no_concentration or None,
        "quality": {
            "dropped": run.dropped,
            "measures": {name: asdict(spread) for name, spread in run.quality.items()},
            "out": [{"name": name, "breaches": list(breaches)} for name, breaches in run.out],
        },
        "remarks": list(run.remarks),
        "stopped": run.stopped,
        "plan": dict(run.plan),
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


def write_summary(path: Path, run: Run) -> None:
    """Write `summary` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(summary(run), indent=2) + "\n").encode())


def write_cells_header(file: TextIO, *, each_once: bool = False) -> None:
    """Begin a ``cells.csv``, with a column ``identity`` where each cell is counted once."""
    columns = (*CELL_COLUMNS, "identity") if each_once else CELL_COLUMNS
    csv.writer(file, lineterminator="\n").writerow(columns)
    file.flush()


def write_cells(file: TextIO, counted: CountedFrame) -> None:
    """Add a row a cell, in full-frame pixels, and hand them to the operating system at once.

    ``label`` is the assigned one, ``rejected`` for a cell of low confidence; ``probability`` is that of the
    most probable label either way; ``identity`` is the same in all rows of one cell.
    """
    writer = csv.writer(file, lineterminator="\n")
    identities = [()] * len(counted.cells) if counted.identities is None else counted.identities[:, None]
    for cell, label, row, identity in zip(
        counted.cells, counted.assigned, counted.probabilities, identities, strict=True
    ):
        box = (cell.x, cell.y, cell.width, cell.height)
        writer.writerow((counted.frame.name, *box, label, f"{row.max():.4f}", *identity))
    file.flush()
