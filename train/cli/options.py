"""Options and the missing-extra message that the workstation's commands share."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from edge.cli.options import FiniteRange, NamedPath, WholeRange, quiet_libraries
from train.recipe import RECIPES

_Command = TypeVar("_Command", bound=Callable[..., Any])

FOLDER = NamedPath(file_okay=False, path_type=Path)
EXISTING = NamedPath(exists=True, path_type=Path)


def parse_rename(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, str]:
    """Return old → new name of labels, from ``OLD=NEW,OLD=NEW``."""
    pairs = [pair.split("=") for pair in value.split(",")] if value else []
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise click.BadParameter("write OLD=NEW,OLD=NEW, for example WBC=leukocyte,RBC=erythrocyte")
    return {old.strip(): new.strip() for old, new in pairs}


def recipe_option(default: str) -> Callable[[_Command], _Command]:
    """Return the option ``--recipe`` with a default."""
    return click.option(
        "--recipe",
        "recipe_name",
        type=click.Choice(list(RECIPES)),
        default=default,
        show_default=True,
        help="Training settings: the paper's, or this project's best.",
    )


width_option = click.option(
    "--width",
    type=FiniteRange(min=0, min_open=True, max=4),
    help="Factor on all channels of fusion, fusion-lite and the ablations.",
)
epochs_option = click.option(
    "--epochs", type=WholeRange(min=1), help="Passes over the crops; by default the recipe's."
)
learning_rate_option = click.option(
    "--learning-rate",
    type=FiniteRange(min=0, min_open=True),
    help="Peak of Adam's learning rate; by default the recipe's.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="Arithmetic of a training step; bfloat16 is faster on some processors.",
)
validation_option = click.option(
    "--validation", type=EXISTING, help="Labelled crops to validate on, instead of a part of DATA."
)


def require_extra(command: str, module: str = "keras") -> None:
    """Name the missing extra, without the seconds that importing its module takes."""
    if importlib.util.find_spec(module) is None:
        raise click.ClickException(f"leuko {command} needs the train extra: pip install 'leuko-edge[train]'")
    if os.path.lexists("matplotlibrc"):
        _import_elsewhere()


def _import_elsewhere() -> None:
    """Import matplotlib, as Keras does too, without the settings that it looks for in the current folder.

    They may be TeX that draws each letter, or have no form at all.
    """
    with suppress(ImportError), chdir(Path(__file__).parent):
        importlib.import_module("matplotlib")


def require_keras(command: str) -> None:
    """Import Keras, or name the missing extra; keep its backend's start-up messages off the terminal."""
    require_extra(command)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of many models in one process
    try:
        with quiet_libraries():
            importlib.import_module("keras")
    except ImportError as error:
        raise click.ClickException(
            f"Keras has no backend ({error}): pip install 'leuko-edge[train]'"
        ) from error
