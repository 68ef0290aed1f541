"""Nothing that a file, a label or a library says acts on the terminal."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from rich.progress import Progress, TextColumn
from rich.table import Table

from edge.base import visible
from edge.cli import main
from edge.cli.output import VisibleConsole, echo

ROOT = Path(__file__).parents[2]
NASTY = "a\x1b[31mb\x07\r\u202egnp\x9b2J\u2066\x7f"
ALLOWED = {
    "edge/cli/output.py",
    "edge/run/doctor.py",  # a child's JSON, read by its parent
    "edge/run/silicon.py",  # an answer in JSON for the process that asked
    "firmware_config/preflight.py",  # names of packages from our own table, read by install.sh
}


def printers(file: Path) -> list[str]:
    """Return the calls in a file that print by another way than `edge.cli.output`."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "click.echo", "click.secho", "Console", "rich.print", "logging.basicConfig"):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno} {name}")
            if name in ("sys.stdout.write", "sys.stderr.write", "click.echo_via_pager"):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno} {name}")
    return found


def test_one_module_prints() -> None:
    files = [
        file
        for package in ("edge", "train", "convert", "firmware_config")
        for file in (ROOT / package).rglob("*.py")
    ]
    calls = {str(file.relative_to(ROOT)): printers(file) for file in files}
    assert printers(ROOT / "edge/cli/output.py")  # the search finds what it looks for
    assert not [call for file, found in calls.items() if file not in ALLOWED for call in found]


def test_what_acts_on_a_terminal_is_spelt() -> None:
    assert visible("µ ± 3 – é 細胞") == "µ ± 3 – é 細胞"
    assert visible(NASTY) == r"a\x1b[31mb\x07\r\u202egnp\x9b2J\u2066\x7f"
    assert visible("one\ntwo\udc80") == r"one\ntwo\udc80"


@pytest.mark.parametrize("err", [False, True])
def test_lines_are_printed_as_lines_and_names_within_them_are_not(
    capsys: pytest.CaptureFixture[str], *, err: bool
) -> None:
    echo("first", f"second {NASTY}\nforged", err=err)
    lines = capsys.readouterr()[err].splitlines()
    assert lines[0] == "first"
    assert lines[1:] == [f"second {visible(NASTY)}\\nforged"]


def test_a_table_shows_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(NASTY)
    table.add_row(f"[bold]{NASTY}")
    VisibleConsole(width=200).print(table, NASTY)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert printed.count(r"\x1b[31mb") == 3


@pytest.mark.parametrize("text", ["[link=file:evil]mono", "[blink red]mono", "[/]", ":smile:", "a[bold]"])
def test_nothing_in_a_text_is_markup(text: str) -> None:
    """Else labels look alike, lead elsewhere, or end the command."""
    table = Table(text, box=None)
    table.add_row(text)
    console = VisibleConsole(width=200, force_terminal=True, file=io.StringIO())
    console.print(table, text)
    with Progress(TextColumn("{task.description}", markup=False), console=console) as bar:
        bar.add_task(text)
        bar.console.print(f"{text} finished")
    printed = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert printed.count(text) >= 5
    assert "\x1b]8" not in printed


@pytest.mark.parametrize("word", ["TextColumn(", "from_markup", "markup=True"])
def test_no_command_asks_for_markup(word: str) -> None:
    asked = [
        line.strip()
        for package in ("edge", "train", "convert", "firmware_config")
        for file in (ROOT / package).rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if word in line and "markup=False" not in line
    ]
    assert asked in ([], ['TextColumn("{task.fields[left]} left"),'])


@pytest.mark.parametrize(
    "words",
    [
        ["count", f"{NASTY}.png", "--bundle", "phantom3"],
        ["count", "real.png", "--bundle", NASTY],
        ["count", "real.png", "--bundle", "phantom3", f"--{NASTY}"],
        ["count", "real.png", "--bundle", "phantom3", "--channel", NASTY, "--calibration", NASTY],
        [NASTY],
        ["verify", NASTY],
        ["sessions", "show", NASTY],
        ["firmware", "check", NASTY],
        ["data", "check", NASTY],
        ["calibrate", "pixel", NASTY, "--pitch-um", "10", "--pitch-uncertainty-um", "exact"],
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_command_repeats_an_escape(
    words: list[str], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    cv2.imwrite("real.png", np.full((64, 64), 9, np.uint8))
    if form == "json":
        words = [*words, *(["--log", "json", "--json"] if words[0] == "count" else [])]
    result = CliRunner().invoke(main, words)
    assert result.exit_code
    assert not isinstance(result.exception, click.ClickException)
    assert result.output.strip()
    assert result.output.replace("\n", "").isprintable(), result.output
