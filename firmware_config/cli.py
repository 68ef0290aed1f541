"""``leuko firmware`` turns a Raspberry Pi into an instrument."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import click

from edge.base import ANOTHER_NAME
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, force_option, json_option, require_free
from edge.cli.output import echo, echo_document
from firmware_config import system
from firmware_config.check import check as check_profile
from firmware_config.hardware import BOARDS, RELEASES, SENSORS
from firmware_config.image import (
    HOST,
    TAKEN,
    USER,
    Card,
    ImageError,
    Login,
    check_image,
    password_hash,
    public_keys,
    replace_image,
)
from firmware_config.install import NotUndoneError, carry_out
from firmware_config.journal import alone, interrupted, roll_back
from firmware_config.plan import InstallPlan, differences, plan_installation
from firmware_config.read import read_file
from firmware_config.render import render as render_tree
from firmware_config.start import initial_values
from firmware_config.state import InstallError
from firmware_config.tree import Block, Link, Tree
from firmware_config.wheels import WheelsError, collect
from firmware_config.write import documentation, new_profile

profile_argument = click.argument("profile", type=NamedPath(exists=True, dir_okay=False, path_type=Path))
root_option = click.option(
    "--root",
    default="/",
    show_default=True,
    type=NamedPath(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Root folder of the device's system, if it is mounted here.",
)
release_option = click.option(
    "--release",
    type=click.Choice(list(RELEASES)),
    default="bookworm",
    show_default=True,
    help="Release of Raspberry Pi OS Lite, 64 bit, on the device.",
)


@click.group()
def firmware() -> None:
    """Turn a Raspberry Pi into an instrument that one profile describes.

    PROFILE is a TOML file; leuko firmware init prints a new one.
    """


@firmware.command()
@click.option("--board", required=True, type=click.Choice(list(BOARDS)), help="Raspberry Pi model.")
@click.option("--sensor", required=True, type=click.Choice(list(SENSORS)), help="Camera model.")
@release_option
def init(board: str, sensor: str, release: str) -> None:
    """Print a new, commented profile."""
    echo_document(new_profile(initial_values(board, sensor, release)))


@firmware.command()
def keys() -> None:
    """Print all keys of a profile with their ranges, as a table in Markdown."""
    echo_document(documentation())


@firmware.command()
@profile_argument
@root_option
@json_option
def check(profile: Path, root: Path, as_json: bool) -> None:
    """Name every problem of PROFILE: line, key, why, and what to do.

    Exit code 1 if there is one.
    """
    checked = check_profile(read_file(profile), profile.parent, root)
    if as_json:
        problems = [asdict(problem) for problem in checked.problems]
        echo(json.dumps({"profile": str(profile), "problems": problems, "notes": checked.notes}))
    else:
        for problem in checked.problems:
            echo(problem.named(str(profile)))
    for note in checked.notes:
        echo(note, err=True)
    if checked.problems:
        raise click.exceptions.Exit(1)
    echo(f"{profile}: no problem", err=True)


@firmware.command()
@profile_argument
@click.option(
    "--out",
    required=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Folder to write into, empty or new.",
)
def render(profile: Path, out: Path) -> None:
    """Write what PROFILE would install, as a tree below the --out folder.

    Of the boot partition's files only the lines and words that are added to them are written.
    """
    with one_line_errors():
        if out.exists() and any(out.iterdir()):
            raise click.ClickException(f"{out} holds other files; {ANOTHER_NAME}")
    tree = _tree(profile, Path("/"))
    with one_line_errors():
        for name, entry in tree.items():
            place = out / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry, Link):
                place.symlink_to(entry.target)
            else:
                place.write_bytes(entry.apply(b"") if isinstance(entry, Block) else entry.content)
            echo(place)
        for place in out.rglob("*"):
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() else 0o644)  # whatever the umask


@firmware.command()
@profile_argument
@root_option
def diff(profile: Path, root: Path) -> None:
    """Print what installing PROFILE would change, or nothing if all is up to date.

    Exit code 1 if something would change.
    """
    changes = _plan(root, _tree(profile, root), overwrite=False).changes
    for line in differences(changes):
        echo(line)
    if changes:
        raise click.exceptions.Exit(1)


yes_option = click.option("--yes", is_flag=True, help="Make the changes instead of listing them.")
overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace files that were edited by hand since, and reconstruct a lost record of the installation.",
)


@firmware.command()
@profile_argument
@root_option
@yes_option
@overwrite_option
def install(profile: Path, root: Path, yes: bool, overwrite: bool) -> None:
    """Install PROFILE: list what changes and, with --yes, change it.

    Replaced files are kept, and leuko firmware uninstall restores them. If anything fails, everything is
    undone. What is already installed is left alone.
    """
    _install(root, _tree(profile, root), yes, overwrite)


@firmware.command()
@root_option
@yes_option
@overwrite_option
def uninstall(root: Path, yes: bool, overwrite: bool) -> None:
    """Restore what was there before installing: list what changes and, with --yes, change it.

    The service's user and its sessions stay.
    """
    _install(root, {}, yes, overwrite)


@firmware.command("bundle-wheels")
@release_option
@click.option(
    "--machine",
    type=click.Choice(["aarch64", "x86_64"]),
    default="aarch64",
    show_default=True,
    help="The device's processor; aarch64 on every board.",
)
@click.option(
    "--out",
    required=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="Folder for the wheels, for install.sh --wheels.",
)
def bundle_wheels(release: str, machine: str, out: Path) -> None:
    """Collect all wheels for a device without a network.

    Run it on a workstation, from a checkout. It downloads about 100 MB, which takes some minutes.
    """
    with one_line_errors(WheelsError):
        for wheel in collect(out, release, machine):
            echo(wheel)


@firmware.command()
@profile_argument
@click.option(
    "--out",
    required=True,
    type=NamedPath(file_okay=False, path_type=Path),
    help="New folder for the files, whose content goes onto the card's boot partition.",
)
@click.option(
    "--wheels",
    required=True,
    type=NamedPath(exists=True, file_okay=False, path_type=Path),
    help="What leuko firmware bundle-wheels --release trixie collected.",
)
@click.option("--user", required=True, help="Name of the user who logs in on the device.")
@click.option(
    "--ssh-key",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    help="File with the user's public SSH keys; turns SSH on, for these keys only.",
)
@click.option(
    "--password-hash",
    "hash_file",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    help="File with the hash of the user's password, as openssl passwd -6 prints it.",
)
@click.option("--hostname", default="leuko", show_default=True, help="Name of the device in the network.")
@force_option
def image(
    profile: Path,
    out: Path,
    wheels: Path,
    user: str,
    ssh_key: Path | None,
    hash_file: Path | None,
    hostname: str,
    force: bool,
) -> None:
    """Write what makes a fresh card boot into the instrument of PROFILE, without a network.

    Write Raspberry Pi OS Lite (64 bit, Trixie) onto a card without any customisation, and copy the content of
    the --out folder onto its boot partition before its first start. It holds no secrets but what you give.
    """
    for name, text, pattern in (("--user", user, USER), ("--hostname", hostname, HOST)):
        if not re.fullmatch(pattern, text):
            raise click.UsageError(f"{name}: {text!r} is no name; use a-z, 0-9 and hyphens, a letter first")
    if user in TAKEN.split():
        raise click.UsageError(f"--user: {user} is a user or group of the system; choose another name")
    if ssh_key is None and hash_file is None:
        raise click.UsageError(
            "give --ssh-key or --password-hash: nobody could log in, not even to calibrate"
        )
    require_free(force, out)
    checked = check_profile(read_file(profile), profile.parent, Path("/"))
    for line in (*(problem.named(str(profile)) for problem in checked.problems), *checked.notes):
        # the boot partition of this machine is not the card's
        if not line.startswith("/boot/"):
            echo(line, err=True)
    if checked.profile is None:
        raise click.ClickException(f"{profile}: first correct what leuko firmware check names")
    with one_line_errors(ImageError, WheelsError):
        check_image(checked.profile)
        login = Login(
            user,
            public_keys(ssh_key) if ssh_key else (),
            password_hash(hash_file) if hash_file else "",
        )
        size = replace_image(out, Card(checked, wheels, login, hostname))
    echo(out)
    echo(f"{size / 1e6:.0f} MB; copy what is in it onto the boot partition, beside config.txt", err=True)
    if partition := checked.profile.storage.data_partition:
        echo(f"{partition} must be there at the first start: no partition is made", err=True)


def _install(root: Path, tree: Tree, yes: bool, overwrite: bool) -> None:
    if not yes:
        _change(root, tree, yes=False, overwrite=overwrite)
        return
    if os.geteuid() != 0:
        raise click.ClickException("needs root; run it with sudo")
    with one_line_errors(InstallError), alone(root):
        if interrupted(root):
            roll_back(root)
            echo("an interrupted installation was undone first", err=True)
        _change(root, tree, yes=True, overwrite=overwrite)


def _change(root: Path, tree: Tree, *, yes: bool, overwrite: bool) -> None:
    plan = _plan(root, tree, overwrite)
    if not yes:
        for change in plan.changes:
            echo(f"would {change.verb} /{change.path}")
    if plan.edited and not overwrite:
        paths = ", ".join(f"/{path}" for path in plan.edited)
        raise click.ClickException(f"edited by hand since it was installed: {paths}; --overwrite replaces it")
    if not plan.changes:
        echo("nothing to change", err=True)
    elif not yes:
        echo("nothing was changed; pass --yes to do it; leuko firmware diff shows the lines", err=True)
    if not yes:
        return

    def finish() -> None:
        if tree:
            system.make_users_and_folders(root)
        system.reload(root)

    try:
        carry_out(plan, finish)
    except NotUndoneError as error:
        raise click.ClickException(str(error)) from error
    except (OSError, InstallError) as error:
        reason = system.refusal(error) if isinstance(error, OSError) else error
        raise click.ClickException(f"{reason}; everything was undone") from error
    for change in plan.changes:
        echo(f"{change.verb}d /{change.path}")
    if root == Path("/") and plan.changes:
        echo("restart the device to complete the change", err=True)


def _plan(root: Path, tree: Tree, overwrite: bool) -> InstallPlan:
    with one_line_errors(InstallError):
        return plan_installation(root, tree, also=system.ALSO if tree else (), rebuild=overwrite)


def _tree(profile: Path, root: Path) -> Tree:
    """Render a profile that has no problem."""
    checked = check_profile(read_file(profile), profile.parent, root)
    for line in (*(problem.named(str(profile)) for problem in checked.problems), *checked.notes):
        echo(line, err=True)
    if checked.profile is None or checked.bundle is None:
        raise click.ClickException(f"{profile}: first correct what leuko firmware check names")
    return render_tree(checked.profile, checked.text, checked.bundle)
