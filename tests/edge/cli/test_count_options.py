"""The options of ``leuko count`` derive from the configuration's fields."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edge.base import read
from edge.cli import main
from edge.cli.count import count
from edge.cli.options import grouped, leaves, parameter_name
from edge.cli.resuming import NOT_OPTIONS
from edge.run.config import CountConfig

GIVEN: dict[str, tuple[tuple[str, ...], Any]] = {
    "name": (("--camera", "simulate:7"), "simulate:7"),
    "size": (("--size", "640x480"), (640, 480)),
    "sensor_bits": (("--sensor-bits", "12"), 12),
    "exposure_us": (("--exposure-us", "9000"), 9000),
    "gain": (("--gain", "2.5"), 2.5),
    "buffer_frames": (("--buffer-frames", "9"), 9),
    "when_behind": (("--when-behind", "wait"), "wait"),
    "give_up_s": (("--give-up-s", "1.5"), 1.5),
    "wait": (("--wait-for-camera",), True),
    "bundle": (("--bundle", "mine.tflite"), "mine.tflite"),
    "camera_buffers": (("--camera-buffers", "2"), 2),
    "calibration": (("--calibration", "c.toml"), "c.toml"),
    "pixel_um": (("--pixel-um", "0.2"), 0.2),
    "reject_below": (("--reject-below", "0.4"), 0.4),
    "bit_depth": (("--bit-depth", "12"), 12),
    "channel": (("--channel", "BF"), "BF"),
    "z": (("--z", "middle"), "middle"),
    "count_repeats": (("--count-repeats",), True),
    "each_once": (("--each-once", "flow"), "flow"),
    "min_diameter_um": (("--min-diameter-um", "5"), 5.0),
    "max_diameter_um": (("--max-diameter-um", "50"), 50.0),
    "min_solidity": (("--min-solidity", "0.5"), 0.5),
    "keep_border": (("--drop-border",), False),
    "max_megapixels": (("--max-megapixels", "20"), 20.0),
    "until_cells": (("--until-cells", "300"), 300),
    "until_halfwidth": (("--until-halfwidth", "0.05"), 0.05),
    "until_seconds": (("--until-seconds", "60"), 60.0),
    "sample_id": (("--sample", "S 1"), "S 1"),
    "operator": (("--operator", "Ann"), "Ann"),
    "keep": (("--session",), True),
    "keep_crops": (("--keep-crops",), True),
}
REQUIRED = ("--camera", "simulate", "--bundle", "b", "--pixel-um", "0.1", "--reject-below", "0.5")


def configured(*words: str) -> CountConfig:
    options = count.make_context("count", list(words)).params
    own = {"sources": ("simulate",), "folder": "/", "files": None, "pixel_from": "from --pixel-um"}
    return read(CountConfig, grouped(CountConfig, options) | own)


def test_every_field_has_an_option_that_sets_it_and_nothing_else() -> None:
    declared = {key.name: (place, key) for place, key in leaves(CountConfig) if key.name not in NOT_OPTIONS}
    assert declared.keys() == GIVEN.keys()
    for name, (words, value) in GIVEN.items():
        place, key = declared[name]
        (option,) = [option for option in count.params if option.name == parameter_name(key)]
        assert isinstance(option, click.Option)
        assert option.help == f"{key.description}."
        config, plain = configured(*REQUIRED, *words), configured(*REQUIRED)
        for other, _ in declared.values():
            expected = value if other == place else attrgetter(".".join(other))(plain)
            assert attrgetter(".".join(other))(config) == expected


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("--give-up-seconds", "-1"), "give-up-s"),
        (("--profile", ""), "'--calibration': an empty name"),
        (("--sample", " "), "'--sample': an empty name"),
        (("--size", "0x10"), "'0x10' is not WIDTHxHEIGHT"),
        (("--z", "0"), "'0' is not N|sharpest|middle"),
        (("--z", "best"), "'best' is not N|sharpest|middle"),
        (("--channel", ""), "'--channel': an empty name"),
        (("--gain", "0"), "--gain"),
        (("--pixel-um", "inf"), "--pixel-um"),
        (("--each-once", "twice"), "--each-once"),
    ],
)
def test_what_a_field_refuses_is_a_usage_error(words: tuple[str, ...], refused: str, tmp_path: Path) -> None:
    """Also by an option's earlier name."""
    result = CliRunner().invoke(main, ["count", str(tmp_path), *words])
    assert result.exit_code == 2
    assert refused in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words", ["count . --bundle phantom3", "camera preview simulate --watch", "evaluate phantom3 ."]
)
def test_force_without_an_output_is_a_usage_error(words: str) -> None:
    result = CliRunner().invoke(main, [*words.split(), "--force"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "Error: No --out for --force.")
