"""``leuko bundle list``, ``show`` and ``card``: the facts of bundles."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from edge.base import write_atomically
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, NewFile, force_option, json_option, require_free
from edge.cli.output import echo
from edge.cli.tables import new_table, plain, print_table
from edge.model import (
    Bundle,
    BundleError,
    load_bundle,
    locate_bundle,
    read_device_settings,
    refusal_reason,
    shipped_bundles,
)
from edge.report import model_card as page
from edge.report import model_facts, validation_accuracy


@click.command("list")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=NamedPath(exists=True, file_okay=False))
@json_option
def list_(folders: tuple[str, ...], as_json: bool) -> None:
    """List the shipped bundles and those in each FOLDER, without its subfolders."""
    rows: list[dict[str, Any]] = []
    headings = ("Bundle", "Version", "Counts", "Validation accuracy", "MB", "Signature")
    table = new_table(*headings, whole=("Bundle", "Version", "MB"))
    names = [
        *shipped_bundles(),
        *(str(path) for folder in folders for path in sorted(Path(folder).glob("*.tflite"))),
    ]
    with one_line_errors(ValueError):
        for name in names:
            try:
                listed, size_bytes, refusal = inspect_bundle(name)
            except BundleError as error:
                rows.append({"bundle": name, "refused": str(error)})
                table.add_row(plain(name), "", plain(str(error)), style="red")
                continue
            manifest = listed.manifest
            rows.append({"bundle": name} | _as_json(listed, size_bytes, refusal))
            table.add_row(
                *map(
                    plain,
                    (name, manifest.version, ", ".join(manifest.counted), validation_accuracy(manifest)),
                ),
                f"{size_bytes / 1e6:.2f}",
                plain(listed.signed),
                style="red" if refusal else "",
            )
    if as_json:
        echo(json.dumps(rows))
    else:
        print_table(table, droppable=("MB", "Signature", "Version", "Validation accuracy"))


@click.command()
@click.argument("bundle_file", metavar="BUNDLE")
@json_option
def show(bundle_file: str, as_json: bool) -> None:
    """Show what BUNDLE, a path or a shipped name, states, after a check of its hash and signature."""
    with one_line_errors(ValueError):
        shown, size_bytes, refusal = inspect_bundle(bundle_file)
    if as_json:
        echo(json.dumps(_as_json(shown, size_bytes, refusal)))
        return
    manifest = shown.manifest
    table = new_table(plain(f"{manifest.name} {manifest.version}"), "")
    for heading, pairs in model_facts(shown, size_bytes).items():
        table.add_row(Text(heading, "bold"), "")
        for name, value in pairs.items():
            table.add_row(plain(f"  {name}"), plain(value))
    print_table(table)
    confusion = new_table("Truth", *map(plain, manifest.labels))
    for label, row in zip(manifest.labels, manifest.confusion, strict=True):
        confusion.add_row(plain(label), *map(str, row))
    echo("")
    print_table(confusion)
    if refusal:
        echo("", f"this device refuses it: {refusal}")


@click.command()
@click.argument("bundle_file", metavar="BUNDLE")
@click.option("--out", required=True, type=NewFile(".html"), help="The page, an .html file.")
@force_option
def card(bundle_file: str, out: Path, force: bool) -> None:
    """Write the model card of BUNDLE, a path or a shipped name, as one self-contained page."""
    require_free(force, out)
    with one_line_errors(ValueError):
        described, size_bytes, _ = inspect_bundle(bundle_file)
        name = bundle_file if bundle_file in shipped_bundles() else ""
        text = page(described, size_bytes, locate_bundle(bundle_file).name, name=name)
        write_atomically(out, text.encode())
    echo(f"card: {out}", err=True)


def inspect_bundle(name: str) -> tuple[Bundle, int, str | None]:
    """Read a bundle even if this device refuses it; return it, its size in bytes, and why it is refused."""
    settings = read_device_settings()
    found = load_bundle(name, replace(settings, require_signed=False))
    return found, len(found.content), refusal_reason(found, settings)


def _as_json(found: Bundle, size_bytes: int, refusal: str | None) -> dict[str, Any]:
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
