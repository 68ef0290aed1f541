"""What a person reads is true and plain: options, links, commands and words of the documentation."""

from __future__ import annotations

import importlib
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest

from edge.base import home
from tests.system import module_index, plain_english, silicon_page
from tests.system.command_reference import PAGE, commands, reference

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PRODUCT = ("edge", "train", "convert", "firmware_config", "benchmarks", "install.sh", "run")
GROUPS = {name for name, command, _ in commands() if isinstance(command, click.Group)}
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Return what can still be changed: of the changelog, the unreleased part."""
    text = page.read_text("utf-8")
    return re.split(r"(?m)^## \[?\d", text, maxsplit=1)[0] if page.name == "CHANGELOG.md" else text


def label(page: Path) -> str:
    return str(page.relative_to(ROOT))


# words


@pytest.mark.parametrize(
    "text",
    ["Anew.", "a row a cell", "0.4 ms a crop", "what it\n# was told", 'print("it goes "\n  f"on here")'],
)
def test_a_banned_phrase_is_found(text: str) -> None:
    assert list(plain_english.hits(text, "here"))


@pytest.mark.parametrize("text", ["one row per cell", "a cell is a class", "In each frame a cell moves."])
def test_plain_english_passes(text: str) -> None:
    assert not list(plain_english.hits(text, "here"))


@pytest.mark.parametrize("page", [page for page in PAGES if page != PAGE], ids=label)
def test_pages_are_plain(page: Path) -> None:
    assert not list(plain_english.hits(prose(page), label(page)))


def test_help_is_plain() -> None:
    helps = [(name, command.get_help(context)) for name, command, context in commands()]
    found = [hit for name, text in helps for hit in plain_english.hits(text, name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("place", PRODUCT)
def test_product_texts_are_plain(place: str) -> None:
    """Docstrings, comments and messages of the code, pages and templates."""
    texts = list(plain_english.files(ROOT / place))
    assert texts
    found = [hit for path in texts for hit in plain_english.hits(path.read_text("utf-8"), label(path))]
    assert not found, "\n".join(found)


# commands


def test_every_command_and_option_has_a_help() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command, _ in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden and not parameter.help
    ]
    assert not [*silent, *(name for name, command, _ in commands() if not command.help)]


def test_every_command_and_option_is_documented() -> None:
    page = PAGE.read_text("utf-8")
    assert page == reference(), "run .venv/bin/python -m tests.system.command_reference"


def test_every_module_is_listed_by_what_it_does() -> None:
    page = module_index.PAGE.read_text()
    assert page == module_index.index(), "run .venv/bin/python -m tests.system.module_index"


def test_the_facts_of_silicon_are_those_that_doctor_tests() -> None:
    page = silicon_page.PAGE.read_text()
    assert page == silicon_page.page(), "run .venv/bin/python -m tests.system.silicon_page"


def test_every_command_is_explained() -> None:
    """The reference explains nothing: each command also stands on a page that a person wrote."""
    pages = "\n".join(prose(page) for page in PAGES if page != PAGE)
    names = {name for name, _, _ in commands()} - GROUPS
    assert not [name for name in names if not re.search(rf"\b{name}\b", pages)]


def spans(text: str) -> Iterator[str]:
    """Yield the lines of fenced blocks, continued lines joined, and the spans of inline code."""
    for block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", FENCE.sub("", text))


def leuko_words(line: str) -> list[str]:
    """Return the words after ``leuko``, without "…"; none if the line does not call it."""
    call = re.match(
        r"(?:sudo )?(?:-u \w+ )?(?:\w+=\S+ )*(?:\./run |\S*bin/)?leuko\s+([a-z].*)", line, re.DOTALL
    )
    words = shlex.split(call[1], comments=True) if call else []
    return [word for word in words if word not in ("…", "...", ">")]


def refusal(words: list[str]) -> str:
    """Return what click says against these words; nothing if it takes them."""
    tree = {name: (command, context) for name, command, context in commands()}
    name = "leuko"
    while words and f"{name} {words[0]}" in tree:
        name = f"{name} {words.pop(0)}"
    command, context = tree[name]
    if name in GROUPS:
        return f"{name} has no command {words[0]}" if words else ""
    if words and words[-1].startswith("--"):  # an option that is only named
        words.append("1")
    try:
        values, _, _ = command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        return f"{name}: {error.format_message()}"
    for parameter in command.params:
        value = values.get(parameter.name or "", "1")
        choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else [value]
        if isinstance(value, str) and value not in ("1", *map(str, choices)):
            return f"{name}: {parameter.name} is none of {choices}"
    return ""


def test_a_wrong_command_is_found() -> None:
    assert refusal(["count", "FOLDER", "--until-cell", "400"])
    assert refusal(["cuont", "FOLDER"])
    assert refusal(["count", "FOLDER", "--each-once", "twice"])
    assert not refusal(["count", "FOLDER", "--each-once", "scan"])


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_leuko_commands_on_pages_exist(page: Path) -> None:
    lines = [] if page == PAGE else spans(prose(page))
    found = {line: refusal(words) for line in lines if (words := leuko_words(line))}
    assert not {line: why for line, why in found.items() if why}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_modules_that_pages_run_exist(page: Path) -> None:
    wrong = []
    for line in spans(prose(page)):
        for module, rest in re.findall(r"-m\s+((?:benchmarks|tests)\.[.\w]+)(.*)", line, re.DOTALL):
            place = ROOT / module.replace(".", "/")
            source = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
            if not source.exists():
                wrong.append(module)
                continue
            text = source.read_text("utf-8")
            wrong += [f"{module} {word}" for word in re.findall(r"--[a-z-]+", rest) if word not in text]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in target]
    assert not [target for target in targets if not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    aim = (page.parent / path).resolve() if path else page
    if not aim.exists() or not anchor:
        return aim.exists()
    headings = re.findall(r"(?m)^#+ (.+)$", aim.read_text("utf-8"))
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# README


def test_readme_is_short_and_says_first_what_it_is_not() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) < 150
    first = " ".join(text.split("\n\n")[1].split())
    assert "no shipped bundle gives a differential on real cells; that takes [your own labels]" in first
    assert "Research use only, not for diagnosis" in first


@pytest.fixture
def leuko(tmp_path: Path) -> Path:
    """The leuko of this checkout, as a program."""
    program = tmp_path / "leuko"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m edge.cli "$@"\n')
    program.chmod(0o755)
    return program


def shell(script: str, cwd: Path) -> str:
    done = subprocess.run(["sh", "-euc", script], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sqlite_reads_a_session_as_documented(tmp_path: Path, leuko: Path) -> None:
    (statement,) = re.findall(r'`sqlite3 ID.db "(.+?)"`', (ROOT / "docs" / "sessions.md").read_text("utf-8"))
    shell(
        f'"{leuko}" simulate made --frames 1; "{leuko}" count made/frames --bundle phantom3 --session',
        tmp_path,
    )
    path = max((home() / "sessions").glob("*.db"))
    with closing(sqlite3.connect(path)) as database:
        assert sum(number for _, number in database.execute(statement)) > 0


# architecture


def test_architecture_names_what_there_is() -> None:
    """Every room has its paragraph and its place in the picture; every file and function named exists."""
    text = ARCHITECTURE.read_text("utf-8")
    rooms = [path.parent.name for path in (ROOT / "edge").glob("*/__init__.py")]
    picture = (ROOT / "docs" / "pictures" / "rooms.svg").read_text("utf-8")
    assert sorted(re.findall(r"(?m)^- \*\*(\w+)\*\*:", text)) == sorted(rooms)
    assert not [room for room in rooms if f">{room}</" not in picture]
    files = [name for name in re.findall(r"`([\w/]+(?:\.py)?)`", text) if "/" in name]
    assert not [name for name in files if not (ROOT / name).exists()]
    missing = []
    for room, paragraph in re.findall(r"(?ms)^- \*\*(\w+)\*\*:(.*?)(?=^- |^#)", text):
        missing += [f"{room}.{name}" for name in NAMES.findall(paragraph) if not exported(room, name)]
    walks = text[text.index("## Three walks") : text.index("## Where do I change")]
    missing += [
        f"{room}.{name}" for room, name in re.findall(r"`(\w+)\.(\w+)`", walks) if not exported(room, name)
    ]
    assert not missing


def test_each_promise_of_the_threat_model_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    promises = [row.split("|")[1:-1] for row in text.splitlines() if row.startswith("| **")]
    assert len(promises) >= 9
    for what, _, _, tests in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", tests)
        assert named, what
        for file, function in named:
            assert f"def {function or 'test_'}" in (ROOT / file).read_text("utf-8"), (what, file, function)


NAMES = re.compile(r"`(\w+)`")


def exported(room: str, name: str) -> bool:
    face = importlib.import_module(f"edge.{room}")
    return name in getattr(face, "__all__", ()) or hasattr(face, name)
