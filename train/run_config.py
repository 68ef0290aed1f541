"""The settings that a training run states of itself in ``config.json``, each checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge.base import PIXELS_UM, declare, labels_problem, read, read_input
from train.recipe import Recipe
from train.table import TRAINING, VALIDATION

CONFIG = "config.json"

LARGEST_JSON_BYTES = 4 << 20
"""Of any JSON in a run folder; the largest, the architecture of ResNet-50, has 150 kB."""


@dataclass(frozen=True)
class Part:
    """The crops of one part of a run."""

    cells: int = declare("number of crops", 0)
    counts: Mapping[str, int] = declare("label and number of crops", 0)
    sha256: str = declare("SHA-256 of the crops", pattern="[0-9a-f]{64}")


@dataclass(frozen=True)
class _Size:
    cells: int = declare("number of crops", 0)


@dataclass(frozen=True)
class RunConfig:
    """The settings of a run that are read back."""

    recipe: Recipe
    labels: tuple[str, ...] = declare("labels in the order of the outputs")
    crop_px: int = declare("side of the crops", 8, 1024, unit="px")
    training: Part = declare("training crops")
    validation: Part | None = declare("validation crops", default=None)
    pixel_um: float | None = declare("side of a crop's pixel", *PIXELS_UM, unit="µm", default=None)


def read_config(out: Path) -> RunConfig:
    """Read a run's settings; keys that are not read back may hold anything.

    Raises
    ------
    ValueError
        If the folder is not a run's, or a setting is not what `leuko train` writes.
    """
    raw = stored_settings(out)
    recipe = raw.get("recipe")
    if isinstance(recipe, dict):
        raw["recipe"] = _known(Recipe, recipe)
    path = out / CONFIG
    try:
        config = read(RunConfig, _known(RunConfig, raw))
        if not 0 < len(config.labels) <= 1000:
            raise ValueError("labels must be 1 to 1000 names")
        if problem := labels_problem(config.labels):
            raise ValueError(problem)
        if config.crop_px != config.recipe.side_px:
            raise ValueError(f"crop_px is {config.crop_px}, but {config.recipe.side_px} by its recipe")
    except ValueError as error:
        raise ValueError(f"{path} is not as leuko train writes it ({error}): train the run again") from error
    return config


def part_sizes(out: Path) -> dict[str, int]:
    """Return the number of crops of each part of a run; other settings may be of any release."""
    raw = stored_settings(out)
    sizes = {}
    for part in (TRAINING, VALIDATION):
        stated = raw.get(part)
        try:
            if isinstance(stated, dict):
                sizes[part] = read(_Size, _known(_Size, stated)).cells
            elif stated is not None:
                raise ValueError("no settings")
        except ValueError as error:
            raise ValueError(f"{out / CONFIG} is damaged ({part}: {error}): train the run again") from error
    return sizes


def stored_settings(out: Path) -> dict[str, Any]:
    """Return the content of a run's ``config.json`` as it is; ValueError if there is none."""
    try:
        raw = read_object(out / CONFIG)
    except FileNotFoundError:
        raise ValueError(f"{out} is not a run folder: it has no {CONFIG}") from None
    recipe = raw.get("recipe")
    if isinstance(recipe, dict) and "views" in recipe:  # their name in older runs
        recipe["test_time_views"] = recipe.pop("views")
    return raw


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of at most `LARGEST_JSON_BYTES` from a run folder; ValueError for anything else."""
    content = read_input(path, LARGEST_JSON_BYTES)
    try:
        return json_object(content)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def json_object(content: bytes) -> dict[str, Any]:
    """Decode one JSON object; ValueError for anything else."""
    try:
        raw = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(raw, dict):
        raise ValueError("not an object")
    return raw


def _known(kind: type[Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the keys that a dataclass lacks: those of another release, or for people."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in raw.items() if name in names}
