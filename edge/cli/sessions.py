"""``leuko sessions`` lists, shows, checks and exports what was counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, json_option, log_option, threads_option
from edge.cli.screen import counting, follow
from edge.cli.tables import new_table, plain, print_table
from edge.report import EXPORT_FORMATS, described
from edge.report import export_session as write
from edge.run import resume as resume_session
from edge.session import (
    Header,
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

session_argument = click.argument("session", default="latest", type=NamedPath(path_type=str))


@click.group()
def sessions() -> None:
    """Look into the sessions of this device, and take them elsewhere.

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
        click.echo(
            json.dumps(
                [
                    {
                        "id": one.id,
                        "path": str(one.path),
                        "state": one.state,
                        "header": one.header and _said(one.header),
                        "frames": one.frames,
                        "cells": one.cells,
                        "reason": one.reason,
                    }
                    for one in listed
                ]
            )
        )
        return
    table = new_table("Session", "Sample", "Operator", "State", "Frames", "Cells", "Bundle", "Reason")
    for one in listed:
        about = (one.header.sample_id, one.header.operator) if one.header else ("", "")
        table.add_row(
            *map(plain, (one.id, *map(_short, about), one.state, str(one.frames), str(one.cells))),
            plain(one.header.bundle if one.header else ""),
            plain(one.reason),
            style="red" if one.state == "unreadable" else "",
        )
    print_table(table)


@sessions.command()
@session_argument
@json_option
def show(session: str, as_json: bool) -> None:
    """Show what SESSION says of itself, and what was counted in it."""
    with one_line_errors(SessionError), _read(session) as stored, stored.snapshot():
        note = clock_note(stored.id, stored.header.started)
        if as_json:
            click.echo(json.dumps(described(stored) | {"clock": note}))
            return
        facts, totals = _facts(stored), stored.totals()
    table = new_table("Session", plain(stored.id))
    for name, value in facts.items():
        table.add_row(name, plain(value))
    print_table(table)
    click.echo()
    _print_counts(totals, stored.header)
    if note:
        click.echo(f"\n{note}", err=True)


@sessions.command()
@session_argument
@json_option
def verify(session: str, as_json: bool) -> None:
    """Check that nothing in SESSION was changed, removed, moved or added.

    Exit code 1 and a line a problem otherwise.
    """
    with one_line_errors(SessionError), _read(session) as stored, stored.snapshot():
        problems = stored.verify()
        said: dict[str, Any] = {"id": stored.id, "problems": problems}
        if not problems:
            said |= {"state": stored.state, "frames": stored.count_frames(), "last_hash": stored.last_hash}
    if as_json:
        click.echo(json.dumps(said))
    elif problems:
        click.echo("\n".join(plain(problem).plain for problem in problems))
    else:
        click.echo(f"{stored.id}: the chain of {said['frames']} records holds, {said['last_hash']}")
        if said["state"] != "finished":
            click.echo("not finished: nothing would show that records at its end are missing", err=True)
    if problems:
        raise click.exceptions.Exit(1)


@sessions.command()
@click.argument("session", required=False, type=NamedPath(path_type=str))
@threads_option
@log_option
@json_option
def resume(session: str | None, threads: int | None, log_form: str, as_json: bool) -> None:
    """Go on with an unfinished SESSION, by default the newest, and print its results.

    They are those of a count that was not interrupted; files that were counted must not have changed. Exit
    codes are those of leuko count.
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
    help="Write the files into this folder.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["csv", "json", "fcs"]),
    help="Only this one, or these; by default all.",
)
@click.option("--force", is_flag=True, help="Replace files of an earlier export.")
@json_option
def export(session: str, out: Path, formats: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Write SESSION as cells.csv, frames.csv, session.json and cells.fcs (FCS 3.1, an event a cell)."""
    with one_line_errors(SessionError), _read(session) as stored:
        written = write(stored, out, list(dict.fromkeys(formats or EXPORT_FORMATS)), replace=force)
    if as_json:
        click.echo(json.dumps({"id": stored.id, "files": [str(path) for path in written]}))
        return
    for path in written:
        click.echo(path)


def _short(name: str) -> str:
    """As much of a name as leaves room for the rest of the table."""
    return name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN - 1]}…"


def _read(name: str) -> StoredSession:

    return read_session(find_session(name))


def _said(header: Header) -> dict[str, Any]:

    return asdict(header) | {"started": header.started.isoformat()}


def _facts(stored: StoredSession) -> dict[str, str]:
    header, finished, totals = stored.header, stored.finished, stored.totals()
    ended = f", {finished.reason}, {finished.ended:%Y-%m-%d %H:%M:%S %Z}" if finished else ""
    facts = {
        "Sample": header.sample_id or "not said",
        "Operator": header.operator or "not said",
        "Started": f"{header.started:%Y-%m-%d %H:%M:%S %Z}",
        "State": f"{stored.state}{ended}",
        "Stop rule": _words(header.stop_rule),
        "Sources": ", ".join(header.sources),
        "Bundle": f"{header.bundle}, SHA-256 {header.bundle_sha256}",
        "Profile": f"SHA-256 {header.calibration_sha256}" if header.calibration_sha256 else "none",
        "Parameters": _words(header.parameters),
        "Software": header.software,
        "Frames": f"{totals.frames_read} read, {totals.frames_failed} not readable,"
        f" {totals.frames_dropped} dropped, {totals.frames_out} with quality out of limits",
        "Hash": stored.last_hash,
        "File": str(stored.path),
    }
    if totals.track_ids is not None:
        facts["Cells"] = f"{totals.track_ids} different ones, in {totals.cells} detections"
    return facts


def _words(mapping: Mapping[str, Any]) -> str:
    said = (f"{name} {json.dumps(value)}" for name, value in mapping.items() if value is not None)
    return ", ".join(said) or "none"


def _print_counts(totals: SessionTotals, header: Header) -> None:
    table = new_table("Cell", "Count" if totals.track_ids is None else "Detections", "")
    table.columns[1].justify = "right"
    for label, count in totals.counts.items():
        table.add_row(plain(label), str(count), "" if label in header.counted else "not a leukocyte")
    table.add_row("rejected", str(totals.rejected), "")
    print_table(table)
