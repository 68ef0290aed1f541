"""Options and error handling that several commands share."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edge.base import PIXELS_UM


class FiniteRange(click.FloatRange):
    """A number in a range; neither NaN nor infinity, which Python would parse."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse and check."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class NamedPath(click.Path):
    """A path that says something: an empty one, of an unset shell variable, would mean this folder."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Check."""
        if not os.fspath(value):
            self.fail("an empty name", param, ctx)
        return super().convert(value, param, ctx)


class NewFile(NamedPath):
    """A file to write, of one suffix (lest a slip replace a key or a run) and in a folder that exists."""

    def __init__(self, suffix: str) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.suffix = suffix

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Check."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix != self.suffix:
            self.fail(f"{path}: the name must end in {self.suffix}", param, ctx)
        if path.exists() and not path.is_file():
            self.fail(f"{path}: not a regular file", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"{path.parent}: no such folder", param, ctx)
        return path


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries in C print off the terminal, process-wide, while Python's own stderr goes on.

    libjpeg and libpng, LiteRT and TensorFlow write to file descriptor 2 and offer no way, or none in time,
    to stop them. Here descriptor 2 leads nowhere and ``sys.stderr``, where it wrote there, gets a
    descriptor of its own. A command enters it once around its work.
    """
    original = sys.stderr
    if original is None:  # closed: there is nothing to protect
        yield
        return
    try:
        shared = original.fileno() == 2
    except OSError:  # replaced by something that is no file
        shared = False
    original.flush()
    saved = os.dup(2)
    own = os.fdopen(saved, "w", buffering=1, encoding=original.encoding, errors=original.errors)
    if shared:
        sys.stderr = own
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        own.flush()
        os.dup2(saved, 2)
        sys.stderr = original
        own.close()


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C or a shutdown (SIGTERM) sets; a second one acts as it always does."""
    asked = threading.Event()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _: object) -> None:
        asked.set()
        signal.signal(number, kept[signal.Signals(number)])

    for number in kept:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the process as the system does, where KeyboardInterrupt would get lost.

    JAX, which Keras and TensorFlow load, has the garbage collector call it; an exception in such a call is
    printed and dropped. For work that leaves nothing to tidy up.
    """
    kept = signal.getsignal(signal.SIGINT)
    if kept is signal.default_int_handler:  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
bundle_option = click.option(
    "--bundle", default="phantom3", show_default=True, help="Model: a shipped name or a .tflite file."
)
pixel_option = click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help="Side of a frame's pixel in the specimen, µm; by default the calibration's, else the bundle's.",
)
