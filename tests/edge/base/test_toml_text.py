"""TOML is parsed like any parser does, but for keys that would take memory and time without end."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge.base import parse_toml

SOUND = sorted(Path(__file__).parents[2].glob("fuzz/corpus/toml/*.toml"))


@pytest.mark.parametrize("file", SOUND, ids=lambda path: path.name)
def test_sound_files_are_read_as_they_are(file: Path) -> None:
    text = file.read_text()
    assert parse_toml(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        'note = "a path /a.b/c.d/e.f/2026.11.27/g.tif"',
        "# " + "." * 200,
        ".".join("a" * 16) + " = 1",
        "[" + ".".join("a" * 16) + "]",
        f"numbers = [{', '.join(['1.5'] * 200)}]",
        f"note = '{'a.' * 200}'  # {'a.' * 200}",
        f'note = """\n{"a." * 200}\\""""',
    ],
)
def test_points_elsewhere_are_no_keys(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


@pytest.mark.parametrize("part", ["a", "'a'", '"a"', "a ", "\t_-9", '"\\""', '"\\\\"', '"#"', "'\\'", '""'])
@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "[[{}]]", "x = {{ {} = 1 }}"])
@pytest.mark.parametrize("parts", [17, 30_000])
def test_a_key_of_many_parts_is_refused_at_its_line(part: str, form: str, parts: int) -> None:
    text = "version = 1\n" + form.format(".".join([part] * parts)) + "\n"
    with pytest.raises(ValueError, match=r"more than 16 parts \(at line 2, column 1\)"):
        parse_toml(text)


@pytest.mark.parametrize(
    "before",
    [
        'a = """b"""" # """"',
        "a = '''b''''' # '''",
        'a = """\\""" " """ # " \'',
        "a = '#\"'  # '\"",
        'a = "\\\\"  # "',
        'a = """"""  # """',
        'a = ["\'", """\n\'"""", \'"\']',
    ],
)
def test_what_stands_before_a_key_hides_none_of_it(before: str) -> None:
    assert parse_toml(before)
    with pytest.raises(ValueError, match="more than 16 parts"):
        parse_toml(f"{before}\n{'b.' * 17}c = 1\n")


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, '"' * 99_999, "'" * 99_999, "a-" * 50_000, '"a.' * 30_000, 'a = "' + '\\"' * 99_999),
        *('a = """\\' * 30_000, "a = '''''a" * 30_000),
    ],
)
def test_other_long_texts_are_refused_by_the_parser(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse_toml(text)
