"""``leuko bundle`` shows, lists and signs bundles."""

from __future__ import annotations

import getpass
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.cli.options import NamedPath, NewFile, json_option, one_line_errors
from edge.cli.tables import new_table, plain, print_table

if TYPE_CHECKING:
    from edge.bundle import Bundle

KEY = NamedPath(exists=True, dir_okay=False, path_type=Path)
PASSPHRASE = "LEUKO_PASSPHRASE"


@click.group()
def bundle() -> None:
    """Look into bundles, and sign them.

    Which keys a device trusts, and whether it refuses bundles that none of them signed, is said in its
    device.toml, in /etc/leuko or $LEUKO_HOME.
    """


@bundle.command("list")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=NamedPath(exists=True, file_okay=False))
@json_option
def list_bundles(folders: tuple[str, ...], as_json: bool) -> None:
    """List the bundles that come with leuko and those in each FOLDER, without its subfolders."""
    from edge.bundle import BundleError, shipped
    from edge.report.card import accuracy

    said: list[dict[str, Any]] = []
    table = new_table("Bundle", "Version", "Counts", "Named right in validation", "MB", "Signature")
    names = [*shipped(), *(str(path) for folder in folders for path in sorted(Path(folder).glob("*.tflite")))]
    with one_line_errors(ValueError):
        for name in names:
            try:
                listed, size_bytes, refusal = _inspect(name)
            except BundleError as error:
                said.append({"bundle": name, "refused": str(error)})
                table.add_row(plain(name), "", plain(str(error)), style="red")
                continue
            manifest = listed.manifest
            said.append({"bundle": name} | _said(listed, size_bytes, refusal))
            table.add_row(
                *map(plain, (name, manifest.version, ", ".join(manifest.counted), accuracy(manifest))),
                f"{size_bytes / 1e6:.2f}",
                plain(listed.signed),
                style="red" if refusal else "",
            )
    if as_json:
        click.echo(json.dumps(said))
    else:
        print_table(table)


@bundle.command()
@click.argument("bundle_file", metavar="BUNDLE")
@json_option
def show(bundle_file: str, as_json: bool) -> None:
    """Show what BUNDLE, a path or a shipped name, says of itself, once its hash and signature are checked."""
    from rich.text import Text

    from edge.report.card import facts

    with one_line_errors(ValueError):
        shown, size_bytes, refusal = _inspect(bundle_file)
    if as_json:
        click.echo(json.dumps(_said(shown, size_bytes, refusal)))
        return
    manifest = shown.manifest
    table = new_table(plain(f"{manifest.name} {manifest.version}"), "")
    for heading, pairs in facts(shown, size_bytes).items():
        table.add_row(Text(heading, "bold"), "")
        for name, value in pairs.items():
            table.add_row(plain(f"  {name}"), plain(value))
    print_table(table)
    confusion = new_table("Truth", *map(plain, manifest.labels))
    for label, row in zip(manifest.labels, manifest.confusion, strict=True):
        confusion.add_row(plain(label), *map(str, row))
    click.echo()
    print_table(confusion)
    if refusal:
        click.echo(f"\nthis device refuses it: {refusal}")


@bundle.command()
@click.argument("bundle_file", metavar="BUNDLE")
@click.option("--out", required=True, type=NewFile(".html"), help="The page, an .html file.")
def card(bundle_file: str, out: Path) -> None:
    """Write the model card of BUNDLE, a path or a shipped name, as one self-contained page."""
    from edge.bundle import locate
    from edge.durable import write_atomically
    from edge.report.card import card as page

    with one_line_errors(ValueError):
        described, size_bytes, _ = _inspect(bundle_file)
        write_atomically(out, page(described, size_bytes, locate(bundle_file).name).encode())
    click.echo(f"card: {out}", err=True)


@bundle.command()
@click.argument("key", type=NamedPath(dir_okay=False, path_type=Path))
@click.option("--passphrase", is_flag=True, help=f"Protect it; asked for, or taken from ${PASSPHRASE}.")
def keygen(key: Path, passphrase: bool) -> None:
    """Write a new private key to KEY, for its owner's eyes only; print what devices need to trust it."""
    from edge.signature import generate

    with one_line_errors(ValueError):
        if key.exists():
            raise click.ClickException(f"{key} exists, and no key is overwritten: choose another name")
        public = generate(key, _passphrase(confirm=True) if passphrase else None)
    _say_how_to_trust(key.stem, public)


@bundle.command()
@click.argument("bundle_file", metavar="BUNDLE")
@click.option("--key", required=True, type=KEY, help="Private key, from `leuko bundle keygen`.")
@click.option("--out", required=True, type=NewFile(".tflite"), help="The signed bundle, a .tflite file.")
def sign(bundle_file: str, key: Path, out: Path) -> None:
    """Sign BUNDLE, a path or a shipped name; an earlier signature is replaced."""
    from edge import signature
    from edge.bundle import write

    if out.exists() and out.samefile(key):
        raise click.UsageError("--out is the key")
    with one_line_errors(ValueError):
        unsigned, _, _ = _inspect(bundle_file)
        if key.stat().st_mode & 0o077:
            click.echo(f"Warning: {key} is not its owner's alone: chmod 600 it", err=True)
        passphrase = _passphrase() if signature.encrypted(key) else None
        made = signature.sign(key, unsigned.unsigned_sha256, passphrase)
        golden = unsigned.golden_crops, unsigned.golden_outputs
        signed = write(out, unsigned.manifest, unsigned.flatbuffer, *golden, made)
    click.echo(f"{out}: sha256 {signed.sha256}")
    _say_how_to_trust(key.stem, made.public_key)


def _inspect(name: str) -> tuple[Bundle, int, str | None]:
    """Read a bundle that this device might refuse to use: it, its size in bytes, and why it would."""
    from dataclasses import replace

    from edge.bundle import load, locate, refusal
    from edge.settings import read_settings

    settings = read_settings()
    found = load(name, replace(settings, require_signed=False))
    return found, locate(name).stat().st_size, refusal(found, settings)


def _said(found: Bundle, size_bytes: int, refusal: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "sha256": found.sha256,
        "unsigned_sha256": found.unsigned_sha256,
        "bytes": size_bytes,
        "golden_crops": len(found.golden_crops),
        "signature": found.signed,
        "public_key": found.signature and found.signature.public_key,
        "signer": found.signer,
        "refused": refusal,
        "manifest": asdict(found.manifest),
    }


def _passphrase(*, confirm: bool = False) -> str:
    if given := os.environ.get(PASSPHRASE):
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
        except getpass.GetPassWarning as error:
            reason = f"no terminal to ask for the passphrase: give it in {PASSPHRASE}"
            raise click.ClickException(reason) from error
    return asked


def _say_how_to_trust(name: str, public: str) -> None:
    click.echo("devices trust it with these lines in /etc/leuko/device.toml:", err=True)
    # a string of JSON is one of TOML
    click.echo(f'[trusted]\n{json.dumps(name)} = "{public}"')
