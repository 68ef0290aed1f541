"""The ``leuko`` command: a table of subcommands, each imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any

import click

from edge import __version__
from edge.cli.options import one_line_errors

# name → module that holds a click command of that name; those modules import nothing heavy at the top
COMMANDS = {
    "count": "edge.cli.count",
    "camera": "edge.cli.camera",
    "simulate": "edge.cli.simulate",
    "verify": "edge.cli.verify",
    "bench": "edge.cli.bench",
    "bundle": "edge.cli.bundle",
    "sessions": "edge.cli.sessions",
    "calibrate": "edge.cli.calibrate",
    "doctor": "edge.cli.doctor",
    "label": "train.cli.label",
    "crops": "train.cli.crops",
    "data": "train.cli.data",
    "train": "train.cli.train",
    "evaluate": "train.cli.evaluate",
    "study": "train.cli.study",
    "convert": "convert.cli",
    "firmware": "firmware_config.cli",
}


class LazyGroup(click.Group):
    """A group whose commands are imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None for a name that is not one."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; as a program, end at once if a camera's thread is left behind.

        It may be inside a driver, and coming back while the interpreter takes itself apart would abort it.
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an output that cannot be written ends it in one line."""
        with one_line_errors():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="leuko")
def main() -> None:
    """Count and classify unstained white blood cells in bright-field frames, offline.

    For research use only, not for diagnosis.
    """
