"""``leuko firmware`` makes an instrument of a Raspberry Pi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, json_option
from firmware_config.hardware import BOARDS, RELEASES, SENSORS

if TYPE_CHECKING:
    from firmware_config.install import InstallPlan
    from firmware_config.tree import Tree

profile_argument = click.argument("profile", type=NamedPath(exists=True, dir_okay=False, path_type=Path))
root_option = click.option(
    "--root",
    default="/",
    show_default=True,
    type=NamedPath(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Root folder of the device's system, for one that is mounted here.",
)


@click.group()
def firmware() -> None:
    """Make an instrument of a Raspberry Pi: one profile says what it is.

    PROFILE is a TOML file that leuko firmware init begins.
    """


@firmware.command()
@click.option("--board", required=True, type=click.Choice(list(BOARDS)), help="Which Raspberry Pi.")
@click.option("--sensor", required=True, type=click.Choice(list(SENSORS)), help="Which camera.")
@click.option(
    "--release",
    type=click.Choice(list(RELEASES)),
    default="bookworm",
    show_default=True,
    help="Of Raspberry Pi OS Lite, 64 bit.",
)
def init(board: str, sensor: str, release: str) -> None:
    """Print a commented profile to begin with."""
    from firmware_config.profile import write
    from firmware_config.start import beginning

    click.echo(write(beginning(board, sensor, release)), nl=False)


@firmware.command()
def keys() -> None:
    """Print all keys of a profile with their ranges, as a table in Markdown."""
    from firmware_config.profile import documentation

    click.echo(documentation(), nl=False)


@firmware.command()
@profile_argument
@root_option
@json_option
def check(profile: Path, root: Path, as_json: bool) -> None:
    """Name every problem of PROFILE: line, key, why, and what to do.

    Exit code 1 if there is one.
    """
    from dataclasses import asdict

    from firmware_config.check import check as find
    from firmware_config.profile import read_file

    checked = find(read_file(profile), profile.parent, root)
    if as_json:
        problems = [asdict(problem) for problem in checked.problems]
        click.echo(json.dumps({"profile": str(profile), "problems": problems, "notes": checked.notes}))
    else:
        for problem in checked.problems:
            click.echo(problem.named(str(profile)))
    for note in checked.notes:
        click.echo(note, err=True)
    if checked.problems:
        raise click.exceptions.Exit(1)
    click.echo(f"{profile}: no problem", err=True)


@firmware.command()
@profile_argument
@click.option(
    "--out",
    required=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Write into this folder, which must be empty or not there yet.",
)
def render(profile: Path, out: Path) -> None:
    """Write what PROFILE would install, as a tree below the --out folder.

    Of the boot partition's files only the lines and words that are put into them are written.
    """
    from firmware_config.tree import Block, Link

    tree = _tree(profile, Path("/"))
    with one_line_errors():
        if out.exists() and any(out.iterdir()):
            raise click.ClickException(f"{out}: is not empty; name another folder, or empty it")
        for name, entry in tree.items():
            place = out / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry, Link):
                place.symlink_to(entry.target)
            else:
                place.write_bytes(entry.apply(b"") if isinstance(entry, Block) else entry.content)
            click.echo(place)
        for place in out.rglob("*"):
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() else 0o644)  # whatever the umask


@firmware.command()
@profile_argument
@root_option
def diff(profile: Path, root: Path) -> None:
    """Print what installing PROFILE would change, and nothing if all is as it says.

    Exit code 1 if something would change.
    """
    from firmware_config.install import differences

    changes = _planned(root, _tree(profile, root), overwrite=False).changes
    for line in differences(changes):
        click.echo(line)
    if changes:
        raise click.exceptions.Exit(1)


yes_option = click.option("--yes", is_flag=True, help="Do it; without this it is only shown.")
overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Also what somebody changed by hand since it was installed, and without the record of that.",
)


@firmware.command()
@profile_argument
@root_option
@yes_option
@overwrite_option
def install(profile: Path, root: Path, yes: bool, overwrite: bool) -> None:
    """Install PROFILE: show what changes and, with --yes, do it.

    What was there before is kept, and comes back with leuko firmware uninstall. If anything fails, all that
    was done is undone. What is installed already is left alone.
    """
    _install(root, _tree(profile, root), yes, overwrite)


@firmware.command()
@root_option
@yes_option
@overwrite_option
def uninstall(root: Path, yes: bool, overwrite: bool) -> None:
    """Restore what was there before installing: show what changes and, with --yes, do it.

    The service's user and its sessions stay.
    """
    _install(root, {}, yes, overwrite)


@firmware.command("bundle-wheels")
@click.option(
    "--release",
    type=click.Choice(list(RELEASES)),
    default="bookworm",
    show_default=True,
    help="Of Raspberry Pi OS on the device.",
)
@click.option(
    "--machine",
    type=click.Choice(["aarch64", "x86_64"]),
    default="aarch64",
    show_default=True,
    help="The device's processor; all boards have aarch64.",
)
@click.option(
    "--out",
    required=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Folder for the wheels; install.sh --wheels takes it.",
)
def bundle_wheels(release: str, machine: str, out: Path) -> None:
    """Collect all wheels that a device without a network needs, from a checkout, on a workstation."""
    from firmware_config.wheels import WheelsError, collect

    with one_line_errors(WheelsError):
        for wheel in collect(out, release, machine):
            click.echo(wheel)


def _install(root: Path, tree: Tree, yes: bool, overwrite: bool) -> None:
    import os

    from firmware_config import system
    from firmware_config.install import InstallError, NotUndoneError, carry_out

    planned = _planned(root, tree, overwrite)
    if not yes:
        for change in planned.changes:
            click.echo(f"would {change.verb} /{change.path}")
    if planned.edited and not overwrite:
        paths = ", ".join(f"/{path}" for path in planned.edited)
        raise click.ClickException(
            f"changed by hand since it was installed: {paths}; --overwrite gives it up"
        )
    if not planned.changes:
        click.echo("nothing to change", err=True)
    elif not yes:
        click.echo("nothing was changed; --yes does it, leuko firmware diff shows the lines", err=True)
    if not yes:
        return
    if os.geteuid() != 0:
        raise click.ClickException("needs root; run it with sudo")

    def finish() -> None:
        if tree:
            system.make_users_and_folders(root)
        system.reload(root)

    try:
        carry_out(planned, finish)
    except NotUndoneError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{system.refusal(error)}; all was undone") from error
    except InstallError as error:
        raise click.ClickException(f"{error}; all was undone") from error
    for change in planned.changes:
        click.echo(f"{change.verb}d /{change.path}")
    if root == Path("/") and planned.changes:
        click.echo("restart the device for all of it to hold", err=True)


def _planned(root: Path, tree: Tree, overwrite: bool) -> InstallPlan:
    from firmware_config.install import InstallError, plan_installation
    from firmware_config.system import ALSO

    with one_line_errors(InstallError):
        return plan_installation(root, tree, also=ALSO if tree else (), rebuild=overwrite)


def _tree(profile: Path, root: Path) -> Tree:
    """Render a profile that has no problem."""
    from firmware_config.check import check
    from firmware_config.profile import read_file
    from firmware_config.render import render

    checked = check(read_file(profile), profile.parent, root)
    for said in (*(problem.named(str(profile)) for problem in checked.problems), *checked.notes):
        click.echo(said, err=True)
    if checked.profile is None:
        raise click.ClickException(f"{profile}: correct what leuko firmware check names first")
    with one_line_errors():
        return render(checked.profile, checked.text, profile.parent)
