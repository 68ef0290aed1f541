"""Options and error handling that several commands share."""

from __future__ import annotations

import fcntl
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import MISSING, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from edge.base import REPLACE, Key, keys
from edge.cli.meant import corrected_number, nearest_file

F = TypeVar("F", bound=Callable[..., Any])

LOG_BYTES = 1 << 20
"""Most that is kept of what C libraries print: further writes fail until it is rewound."""


class FiniteRange(click.FloatRange):
    """A number in a range; neither NaN nor infinity, which Python would parse."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse and check; say how to write what was probably meant."""
        try:
            number: float = super().convert(value, param, ctx)
        except click.BadParameter as error:
            share = self.max if self.min == 0 else None  # a size in µm is no percentage
            self.fail(corrected_number(str(value), error.message, share), param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class OrExact(FiniteRange):
    """A standard uncertainty in a range, or the word that there is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check."""
        return value if value == "exact" else super().convert(value, param, ctx)


class WholeRange(click.IntRange):
    """A whole number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse and check; say how to write what was probably meant."""
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(corrected_number(str(value), error.message, None, whole=True), param, ctx)
        return number


class NamedPath(click.Path):
    """A path that is not empty: that of an unset shell variable would mean this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check; a file that is not there, or a folder in its place, is no wrong usage but exit code 1."""
        if not os.fspath(value):
            self.fail("an empty name", param, ctx)
        path = Path(os.fsdecode(value))
        if path.exists():
            if path.is_dir() and not self.dir_okay:
                raise click.ClickException(f"{path} is a folder: name a file")
            if self.exists and not path.is_dir() and not path.is_file():
                raise click.ClickException(f"{path} is a pipe or a device: name a {self._kind()}")
            if not path.is_dir() and not self.file_okay:
                raise click.ClickException(f"{path} is a file: name a folder")
        elif self.exists:
            raise click.ClickException(f"{path}: no such {self._kind()}{nearest_file(path)}")
        return super().convert(value, param, ctx)

    def _kind(self) -> str:
        return " or ".join(
            name for name, okay in (("file", self.file_okay), ("folder", self.dir_okay)) if okay
        )


class NewFile(NamedPath):
    """A file to write, with one suffix (so that no slip replaces a key or a run), in a folder that exists."""

    def __init__(self, suffix: str) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.suffix = suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
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
    """Keep what C libraries print off the terminal, process-wide, while Python's own stderr works on.

    libjpeg and libpng, LiteRT and TensorFlow write to file descriptor 2 and offer no way, or none in time,
    to stop them. Here descriptor 2 leads to a file in memory, in which `edge.capture` finds what libjpeg
    says of a damaged JPEG, and ``sys.stderr`` gets a descriptor of its own if it wrote there. A command
    enters this once around its work.
    """
    original = sys.stderr
    if original is None:  # closed: there is nothing to protect
        yield
        return
    try:
        shared = original.fileno() == 2
    except OSError:  # replaced by an object without a file
        shared = False
    original.flush()
    saved = os.dup(2)
    own = os.fdopen(saved, "w", buffering=1, encoding=original.encoding, errors=original.errors)
    if shared:
        sys.stderr = own
    log = _open_log()
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        own.flush()
        os.dup2(saved, 2)
        sys.stderr = original
        own.close()


def _open_log() -> int:
    """Return a file in memory that does not grow over `LOG_BYTES`."""
    log = os.memfd_create("log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(log, LOG_BYTES)
    with suppress(OSError):  # an emulator that knows no seals: there it grows
        fcntl.fcntl(log, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    return log


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or a shutdown (SIGTERM) sets; a second signal has its usual effect."""
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
    """Let Ctrl-C end the process as the system does, where KeyboardInterrupt would be lost.

    JAX, which Keras and TensorFlow load, is called by the garbage collector, and an exception in such a call
    is printed and dropped. For work that leaves nothing to clean up.
    """
    kept = signal.getsignal(signal.SIGINT)
    if kept is signal.default_int_handler:  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
force_option = click.option("--force", is_flag=True, help="Replace what is there under the name of --out.")
threads_option = click.option(
    "--threads",
    type=WholeRange(1, 64),
    help="Frames processed at a time, each with the memory of about two; by default one per core.",
)
log_option = click.option(
    "--log",
    "log_form",
    type=click.Choice(["words", "json"]),
    default="words",
    show_default=True,
    help="Form of the messages on stderr: words for a person, or one JSON object per line for a machine.",
)


def require_free(force: bool, *paths: Path) -> None:
    """Refuse, before any work, an output that exists already, unless it may be replaced."""
    for path in paths:
        if not force and os.path.lexists(path):
            raise click.ClickException(f"{path} exists; {REPLACE}")


def require_out(force: bool, out: Path | None) -> None:
    """Refuse --force without --out, where it would replace nothing."""
    if force and out is None:
        raise click.UsageError("No --out for --force.")


def declared_options(
    kind: type[Any], *, only: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> Callable[[F], F]:
    """Return a decorator that adds an option per declared key of a dataclass and of its groups."""
    declared = [key for _, key in leaves(kind) if key.name not in without and (not only or key.name in only)]

    def decorate(command: F) -> F:
        for key in reversed(declared):
            command = _option(key)(command)
        return command

    return decorate


def leaves(kind: type[Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key]]:
    """Yield each key of a dataclass and of its groups, with the names that lead to it."""
    for key in keys(kind):
        if is_dataclass(key.type):
            yield from leaves(key.type, (*path, key.name))  # type: ignore[arg-type]  # a type, not an instance
        else:
            yield (*path, key.name), key


def grouped(kind: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping that `edge.base.read` takes, from options by parameter name; None is not given."""
    values: dict[str, Any] = {}
    for (*groups, last), key in leaves(kind):
        value = options.get(parameter_name(key))
        if value is not None:
            target = values
            for group in groups:
                target = target.setdefault(group, {})
            target[last] = value
    return values


def parameter_name(key: Key) -> str:
    """Return the name by which a command takes a key's option."""
    return key.option.split("/")[0].removeprefix("--").replace("-", "_") or key.name


def _option(key: Key) -> Callable[[F], F]:
    declaration = key.option or f"--{key.name.replace('_', '-')}"
    default = None if key.default is MISSING or key.default == "" else key.default
    return click.option(
        declaration,
        parameter_name(key),
        default=default,
        show_default=default not in (None, False),
        help=f"{key.description}.",
        **_click_kind(key),
    )


def _click_kind(key: Key) -> dict[str, Any]:
    """Return the arguments of `click.option` that say what a key holds."""
    ends: Any = {name: end for name, end in (("min", key.low), ("max", key.high)) if math.isfinite(end)}
    if key.type is bool:
        return {"is_flag": True}
    if get_origin(key.type) is Literal:
        return {"type": click.Choice(get_args(key.type))}
    if get_origin(key.type) is tuple:
        return {"metavar": key.form, "callback": partial(parse_pair, key.form, math.inf)}
    if key.type is int:
        return {"type": WholeRange(**ends)}
    if key.type is float:
        return {"type": FiniteRange(**ends, min_open=key.low_open, max_open=key.high_open)}
    metavar = key.form or key.name.rpartition("_")[2].upper()
    return {"metavar": metavar, "callback": partial(_text, key)}


def parse_pair(
    form: str, most: float, context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Parse two whole numbers with an x between them, each from 1 to `most`."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    pair = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= number <= most for number in pair):
        raise click.BadParameter(f"{text!r} is not {form}", context, parameter)
    return pair


def _text(key: Key, context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse a text that the key may not hold, and a blank one, as of an unset shell variable."""
    if text is not None and not text.strip():
        raise click.BadParameter("an empty name", context, parameter)
    if text is not None and len(text) > key.max_length:
        raise click.BadParameter(f"{len(text)} characters, more than {key.max_length}", context, parameter)
    if text is not None and key.pattern and not re.fullmatch(key.pattern, text):
        raise click.BadParameter(f"{text!r} is not {key.form}", context, parameter)
    return text
