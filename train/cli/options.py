"""Options, the missing-extra line and the progress bar that the workstation's commands share."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli.options import NamedPath, quiet_libraries

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

FOLDER = NamedPath(file_okay=False, path_type=Path)
EXISTING = NamedPath(exists=True, path_type=Path)

NETWORK_INPUT_PX = {
    "fusion": 200,
    "fusion-lite": 200,
    "ablation1": 200,
    "ablation2": 200,
    "ablation3": 200,
    "hep2": 78,
    "vgg16": 224,
    "resnet50": 224,
}
"""The names of `train.networks.NETWORKS`, which needs Keras."""


def require_extra(command: str) -> None:
    """Say which extra is missing, without the seconds that importing Keras takes."""
    if importlib.util.find_spec("keras") is None:
        raise click.ClickException(f"leuko {command} needs the train extra: pip install 'leuko-edge[train]'")


def require_keras(command: str) -> None:
    """Import Keras, or say which extra is missing; keep its backend's start-up messages off the terminal."""
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


@contextmanager
def progress(*columns: str | ProgressColumn) -> Iterator[Progress]:
    """Show a progress bar on the standard error, on a terminal only; by default with rich's columns."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar
