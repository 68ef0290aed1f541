"""``leuko doctor``: what is wrong with a device, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edge.calibration import default_calibration_path
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, json_option
from edge.cli.output import echo
from edge.run import examine_device


@click.command()
@click.option(
    "--calibration",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="Calibration file to check; by default calibration.toml in the folder of leuko's state.",
)
@json_option
def doctor(calibration: Path | None, as_json: bool) -> None:
    """Check this device: Python, runtime, cores, camera, disk, clock, board, bundles and calibration.

    Exit code 1 if there is a problem; warnings leave it at 0. The check takes at most a minute.
    """
    with one_line_errors():
        calibration = calibration or default_calibration_path()
    findings = []
    for finding in examine_device(calibration):
        findings.append(finding)
        if not as_json:
            echo(f"{finding.status:8} {finding.check:11} {finding.found}")
            if finding.remedy:
                echo(f"{'':20} → {finding.remedy}")
    problems = [finding.check for finding in findings if finding.status == "problem"]
    if as_json:
        echo(json.dumps({"healthy": not problems, "findings": [asdict(f) for f in findings]}))
    if problems:
        raise click.ClickException(f"problems with {', '.join(problems)}")
