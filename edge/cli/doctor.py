"""``leuko doctor``: what is wrong with a device, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edge.calibration import default_calibration_path
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, json_option
from edge.cli.output import echo, echo_document
from edge.run import answers, examine_device, silicon_page


@click.command()
@click.option(
    "--calibration",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="Calibration file to check; by default calibration.toml in the folder of leuko's state.",
)
@click.option(
    "--silicon",
    is_flag=True,
    help="Instead test what leuko relies on about a Raspberry Pi, and print the list with the answers.",
)
@json_option
def doctor(calibration: Path | None, silicon: bool, as_json: bool) -> None:
    """Check this device: Python, runtime, cores, camera, disk, clock, board, bundles and calibration.

    Exit code 1 if there is a problem; warnings leave it at 0. The check takes at most a minute.

    With --silicon it takes some minutes, and opens the camera: stop the service first.
    """
    if silicon:
        _silicon(as_json)
        return
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


def _silicon(as_json: bool) -> None:
    """Print the facts with their answers; leave with 1 if one does not hold."""
    tested = []
    for fact, said in answers():
        tested.append((fact, said))
        if not as_json:
            echo(f"{fact.name}: {said.words()}", err=True)
    if as_json:
        echo(json.dumps({"facts": [asdict(fact) | asdict(said) for fact, said in tested]}))
    else:
        echo_document(silicon_page(tested))
    if fails := [fact.name for fact, said in tested if said.holds is False]:
        raise click.ClickException(f"does not hold here: {', '.join(fails)}")
