"""Write ``docs/commands.md`` from the commands themselves.

``python -m tests.system.command_reference``
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from edge.cli import main as leuko

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
TITLE = """# Commands

Every command and option, as `leuko COMMAND --help` prints them. Written by
`.venv/bin/python -m tests.system.command_reference`; do not edit by hand.
"""


def commands(
    command: click.Command = leuko, parent: click.Context | None = None, name: str = "leuko"
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield each command with its full name and its context, a group before its commands."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=110, terminal_width=110)
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            child = command.get_command(context, word)
            assert child is not None
            yield from commands(child, context, word)


def options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield each option's spelling and its help, ``--help`` and ``--version`` left out."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            record = parameter.get_help_record(context)
            if record and not parameter.is_eager:
                yield record


def section(name: str, command: click.Command, context: click.Context) -> str:
    """Return the Markdown of one command."""
    usage = command.get_usage(context).removeprefix("Usage: ")
    text = "\n\n".join(_paragraphs(command.help or ""))
    lines = [f"## {name}", "", f"`{' '.join(usage.split())}`", "", text]
    rows = [f"| `{_cell(spelling)}` | {_cell(meaning)} |" for spelling, meaning in options(command, context)]
    if rows:
        lines += ["", "| option | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def reference() -> str:
    """Return the whole page."""
    return "\n".join([TITLE, *(section(*command) for command in list(commands())[1:])])


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
