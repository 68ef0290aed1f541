"""The ``leuko`` command: a table of commands, each imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.exceptions import NoSuchCommand

from edge import __version__
from edge.cli.errors import one_line_errors, visible_errors


class Command(NamedTuple):
    """Where a command is, and its line in the list of commands; its module is imported when it is used."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, from a table in the order of the list."""

    def __init__(self, *args: Any, table: Mapping[str, Command], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(self.table)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or name the nearest ones: click knows only those that are imported."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=self.table, ctx=ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None if there is none of that name (as click asks for)."""
        if cmd_name not in self.table:
            return None
        module, attribute, _ = self.table[cmd_name]
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            # for example pip's numpy beside the system's OpenCV: their binary interfaces must match
            reason = " ".join(str(error).split())[:200]
            raise click.ClickException(
                f"a required package cannot be imported ({reason}): reinstall leuko-edge; to use apt's "
                "picamera2, in a virtual environment made with --system-site-packages"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self.table.items()])


class Program(LazyGroup):
    """The whole program: it ends at once even if a camera hangs, and fails in one line."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; as a program, end at once if a camera's thread is left behind.

        The thread may be inside a driver, where a return during the interpreter's shutdown would abort it.
        """
        try:
            return super().main(*args, **kwargs)
        except SystemExit as end:
            program = not args and kwargs.get("args") is None
            if program and any(thread.name == "camera" for thread in threading.enumerate()):
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code if isinstance(end.code, int) else 1)
            raise

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line."""
        with visible_errors():
            return super().make_context(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an option under its former and its present name: one of them would be passed over."""
        given = {word.partition("=")[0] for word in args}
        for old, new in RENAMED_OPTIONS.items():
            if {f"--{old}", f"--{new}"} <= given:
                raise click.UsageError(f"--{old} is the former name of --{new}: give one of the two", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an output that cannot be written ends it in one line."""
        with visible_errors(), one_line_errors():
            return super().invoke(ctx)


COMMANDS = {
    "count": Command("edge.cli.count", "count", "Count and classify the cells of frames or of a camera."),
    "camera": Command("edge.cli.camera", "camera", "List cameras, preview one, settle its exposure."),
    "simulate": Command("edge.cli.simulate", "simulate", "Simulate bright-field frames with their truth."),
    "verify": Command("convert.cli.verify", "verify", "Check that this device may trust a bundle."),
    "bench": Command("edge.cli.bench", "bench", "Time a bundle on every installed runtime."),
    "bundle": Command("edge.cli", "bundle_group", "List, show, validate, sign and upgrade bundles."),
    "sessions": Command("edge.cli.sessions", "sessions", "List, show, verify, resume and export sessions."),
    "calibrate": Command("edge.cli.calibrate", "calibrate", "Calibrate pixel size, flat field and volume."),
    "plan": Command("edge.cli.plan", "plan", "Say how many fields a precision costs."),
    "doctor": Command("edge.cli.doctor", "doctor", "Check this device and say what to do."),
    "label": Command("train.cli.label", "label", "Suggest labels from paired fluorescence frames."),
    "crops": Command("train.cli.crops", "crops", "Cut labelled crops around boxes."),
    "data": Command("train.cli.data", "data", "Check a set of labelled crops."),
    "train": Command("train.cli.train", "train", "Train a network on labelled crops."),
    "evaluate": Command("train.cli.evaluate", "evaluate", "Score a run or a bundle on labelled crops."),
    "study": Command("train.cli.study", "study", "Repeat the paper's comparisons of networks."),
    "convert": Command("convert.cli.convert", "convert", "Convert a training run to an int8 bundle."),
    "firmware": Command("firmware_config.cli", "firmware", "Turn a Raspberry Pi into an instrument."),
}

BUNDLE_COMMANDS = {
    "list": Command("edge.cli.bundle", "list_", "List the shipped bundles and those in folders."),
    "show": Command("edge.cli.bundle", "show", "Show the facts that a bundle states."),
    "card": Command("edge.cli.bundle", "card", "Write a bundle's model card as one page."),
    "validate": Command("convert.cli.validate", "validate", "Measure what a bundle misses in your frames."),
    "keygen": Command("convert.cli.sign", "keygen", "Make a private key for signing."),
    "sign": Command("convert.cli.sign", "sign", "Sign a bundle."),
    "upgrade": Command("convert.cli.upgrade", "upgrade", "Convert a bundle of an earlier release."),
}


RENAMED_OPTIONS = {
    "profile": "calibration",
    "give-up-seconds": "give-up-s",
    "views": "test-time-views",
    "doubted": "test-time-share",
}
"""Old name → today's: units and scripts written for an earlier release keep working."""

CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda name: RENAMED_OPTIONS.get(name, name),
}


@click.group(cls=Program, table=COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="leuko")
def main() -> None:
    """Count and classify unstained white blood cells in bright-field frames, offline.

    For research use only, not for diagnosis.
    """


@click.group("bundle", cls=LazyGroup, table=BUNDLE_COMMANDS)
def bundle_group() -> None:
    """List, show, validate, sign and upgrade bundles.

    A device's device.toml, in /etc/leuko or $LEUKO_HOME, names the bundle of a count without --bundle and the
    keys that it trusts, and states whether it refuses bundles that none of them signed.
    """
