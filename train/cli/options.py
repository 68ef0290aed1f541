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

NETWORK_NAMES = ("fusion", "ablation1", "ablation2", "ablation3", "hep2", "vgg16", "resnet50")
"""The names of `train.networks.NETWORKS`, which needs Keras."""


def require_keras(command: str) -> None:
    """Say which extra is missing, or keep TensorFlow's start-up messages off the terminal."""
    if importlib.util.find_spec("keras") is None:
        raise click.ClickException(f"leuko {command} needs the train extra: pip install 'leuko-edge[train]'")
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
