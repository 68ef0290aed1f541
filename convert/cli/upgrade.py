"""``leuko bundle upgrade``: bundles of the last release."""

from __future__ import annotations

from pathlib import Path

import click

from convert.upgrade import upgrade as write_upgraded
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, NewFile, force_option, require_free
from edge.cli.output import echo


@click.command()
@click.argument("old", type=NamedPath(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=NewFile(".tflite"), help="The upgraded bundle, a .tflite file.")
@force_option
def upgrade(old: Path, out: Path, force: bool) -> None:
    """Rewrite OLD, a bundle of an earlier release, for this one.

    The network stays the same, byte for byte. A signature does not: sign the new bundle again.
    """
    require_free(force, out)
    with one_line_errors(ValueError):
        bundle, was_signed = write_upgraded(old, out)
    echo(f"{out}: sha256 {bundle.sha256}")
    if was_signed:
        echo(f"Warning: the signature of {old} was dropped: sign {out} with leuko bundle sign", err=True)
