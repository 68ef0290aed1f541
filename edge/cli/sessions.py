"""``leuko sessions`` lists, shows, verifies, resumes and exports sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge.base import quantity
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, json_option, log_option, threads_option
from edge.cli.output import echo
from edge.cli.screen import counting, follow
from edge.cli.tables import new_table, plain, print_table
from edge.report import EXPORT_FORMATS, TABLE_FORMATS, described, export_session, frames_in_words
from edge.run import resume as resume_session
from edge.session import (
    SessionError,
    SessionTotals,
    StoredSession,
    clock_note,
    find_session,
    list_sessions,
    read_session,
    unfinished_sessions,
)

NAME_SHOWN = 24
"""Letters of a sample's or an operator's name in the list; all are in ``--json`` and in ``show``."""

LIST_COLUMNS = ("Session", "Sample", "Operator", "State", "Frames", "Cells", "Bundle", "Reason")

session_argument = click.argument("session", default="latest", type=NamedPath(path_type=str))


@click.group()
def sessions() -> None:
    """Look at the sessions of this device, resume them, and export them.

    SESSION is an id, the beginning of one, "latest" (the default), or the path of a session's file, with a
    slash in it or ending in .db.
    """


@sessions.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the sessions, newest first."""
    with one_line_errors(SessionError):
        listed = list_sessions()
    if as_json:
        values = [asdict(one) | {"path": str(one.path)} for one in listed]
        echo(json.dumps(values, default=lambda started: started.isoformat()))
        return
    table = new_table(*LIST_COLUMNS, whole=("Session", "State", "Frames", "Cells"))
    for one in listed:
        names = (one.header.sample_id, one.header.operator) if one.header else ("", "")
        bundle = one.header.bundle if one.header else ""
        counts = str(one.frames), str(one.cells)
        columns = (one.id, *map(_short, names), one.state, *counts, bundle, one.reason)
        table.add_row(*map(plain, columns), style="red" if one.state in ("damaged", "unreadable") else "")
    print_table(table, droppable=("Bundle", "Operator", "Reason", "Sample", "Cells", "Frames", "State"))


@sessions.command()
@session_argument
@json_option
def show(session: str, as_json: bool) -> None:
    """Show what SESSION holds: its settings and its counts."""
    with one_line_errors(SessionError), read_session(find_session(session)) as stored, stored.snapshot():
        note = clock_note(stored.id, stored.header.started)
        if as_json:
            echo(json.dumps(described(stored) | {"clock": note}))
            return
        totals = stored.totals()
        facts = _facts(stored, totals)
        result = (stored.finished and stored.finished.result) or {}
    table = new_table("Session", plain(stored.id))
    for name, value in facts.items():
        table.add_row(name, plain(value))
    print_table(table)
    echo("")
    if result.get("unusable"):
        echo(f"{result['unusable']}: no leukocytes are stated")
    else:
        _print_counts(totals)
    for remark in result.get("remarks", ()):
        echo(f"Remark: {remark}")
    if note:
        echo("", note, err=True)


@sessions.command()
@session_argument
@json_option
def verify(session: str, as_json: bool) -> None:
    """Verify that nothing in SESSION was changed, removed, moved or added.

    Otherwise the exit code is 1, with one line per problem.
    """
    with one_line_errors(SessionError), read_session(find_session(session)) as stored, stored.snapshot():
        problems = stored.verify()
        found: dict[str, Any] = {"id": stored.id, "problems": problems}
        if not problems:
            found |= {"state": stored.state, "frames": stored.count_frames(), "last_hash": stored.last_hash}
    if as_json:
        echo(json.dumps(found))
    elif problems:
        echo(*problems)
    else:
        echo(f"{stored.id}: the chain of {found['frames']} records holds, {found['last_hash']}")
        if found["state"] != "finished":
            echo("not finished: records missing at its end would not show", err=True)
    if problems:
        raise click.exceptions.Exit(1)


@sessions.command()
@click.argument("session", required=False, type=NamedPath(path_type=str))
@threads_option
@log_option
@json_option
def resume(session: str | None, threads: int | None, log_form: str, as_json: bool) -> None:
    """Resume an unfinished SESSION, by default the newest, and print its results.

    They are those of an uninterrupted count; files that were counted must not have changed. Exit codes are
    those of leuko count.
    """
    with counting(log_form) as screen:
        if session is None and not (found := unfinished_sessions()):
            raise SessionError("no session is unfinished")
        path = found[0] if session is None else find_session(session)
        follow(screen, resume_session(path), threads=threads, as_json=as_json)


@sessions.command()
@session_argument
@click.option(
    "--out",
    required=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Folder for the files.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(EXPORT_FORMATS)),
    help="Format to write; may be given several times. By default csv, json and fcs.",
)
@click.option("--force", is_flag=True, help="Replace files of an earlier export.")
@click.option("--with-paths", is_flag=True, help="Keep the folders of this machine in the names of files.")
@json_option
def export(
    session: str, out: Path, formats: tuple[str, ...], force: bool, with_paths: bool, as_json: bool
) -> None:
    """Write SESSION as cells.csv, frames.csv, session.json and cells.fcs (FCS 3.1, one event per cell).

    Of a count with --keep-crops, also as PNG files. The format crops is one PNG per cell in the folder crops,
    with crops.csv and rejected.csv; class-folders is the folder classes, with one folder per label, which
    leuko train reads.
    """
    with one_line_errors(SessionError), read_session(find_session(session)) as stored:
        wanted = list(dict.fromkeys(formats or TABLE_FORMATS))
        written = export_session(stored, out, wanted, replace=force, with_paths=with_paths)
    if as_json:
        echo(json.dumps({"id": stored.id, "files": [str(path) for path in written]}))
        return
    for path in written:
        echo(path)


def _short(name: str) -> str:
    """Return as much of a name as leaves room for the rest of the table."""
    return name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN - 1]}…"


def _facts(stored: StoredSession, totals: SessionTotals) -> dict[str, str]:
    header, finished, tally = stored.header, stored.finished, totals.tally
    ended = f", {finished.reason}, {finished.ended:%Y-%m-%d %H:%M:%S %Z}" if finished else ""
    facts = {
        "Sample": header.sample_id or "not given",
        "Operator": header.operator or "not given",
        "Started": f"{header.started:%Y-%m-%d %H:%M:%S %Z}",
        "State": f"{stored.state}{ended}",
        "Stop rule": _words(header.stop_rule),
        "Sources": ", ".join(header.sources),
        "Bundle": f"{header.bundle}, SHA-256 {header.bundle_sha256}",
        "Calibration": f"SHA-256 {header.calibration_sha256}" if header.calibration_sha256 else "none",
        "Parameters": _words(header.parameters),
        "Software": header.software,
        "Frames": f"{frames_in_words(tally.frames_read, totals.left_out)},"
        f" {totals.frames_dropped} dropped, {totals.frames_out} beyond a quality limit",
        "Hash": stored.last_hash,
        "File": str(stored.path),
    }
    if totals.track_ids is not None:
        facts["Cells"] = (
            f"{quantity(totals.track_ids, 'different cell')} in {quantity(tally.cells, 'detection')}"
        )
    return facts


def _words(mapping: Mapping[str, Any]) -> str:
    words = (f"{name} {json.dumps(value)}" for name, value in mapping.items() if value is not None)
    return ", ".join(words) or "none"


def _print_counts(totals: SessionTotals) -> None:
    tally = totals.tally
    table = new_table("Cell", "Count" if totals.track_ids is None else "Detections", "")
    table.columns[1].justify = "right"
    for label, count in tally.counts.items():
        table.add_row(plain(label), str(count), "" if label in tally.counted else "not a leukocyte")
    reasons = (f"{cells} {reason.replace('_', ' ')}" for reason, cells in tally.rejected_by.items() if cells)
    table.add_row("rejected", str(tally.rejected), ", ".join(reasons))
    print_table(table)
