"""A session as files that other programs read: CSV, JSON, and FCS for flow cytometry software."""

from __future__ import annotations

import errno
import io
import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from edge.base import REPLACE, RESEARCH_USE, csv_writer, replaced_atomically
from edge.classify import REASONS, REJECTED
from edge.report.crop_export import CLASSES, CROPS, check_crops, write_crops
from edge.report.files import CELL_COLUMNS, PIXEL_COLUMN, cell_values, probability_columns
from edge.report.without_paths import WithoutPaths
from edge.session import MOST_MEASURED, DamagedSessionError, FrameRecord, StoredSession

EXPORT_FORMATS: Mapping[str, tuple[str, ...]] = {
    "csv": ("cells.csv", "frames.csv"),
    "json": ("session.json",),
    "fcs": ("cells.fcs",),
    "crops": (CROPS,),
    "class-folders": (CLASSES,),
}
"""Format → the files, or the folder, that it makes."""

TABLE_FORMATS = ("csv", "json", "fcs")
"""Those that every session has."""

SESSION_CELL_COLUMNS = ("frame_index", "area_px", "border", "touching", "track_id")
"""Of ``cells.csv`` after a report's columns."""

FRAME_COLUMNS = (
    *("frame_index", "frame", "time_ns", "sha256", "failed", "kind", "cells", "dropped_before", "breaches"),
)
"""Of ``frames.csv``; one column per setting and quality measure that any frame has follows."""

UNKNOWN = -1
"""Track id, in FCS, of a cell that has none."""


def export_session(
    session: StoredSession,
    folder: Path,
    formats: Sequence[str],
    *,
    replace: bool = False,
    with_paths: bool = False,
) -> list[Path]:
    """Write a session in several formats, and return the paths of the files, each complete or not there.

    Of a folder of crops, those of its tables are returned. No name in the session becomes a file's name, but
    for labels, which are checked. A session may be written meanwhile: all files then show the same moment.
    Absolute folders are left out, see `WithoutPaths`, unless `with_paths` is set.

    Raises
    ------
    FileExistsError
        If there is a file of one of the names and `replace` is not set; nothing is written then.
    """
    paths = [folder / name for one in formats for name in EXPORT_FORMATS[one]]
    for path in paths:
        if not replace and path.exists():
            raise FileExistsError(errno.EEXIST, f"exists; {REPLACE}", str(path))
    written: list[Path] = []
    session = session if with_paths else WithoutPaths(session)
    with session.snapshot():
        for path in paths:
            if path.name in (CROPS, CLASSES):
                check_crops(session)
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.name in (CROPS, CLASSES):
                written += write_crops(session, path, by_class=path.name == CLASSES)
                continue
            with replaced_atomically(path) as file:
                _WRITERS[path.name](session, file)
            written.append(path)
    return written


def described(session: StoredSession) -> dict[str, Any]:
    """Return a session without its records, as JSON can hold it."""
    header, finished, totals = session.header, session.finished, session.totals()
    tally = totals.tally
    return {
        "id": session.id,
        "state": session.state,
        "header": asdict(header) | {"started": header.started.isoformat()},
        "finished": None if finished is None else asdict(finished) | {"ended": finished.ended.isoformat()},
        "totals": {
            "counts": dict(tally.counts),
            "rejected": tally.rejected,
            "rejected_by": dict(tally.rejected_by),
            "cells": tally.cells,
            "track_ids": totals.track_ids,
            "frames_read": tally.frames_read,
            "frames_failed": totals.frames_failed,
            "frames_dropped": totals.frames_dropped,
            "frames_out": totals.frames_out,
            "left_out": dict(totals.left_out),
        },
        "last_hash": session.last_hash,
        "use": RESEARCH_USE,
    }


def _write_cells_csv(session: StoredSession, file: BinaryIO) -> None:
    probabilities = probability_columns(session.header.labels)
    pixel_um = _pixel_um(session.header.parameters)
    with _csv(file, *CELL_COLUMNS, *probabilities, PIXEL_COLUMN, *SESSION_CELL_COLUMNS) as write:
        for frame in session.frames():
            for one in frame.cells:
                cell = one.cell
                write(
                    (
                        *cell_values(frame.name, cell, one.decision, one.probabilities),
                        pixel_um,
                        *(frame.index, cell.area_px, int(cell.border), int(cell.touching), one.track_id),
                    )
                )


def _pixel_um(parameters: Mapping[str, Any]) -> float | None:
    """Return the side of a frame's pixel; before schema 2 it stood among the other parameters."""
    pixel_um = parameters.get("analysis", parameters)
    pixel_um = pixel_um.get("pixel_um") if isinstance(pixel_um, Mapping) else None
    return pixel_um if isinstance(pixel_um, float | int) else None


def _write_frames_csv(session: StoredSession, file: BinaryIO) -> None:
    settings: set[str] = set()
    quality: set[str] = set()
    for frame in session.frames():
        settings.update(frame.settings)
        quality.update(frame.quality)
        if max(len(settings), len(quality)) > MOST_MEASURED:
            raise DamagedSessionError(
                f"{session.path}: damaged: its frames have more than {MOST_MEASURED} different settings or"
                " quality measures"
            )
    _write_frames(session, file, sorted(settings), sorted(quality))


def _write_frames(
    session: StoredSession, file: BinaryIO, settings: Sequence[str], quality: Sequence[str]
) -> None:
    measured = (*(f"settings.{name}" for name in settings), *(f"quality.{name}" for name in quality))
    with _csv(file, *FRAME_COLUMNS, *measured) as write:
        for frame in session.frames():
            write(
                (
                    *(frame.index, frame.name, frame.time_ns, frame.sha256, frame.failed, _kind(frame)),
                    *(len(frame.cells), frame.dropped_before, "; ".join(frame.breaches)),
                    *(frame.settings.get(name) for name in settings),
                    *(frame.quality.get(name) for name in quality),
                )
            )


def _kind(frame: FrameRecord) -> str | None:
    """Return why a frame is not counted, in one word."""
    return None if frame.failed is None else str(frame.facts.get("kind", "unreadable"))


def _write_json(session: StoredSession, file: BinaryIO) -> None:
    """Write one object: that of `described`, and ``frames``, one line each."""
    with _as_text(file) as text:
        text.write(json.dumps(described(session))[:-1] + ', "frames": [')
        separator = "\n"
        for frame in session.frames():
            text.write(separator + json.dumps(_without_blobs(frame)))
            separator = ",\n"
        text.write("\n]}\n")


def _without_blobs(frame: FrameRecord) -> dict[str, Any]:
    values = asdict(frame)
    del values["tracker_state"]
    values["cells"] = [
        {
            **asdict(one.cell),
            "label": one.decision.label,
            **asdict(one.decision),
            "probabilities": one.probabilities,
            "track_id": one.track_id,
        }
        for one in frame.cells
    ]
    return values


def _write_fcs(session: StoredSession, file: BinaryIO) -> None:
    """Write one event per cell: FCS 3.1 (Spidlen et al., Cytometry A 77:97, 2010), floats in list mode."""
    import flowio  # type: ignore[import-untyped] # only this format needs it, and its import is slow

    labels = session.header.labels
    channels = [
        *("frame", "x", "y", "width", "height", "area_px", "label"),
        # a comma may not be in a channel's name
        *(name.replace(",", ";") for name in probability_columns(labels)),
        *("border", "touching", "track_id", "likeliest", "rejected_by"),
    ]
    events = array("f")
    for frame in session.frames():
        for one in frame.cells:
            cell, likeliest = one.cell, labels.index(one.decision.likeliest)
            label = len(labels) if one.decision.rejected_by else likeliest
            events.extend((frame.index, cell.x, cell.y, cell.width, cell.height, cell.area_px, label))
            events.extend(one.probabilities)
            track_id = UNKNOWN if one.track_id is None else one.track_id
            reason = ("", *REASONS).index(one.decision.rejected_by)
            events.extend((cell.border, cell.touching, track_id, likeliest, reason))
    ranges = {
        f"p{k + 1}r": str(math.ceil(max(0, max(events[k :: len(channels)], default=0))) + 1)
        for k in range(len(channels))
    }
    flowio.create_fcs(file, events, channels, metadata_dict=ranges | _keywords(session))


def _keywords(session: StoredSession) -> dict[str, str]:
    header, finished = session.header, session.finished
    keywords = {
        "$SMNO": header.sample_id,
        "$OP": header.operator,
        "$CYT": header.software,
        "$COM": RESEARCH_USE,
        "$DATE": header.started.astimezone(UTC).strftime("%d-%b-%Y").upper(),
        "$BTIM": _clock(header.started),
        "$ETIM": _clock(finished.ended) if finished else "",
        "LEUKO_SESSION": session.id,
        "LEUKO_STATE": session.state,
        "LEUKO_HASH": session.last_hash,
        "LEUKO_BUNDLE": header.bundle,
        "LEUKO_BUNDLE_SHA256": header.bundle_sha256,
        "LEUKO_CALIBRATION_SHA256": header.calibration_sha256 or "",
        "LEUKO_COUNTED": ", ".join(header.counted),
        **{f"LEUKO_LABEL_{k}": label for k, label in enumerate((*header.labels, REJECTED))},
        **{f"LEUKO_REASON_{k}": reason for k, reason in enumerate(REASONS, 1)},
    }
    return {keyword: _value(text) for keyword, text in keywords.items() if text}


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%H:%M:%S")


def _value(text: str) -> str:
    """Return a keyword's value; it may neither begin nor end with the delimiter."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return f" {text} " if text.startswith("/") or text.endswith("/") else text


@contextmanager
def _csv(file: BinaryIO, *columns: str) -> Iterator[Callable[[Sequence[object]], object]]:
    with _as_text(file) as text:
        write = csv_writer(text)
        write(columns)
        yield write


@contextmanager
def _as_text(file: BinaryIO) -> Iterator[TextIO]:
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        yield text
    finally:
        text.detach()


_WRITERS: Mapping[str, Callable[[StoredSession, BinaryIO], None]] = {
    "cells.csv": _write_cells_csv,
    "frames.csv": _write_frames_csv,
    "session.json": _write_json,
    "cells.fcs": _write_fcs,
}
