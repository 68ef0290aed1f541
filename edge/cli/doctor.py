"""``leuko doctor`` says what is wrong with a device, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge.cli.options import NamedPath, json_option, one_line_errors


@click.command()
@click.option(
    "--profile",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="Profile to check; by default profile.toml in the folder of leuko's state.",
)
@json_option
def doctor(profile: Path | None, as_json: bool) -> None:
    """Check this device: Python, runtime, cores, camera, disk, clock, board, bundles and profile.

    Exit code 1 if something is a problem; warnings leave it at 0. It takes a minute at most.
    """
    from dataclasses import asdict

    from edge.doctor import examine
    from edge.profile import default_path

    with one_line_errors():
        profile = profile or default_path()
    findings = []
    for finding in examine(profile):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.status:8} {finding.check:8} {finding.found}")
            if finding.remedy:
                click.echo(f"{'':17} → {finding.remedy}")
    problems = [finding.check for finding in findings if finding.status == "problem"]
    if as_json:
        click.echo(json.dumps({"healthy": not problems, "findings": [asdict(f) for f in findings]}))
    if problems:
        raise click.ClickException(f"problems with {', '.join(problems)}")
