"""``leuko bundle keygen`` and ``leuko bundle sign``: keys and signatures of bundles."""

from __future__ import annotations

import getpass
import json
import os
import warnings
from pathlib import Path

import click

from convert.signing import encrypted, generate
from convert.signing import sign as make_signature
from edge.base import ANOTHER_NAME
from edge.cli.bundle import inspect_bundle
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, NewFile, force_option, require_free
from edge.cli.output import echo
from edge.model import write_bundle

KEY = NamedPath(exists=True, dir_okay=False, path_type=Path)
PASSPHRASE = "LEUKO_PASSPHRASE"


@click.command()
@click.argument("key", type=NamedPath(dir_okay=False, path_type=Path))
@click.option(
    "--passphrase", is_flag=True, help=f"Protect the key with a passphrase, from ${PASSPHRASE} or a prompt."
)
def keygen(key: Path, passphrase: bool) -> None:
    """Write a new private key to KEY, readable by its owner only, and print what devices need to trust it."""
    with one_line_errors(ValueError):
        if key.exists():
            raise click.ClickException(f"{key} exists, and a key is never replaced; {ANOTHER_NAME}")
        public = generate(key, _passphrase(confirm=True) if passphrase else None)
    _print_trust_lines(key.stem, public)


@click.command()
@click.argument("bundle_file", metavar="BUNDLE")
@click.option("--key", required=True, type=KEY, help="Private key, from `leuko bundle keygen`.")
@click.option("--out", required=True, type=NewFile(".tflite"), help="The signed bundle, a .tflite file.")
@force_option
def sign(bundle_file: str, key: Path, out: Path, force: bool) -> None:
    """Sign BUNDLE, a path or a shipped name; an earlier signature is replaced."""
    if out.exists() and out.samefile(key):
        raise click.UsageError("--out is the key")
    require_free(force, out)
    with one_line_errors(ValueError):
        unsigned, _, _ = inspect_bundle(bundle_file)
        if key.stat().st_mode & 0o077:
            echo(f"Warning: others can read {key}: run chmod 600 {key}", err=True)
        passphrase = _passphrase() if encrypted(key) else None
        made = make_signature(key, unsigned.unsigned_sha256, passphrase)
        golden = unsigned.golden_crops, unsigned.golden_outputs
        signed = write_bundle(out, unsigned.manifest, unsigned.flatbuffer, *golden, made)
    echo(f"{out}: sha256 {signed.sha256}")
    _print_trust_lines(key.stem, made.public_key)


def _passphrase(*, confirm: bool = False) -> str:
    if given := os.environ.get(PASSPHRASE):
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
        except getpass.GetPassWarning as error:
            reason = f"no terminal to ask for the passphrase: set {PASSPHRASE}"
            raise click.ClickException(reason) from error
    return asked


def _print_trust_lines(name: str, public: str) -> None:
    lines = "add these lines to its /etc/leuko/device.toml, below require_signed = true or false"
    echo(f"for a device to trust it, {lines}:", err=True)
    # a JSON string is a TOML string
    echo("[trusted]", f'{json.dumps(name)} = "{public}"')
