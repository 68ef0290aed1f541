"""What the rows of a session say: header, records and end, each value checked for its type and range.

Anybody may have made the file, so that a hash that fits says nothing of what a value is. What is wrong raises
a ValueError, or a TypeError, KeyError or RecursionError of the libraries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, get_args

import numpy as np

from edge.base import Cell, FailureKind, labels_problem, read
from edge.classify import REASONS, REJECTED, Decision
from edge.session.record import CellRecord, Finish, FrameRecord, Header
from edge.session.tables import Row, Tables, Types

_DIGITS = 20
"""Of the longest whole number: SQLite's have 64 bits."""

_MOST_PX = 2**31
_MOST = 2**53
"""Largest pixel, and largest count, index or track id: a float holds it exactly."""

_MOST_NAMES = {"labels": 1000, "counted": 1000, "sources": 100_000}
"""Of a bundle, and of a command line."""

_MOST_TREES = 2
"""``**`` in a source: each one more multiplies the folders to search."""

MOST_MEASURED = 100
"""Settings, or quality measures, of a session's frames; a camera states about ten."""

_DEPTH = 20
"""Of mappings and lists in one another; a header has four."""

_NUMBERS = {int, float}

_HEADER_NAMES_1 = {"profile_sha256": "calibration_sha256", "plan": "stop_rule"}
"""Header's fields in tables of version 1 → now."""


def to_header(text: str) -> tuple[str, Header]:
    """Return a session's id and its header."""
    values = {_HEADER_NAMES_1.get(name, name): value for name, value in _mapping(text).items()}
    if any(isinstance(values[n], list) and len(values[n]) > most for n, most in _MOST_NAMES.items()):
        raise ValueError("it names too much")
    session_id, started = values.pop("id"), datetime.fromisoformat(values["started"])
    header = read(Header, values | {"started": started})
    if not isinstance(session_id, str) or not session_id.isprintable() or len(session_id) > 100:
        raise ValueError("its id is no id")
    if not header.labels or len(set(header.labels)) < len(header.labels):
        raise ValueError("its labels are not different names")
    if problem := labels_problem(header.labels):
        raise ValueError(problem)
    if any(source.count("**") > _MOST_TREES for source in header.sources):
        raise ValueError(f"a source searches more than {_MOST_TREES} trees of folders in one another")
    if not set(header.counted) <= set(header.labels):
        raise ValueError("it counts what is no label")
    return session_id, replace(header, started=started)  # in the time zone that it is written in


def to_finish(text: str) -> Finish:
    """Return how a session ended."""
    values = _mapping(text)
    finish = read(Finish, values | {"ended": datetime.fromisoformat(values["ended"])})
    result = finish.result or {}
    remarks, unusable = result.get("remarks", []), result.get("unusable")
    if not _texts(remarks) or not isinstance(unusable, str | None):
        raise ValueError("its remarks are no texts")
    return finish


def checked(row: Row, types: Types) -> Row:
    """Return a row whose values have the types that the tables declare; SQLite reads others all the same."""
    for value, allowed in zip(row, types, strict=True):
        if type(value) not in allowed:
            raise ValueError(f"a {type(value).__name__} where {allowed[0].__name__} belongs")
    return row


def digest(value: object) -> bytes:
    """Return a hash as it is stored."""
    if not isinstance(value, bytes):
        raise ValueError("a hash is none")
    return value


def to_record(frame: Row, cells: Sequence[Row], tables: Tables, header: Header) -> FrameRecord:
    """Return the record of a frame's row and its cells' rows."""
    values = dict(zip(tables.frame_columns, frame, strict=True))
    del values["tracker_sha256"]
    settings, quality = _mapping(values.pop("settings")), _mapping(values.pop("quality"))
    if max(len(settings), len(quality)) > MOST_MEASURED:
        raise ValueError(f"a frame has more than {MOST_MEASURED} settings or quality measures")
    breaches = json.loads(values.pop("breaches"))
    counted, failed = values["sha256"], values["failed"]
    if not _texts(breaches):
        raise ValueError("breached limits are no texts")
    if (counted is None) == (failed is None) or (failed is not None and cells):
        raise ValueError("a frame is both counted and not")
    if not (0 <= values["frame_index"] <= _MOST and 0 <= values["dropped_before"] <= _MOST):
        raise ValueError("the number of a frame is out of range")
    return FrameRecord(
        index=values.pop("frame_index"),
        settings=settings,
        quality=quality,
        breaches=tuple(breaches),
        facts=to_facts(values.pop("facts", "{}")),
        cells=tuple(_to_cell(dict(zip(tables.cell_columns, row, strict=True)), header) for row in cells),
        **values,
    )


def to_facts(text: str) -> dict[str, Any]:
    """Return the facts of a record; of those here only what counts frames is checked."""
    facts = _mapping(text)
    unlisted = facts.get("unlisted_before", {})
    kinds = [facts.get("kind", "unreadable"), *unlisted]
    if (
        not isinstance(unlisted, dict)
        or not all(kind in get_args(FailureKind) for kind in kinds)
        or not all(type(frames) is int and 0 <= frames <= _MOST for frames in unlisted.values())
    ):
        raise ValueError("a frame is left out for no known reason, or the number of such frames is none")
    return facts


def _to_cell(values: Mapping[str, Any], header: Header) -> CellRecord:
    shares = json.loads(values["probabilities"])
    if (
        not isinstance(shares, list)
        or len(shares) != len(header.labels)
        or not set(map(type, shares)) <= _NUMBERS
    ):
        raise ValueError(f"a cell does not have {len(header.labels)} probabilities")
    if not sum(map(abs, shares)) <= _MOST:  # also what is no number
        raise ValueError("a probability is out of range")
    probabilities = tuple(shares)
    if "label" in values:  # tables of version 1
        decision, track_id = _decision_1(values["label"], probabilities, header), values["identity"]
    else:
        decision, track_id = Decision(values["likeliest"], values["rejected_by"]), values["track_id"]
    if decision.likeliest not in header.labels or decision.rejected_by not in ("", *REASONS):
        raise ValueError("a cell has a label that the header does not name, or an unknown reason")
    box = (values["x"], values["y"], values["width"], values["height"])
    area_px = values["area_px"] or 0.0
    if min(box) < 0 or max(box) >= _MOST_PX or not 0 <= area_px <= _MOST:
        raise ValueError("the box of a cell is out of range")
    if track_id is not None and not 0 <= track_id <= _MOST:
        raise ValueError("a track id is out of range")
    cell = Cell(*box, area_px, bool(values["border"]), bool(values["touching"]))
    return CellRecord(cell, decision, probabilities, track_id, values["crop_png"])


def _decision_1(label: str, probabilities: Sequence[float], header: Header) -> Decision:
    """Return the decision behind a label of release 0.1, which rejected cells of low confidence first."""
    best = max(probabilities)
    likeliest = header.labels[probabilities.index(best)]
    if label != REJECTED:
        return Decision(label)
    low = np.float32(best) < header.parameters["reject_below"]
    return Decision(likeliest, "low_confidence" if low else "out_of_distribution")


def _mapping(text: str) -> dict[str, Any]:
    """Return a JSON object without numbers that no count has."""
    values = json.loads(text, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    if not isinstance(values, dict):
        raise ValueError("a list of values is none")
    within: list[Any] = [values]
    for _ in range(_DEPTH):
        items = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in within)
        within = [one for one in items if isinstance(one, dict | list)]
        if not within:
            return values
    raise ValueError("it is nested too deep")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("a number is not finite")
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("a number is too large")
    return int(text)


def _texts(values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(one, str) for one in values)
