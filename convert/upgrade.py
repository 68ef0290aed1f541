"""Bundles of the last release: their manifest, schema 4, under the names of schema 5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.base import read, read_input
from edge.model import (
    FILE_LIMIT_BYTES,
    OUT_OF_DISTRIBUTION,
    SCHEMA,
    UPGRADED_SCHEMA,
    Bundle,
    Manifest,
    read_golden,
    split_bundle,
    write_bundle,
)
from train.run_config import json_object

RENAMED = {"views": "test_time_views", "doubt": "margin", "typical": "out_of_distribution"}
"""Key of schema 4 → key of schema 5."""


def upgrade(path: Path, out: Path) -> tuple[Bundle, bool]:
    """Write a bundle of schema 4 as one of schema 5, with the same flatbuffer and golden crops.

    The new bundle is not signed; the second value says whether the old one was.

    Raises
    ------
    ValueError
        With one line, if the file is no bundle of schema 4, or is damaged.
    """
    try:
        flatbuffer, members = split_bundle(read_input(path, FILE_LIMIT_BYTES))
        manifest = upgraded_manifest(json_object(members["manifest.json"]))
        bundle = write_bundle(out, manifest, flatbuffer, *read_golden(members["golden.npz"], manifest))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return bundle, "signature.json" in members


def upgraded_manifest(raw: Any) -> Manifest:
    """Read a manifest of schema 4.

    The old rejection score ``typicality`` was the negated distance: cells below its threshold were rejected,
    where cells above a distance are now.
    """
    schema = raw.get("schema") if isinstance(raw, Mapping) else None
    if schema == SCHEMA:
        raise ValueError("is up to date: this leuko reads it as it is")
    if schema != UPGRADED_SCHEMA:
        raise ValueError(f"only bundles of manifest schema {UPGRADED_SCHEMA} can be upgraded")
    manifest = {RENAMED.get(name, name): value for name, value in raw.items()} | {"schema": SCHEMA}
    upgraded = read(Manifest, manifest)
    rejection = upgraded.rejection
    if rejection is None or rejection.score != "typicality":
        return upgraded
    distance = replace(rejection, score=OUT_OF_DISTRIBUTION, threshold=-rejection.threshold)
    return replace(upgraded, rejection=distance)
