"""A text that is not TOML: the answer names the key, and how to write it."""

from __future__ import annotations

import tomllib

import pytest

from edge.base import toml_remedy


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("bundle = phantom3\n", 'put the text in quotes: bundle = "phantom3"'),
        ("a = 1\nbundle = my model.tflite  # mine\n", 'put the text in quotes: bundle = "my model.tflite"'),
        ("bundle = phan\x00tom\n", "remove the tabs and control characters from the value of bundle"),
        ("bundle = phan\ttom\n", "remove the tabs and control characters from the value of bundle"),
        (f"{'a' * 300} = phantom3\n", "correct it by hand"),
        ("bundle = ../b.tflite\n", 'put the text in quotes: bundle = "../b.tflite"'),
        ("require_signed = True\n", "write require_signed = true"),
        ("[pixel]\npixel_um = 0,0727\n", "write pixel_um = 0.0727, with a point"),
        ("pixel_um = -0,5 # half", "write pixel_um = -0.5, with a point"),
        ("bundle =\n", "write a value behind bundle ="),
        ("bundle = \n[pixel]\n", "write a value behind bundle ="),
        ('bundle = "C:\\models\\b.tflite"\n', "put the text of bundle in single quotes"),
        ('bundle = "phantom3\n', "close the quotes of bundle"),
        ("bundle = 'phantom3\n", "close the quotes of bundle"),
        ("a = 1\na = 2\n", "give each key and each section only once"),
        ("[a]\n[a]\n", "give each key and each section only once"),
        ("date = 31.12.2026\n", "correct date by hand"),
        ("[pixel\n", "correct it by hand"),
        ("pixel_um\n", "correct it by hand"),
    ],
)
def test_a_text_that_is_not_toml_names_its_remedy(text: str, remedy: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert toml_remedy(text, caught.value).startswith(remedy)


def test_bytes_that_are_no_text_are_saved_again() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xe4".decode()
    assert toml_remedy("", caught.value) == "save it as plain text in UTF-8"
