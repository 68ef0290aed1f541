"""Flat field: the illumination is found despite cells, and frames that do not show it are refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.base.frame import FailedFrame, Frame
from edge.calibration.file import CalibrationFileError, read_calibration
from edge.calibration.flat_field import (
    MAP_PX,
    FlatFieldError,
    estimate_illumination,
    read_flat_field_gain,
    write_flat_field,
)
from edge.capture.frames import read_frames
from edge.cli import main
from edge.find.flat_field import divide_flat_field, flat_field_gain
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene

Image = NDArray[np.uint8]
HSC = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hsc"
HEIGHT, WIDTH = 480, 640
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LAMP = np.fromfunction(
    lambda y, x: 1.1 - ((x / WIDTH - 0.4) ** 2 + (y / HEIGHT - 0.55) ** 2), (HEIGHT, WIDTH)
)


def blank(seed: int, *, lamp: NDArray[np.float64] = LAMP, level: float = 150, cells: int = 0) -> Image:
    """A field lit by the lamp, with some dark or bright cells."""
    rng = np.random.default_rng(seed)
    field = np.ones((HEIGHT, WIDTH))
    for _ in range(cells):
        place = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
        cv2.circle(field, place, 9, (float(rng.choice([0.6, 1.3])),), -1)
    grey = level * field * lamp * (1 + 0.01 * rng.standard_normal()) + rng.normal(0, 2, field.shape)
    return np.clip(grey, 0, 255).round().astype(np.uint8)


def frames(*images: Image) -> Iterator[Frame]:
    return (Frame(image, f"frame {k}", k, 0) for k, image in enumerate(images))


def flatness(image: Image) -> float:
    """Standard deviation of the light, noise averaged out, relative to its mean."""
    light = cv2.resize(image.astype(np.float32), (16, 12), interpolation=cv2.INTER_AREA)
    return float(light.std() / light.mean())


@pytest.mark.parametrize("cells", [0, 4])
def test_the_illumination_is_found_despite_cells(cells: int) -> None:
    estimate = estimate_illumination(frames(*(blank(k, cells=cells) for k in range(9))))
    assert estimate.frames == 9
    assert estimate.refused == ()
    whole = 1 / flat_field_gain(estimate.light, WIDTH, HEIGHT)
    assert np.abs(whole / (LAMP / LAMP.mean()) - 1).max() < 0.015
    other = blank(99)
    assert flatness(other) > 0.09
    assert flatness(divide_flat_field(other, flat_field_gain(estimate.light, WIDTH, HEIGHT))) < 0.002


@settings(max_examples=6)
@given(depth=st.floats(0, 0.8), x=st.floats(0.2, 0.8), y=st.floats(0.2, 0.8), level=st.floats(60, 200))
def test_a_corrected_frame_keeps_its_mean_level(depth: float, x: float, y: float, level: float) -> None:
    lamp = np.fromfunction(
        lambda v, u: 1 - depth * ((u / WIDTH - x) ** 2 + (v / HEIGHT - y) ** 2) / 2, (HEIGHT, WIDTH)
    )
    estimate = estimate_illumination(frames(*(blank(k, lamp=lamp, level=level) for k in range(5))))
    factors = flat_field_gain(estimate.light, WIDTH, HEIGHT)
    for seed in (7, 8):
        image = blank(seed, lamp=lamp, level=level, cells=5)
        corrected = divide_flat_field(image, factors)
        assert corrected.mean() == pytest.approx(image.mean(), rel=0.01)
        assert flatness(corrected) < flatness(image) + 0.001
    assert estimate.brightness == pytest.approx(level * lamp.mean(), rel=0.02)


def test_simulated_vignettes_with_dust_are_corrected() -> None:
    scene = Scene(width_px=656, height_px=492, leukocytes=0, erythrocytes=0, debris=0, falloff=0.5)
    estimate = estimate_illumination(frames(*(simulate_frame(5, k, scene=scene).image for k in range(6))))
    filled = replace(scene, leukocytes=4, erythrocytes=2)
    image = simulate_frame(5, 20, scene=filled).image
    corrected = divide_flat_field(image, flat_field_gain(estimate.light, 656, 492))
    background = [
        np.median(part) for part in (corrected[:80, :80], corrected[-80:, -80:], corrected[200:280, 280:360])
    ]
    before = [np.median(part) for part in (image[:80, :80], image[-80:, -80:], image[200:280, 280:360])]
    assert np.ptp(before) > 25
    assert np.ptp(background) <= 2


def test_each_unfit_frame_is_named() -> None:
    images = [blank(k) for k in range(6)]
    bright = blank(10, level=250)
    images += [bright, blank(11, level=15), blank(12)[:, :-2], blank(13, level=105), blank(14, cells=120)]
    estimate = estimate_illumination([*frames(*images), FailedFrame("frame 11", 11, "truncated")])
    assert estimate.frames == 6
    reasons = {frame.name: frame.reason for frame in estimate.refused}
    assert list(reasons) == [f"frame {k}" for k in range(6, 12)]
    for name, reason in {
        "frame 6": "saturated: ",
        "frame 7": "too dark: grey level",
        "frame 8": "638×480 px, and the first frame has 640×480",
        "frame 9": "29% darker than the others",
        "frame 10": "not blank: ",
        "frame 11": "truncated",
    }.items():
        assert reasons[name].startswith(reason)


def test_too_few_frames_are_refused_with_the_reason() -> None:
    with pytest.raises(FlatFieldError, match="blank frames: 4 of 4, and a flat field takes 5: give more"):
        estimate_illumination(frames(*(blank(k) for k in range(4))))
    with pytest.raises(FlatFieldError, match="blank frames: 4 of 7") as refusal:
        estimate_illumination(frames(*(blank(k) for k in range(4)), *(blank(k, level=255) for k in range(3))))
    named = [(frame.name, frame.reason[:9]) for frame in refusal.value.refused]
    assert named == [(f"frame {k}", "saturated") for k in (4, 5, 6)]
    with pytest.raises(FlatFieldError, match="0 of 0"):
        estimate_illumination([])


def test_copies_of_a_frame_are_refused() -> None:
    """Five copies would keep whatever one frame shows."""
    images = [blank(0, cells=3), *(blank(k) for k in range(1, 6)), blank(0, cells=3), blank(2)]
    estimate = estimate_illumination(frames(*images))
    assert estimate.frames == 6
    assert [(frame.name, frame.reason) for frame in estimate.refused] == [
        ("frame 6", "the same image as frame 0: move the field between frames"),
        ("frame 7", "the same image as frame 2: move the field between frames"),
    ]


def test_tiny_frames_are_refused() -> None:
    with pytest.raises(FlatFieldError, match="blank frames: 0 of 6") as refusal:
        estimate_illumination(frames(*(blank(k)[:2, :3] for k in range(6))))
    assert refusal.value.refused[0].reason == "3×2 px, too small: each side takes at least 64 px"
    assert estimate_illumination(frames(*(blank(k)[:64, :64] for k in range(6)))).frames == 6


def test_structure_in_all_frames_is_refused() -> None:
    with pytest.raises(FlatFieldError, match="not blank: all frames show the same on"):
        estimate_illumination(frames(*(blank(3, cells=60) + np.uint8(k) for k in range(6))))
    grid = LAMP.copy()
    grid[:, ::60] *= 1.5
    grid[:, 1::60] *= 1.5
    with pytest.raises(FlatFieldError, match="not blank: all frames show the same on"):
        estimate_illumination(frames(*(blank(k, lamp=grid, level=100) for k in range(6))))


def test_a_field_with_a_dark_part_is_refused() -> None:
    shade = np.clip(np.linspace(1.4, -0.1, WIDTH), 0.06, 1)[None].repeat(HEIGHT, 0)
    with pytest.raises(FlatFieldError, match="almost dark"):
        estimate_illumination(frames(*(blank(k, lamp=shade) for k in range(6))))


def test_a_frame_of_another_size_is_not_corrected() -> None:
    with pytest.raises(ValueError, match="640×480 px, the flat field 320×240"):
        divide_flat_field(blank(0), np.ones((240, 320), np.float32))


def test_correction_rounds_and_saturates() -> None:
    image = np.array([[0, 10, 200, 255]], np.uint8)
    factors = np.array([[5.0, 1.26, 1.5, 0.5]], np.float32)
    assert divide_flat_field(image, factors).tolist() == [[0, 13, 255, 128]]


def test_the_file_is_read_back_and_checked(tmp_path: Path) -> None:
    estimate = estimate_illumination(frames(*(blank(k) for k in range(5))))
    section = write_flat_field(tmp_path, estimate, NOON)
    assert (section.width_px, section.height_px, section.frames) == (WIDTH, HEIGHT, 5)
    factors = read_flat_field_gain(tmp_path, section)
    np.testing.assert_allclose(factors, flat_field_gain(estimate.light, WIDTH, HEIGHT), rtol=1e-4)
    file = tmp_path / section.file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CalibrationFileError, match="damaged or replaced; run leuko calibrate flatfield"):
        read_flat_field_gain(tmp_path, section)
    file.unlink()
    with pytest.raises(CalibrationFileError, match=r"cannot be read .*; run leuko calibrate flatfield"):
        read_flat_field_gain(tmp_path, section)


@pytest.mark.parametrize(
    "trick", ["huge", "wide", "8 bits", "colours", "not a PNG", "large", "many pixels", "pipe"]
)
def test_a_file_that_is_no_flat_field_takes_no_memory(tmp_path: Path, trick: str) -> None:
    section = write_flat_field(tmp_path, estimate_illumination(frames(*(blank(k) for k in range(5)))), NOON)
    data = (tmp_path / section.file).read_bytes()
    huge = (2**31 - 1).to_bytes(4, "big")
    data = {
        "huge": data[:16] + huge + huge + data[24:],
        "wide": cv2.imencode(".png", np.ones((4, MAP_PX + 1), np.uint16))[1].tobytes(),
        "8 bits": cv2.imencode(".png", np.ones((40, 40), np.uint8))[1].tobytes(),
        "colours": cv2.imencode(".png", np.ones((40, 40, 3), np.uint16))[1].tobytes(),
        "not a PNG": b"P5 1000000000 1000000000 65535\n",
        "large": data + bytes(8 << 20),
    }.get(trick, data)
    (tmp_path / section.file).write_bytes(data)
    section = replace(section, sha256=hashlib.sha256(data).hexdigest())
    if trick == "many pixels":
        section = replace(section, width_px=100_000, height_px=100_000)
    if trick == "pipe":
        (tmp_path / section.file).unlink()
        os.mkfifo(tmp_path / section.file)
    tracemalloc.start()
    try:
        with pytest.raises(CalibrationFileError, match=r"run leuko calibrate flatfield$"):
            read_flat_field_gain(tmp_path, section)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_the_command_keeps_the_map_beside_the_calibration(tmp_path: Path) -> None:
    folder = tmp_path / "blank"
    folder.mkdir()
    for k in range(6):
        cv2.imwrite(str(folder / f"{k}.png"), blank(k, cells=k))
    calibration = tmp_path / "calibration.toml"
    done = CliRunner().invoke(
        main, ["calibrate", "flatfield", str(folder), "--calibration", str(calibration)]
    )
    assert done.exit_code == 0, done.output
    assert "from 6 blank frames of 640×480 px" in done.stdout
    section = read_calibration(calibration).flat_field
    assert section is not None
    image = blank(77)
    assert flatness(divide_flat_field(image, read_flat_field_gain(tmp_path, section))) < 0.002
    # another one: the file of the calibration that was there stays, under its own name
    again = CliRunner().invoke(
        main,
        ["calibrate", "flatfield", str(folder / "[0-4].png"), "--calibration", str(calibration), "--json"],
    )
    result = json.loads(again.stdout)
    assert result["file"] != section.file
    assert (tmp_path / section.file).exists()
    assert result["frames"] == 5
    cv2.imwrite(str(folder / "7.png"), blank(1, level=255))
    cv2.imwrite(str(folder / "8.png"), blank(1, level=2))
    files = [str(folder / f"{k}.png") for k in (0, 7, 8, 0)]
    refused = CliRunner().invoke(main, ["calibrate", "flatfield", *files, "--calibration", str(calibration)])
    assert refused.exit_code == 1
    twice, bright, dark, error = refused.stderr.splitlines()
    assert twice == "given more than once, and read once: 1 of 4 files"
    assert bright.startswith(f"{files[1]}: saturated")
    assert dark.startswith(f"{files[2]}: too dark")
    assert error.startswith("Error: blank frames: 1 of 3, and a flat field takes 5")


@pytest.mark.skipif(not HSC.exists(), reason="real frames (../shared/data) are not here")
def test_a_real_half_shadow_is_found_behind_its_cells() -> None:
    """There are no blank frames of that microscope: cells of a sample that is moved stand in for specks."""
    images = [frame.image for frame in read_frames([HSC]) if isinstance(frame, Frame)]
    with pytest.raises(FlatFieldError, match="blank frames: 0 of 13") as refusal:
        estimate_illumination(frames(*images))
    assert all(re.match("not blank: .*% of it shows objects", one.reason) for one in refusal.value.refused)
    rng = np.random.default_rng(0)
    # what is left of one frame without its cells, and each time a few of them
    light = cv2.medianBlur(images[0], 151).astype(np.float64)
    relief = images[0] / np.maximum(light, 1)
    few = []
    for _ in range(9):
        mask = np.zeros(light.shape, bool)
        for _ in range(6):
            y, x = (int(rng.integers(0, side - 60)) for side in mask.shape)
            mask[y : y + 60, x : x + 60] = True
        few.append(np.clip(light * np.where(mask, relief, 1), 0, 254).round().astype(np.uint8))
    estimate = estimate_illumination(frames(*few))
    factors = flat_field_gain(estimate.light, light.shape[1], light.shape[0])
    assert light.max() / light.min() > 3
    even = cv2.medianBlur(divide_flat_field(images[0], factors), 151)[100:-100, 100:-100]
    assert even.max() / even.min() < 1.1
