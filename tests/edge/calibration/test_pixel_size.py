"""Pixel size: lines of known pitch are measured at any angle, and nothing else is taken for lines."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.calibration.file import (
    FlatFieldCalibration,
    VolumeCalibration,
    read_calibration,
    write_calibration,
)
from edge.calibration.lines import CalibrationError, Spacing, line_spacings
from edge.calibration.pixel_size import estimate_pixel_size
from edge.cli import main

Image = NDArray[np.uint8]
Field = NDArray[np.float64]
HEMOCYTOMETER = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hemocytometer"
HSC = HEMOCYTOMETER.with_name("hsc")
HEIGHT, WIDTH = 600, 900


def expose(pattern: Field, *, seed: int = 0) -> Image:
    """Lamp with a vignette, and noise."""
    height, width = pattern.shape
    rows, columns = np.indices(pattern.shape)
    away = (columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2
    grain = np.random.default_rng(seed).normal(0, 2, pattern.shape)
    image = np.clip(150 * pattern * (1 - 0.4 * away) + grain, 0, 255).round()
    return np.asarray(image, np.uint8)


def lines(distance: Field, period: float, width: float) -> Field:
    """1 on lines that are one period apart, with soft edges."""
    off = np.abs(distance / period - np.rint(distance / period)) * period
    return np.asarray(np.clip((width / 2 - off) / 2 + 0.5, 0, 1))


def grid(
    period: float, tilt_deg: float = 0.0, *, contrast: float = 0.5, stretch: float = 1.0, triple: bool = True
) -> Field:
    """Chamber's grid: every fourth line is a triple one; `stretch` makes pixels wider than high."""
    rows, columns = np.indices((HEIGHT, WIDTH), np.float64)
    columns = columns * stretch
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    drawn = np.zeros((HEIGHT, WIDTH))
    for distance in (columns * cosine - rows * sine - 31.3, columns * sine + rows * cosine - 54.6):
        drawn = np.maximum(drawn, lines(distance, period, 6))
        for outer in (-0.11, 0.11) if triple else ():
            drawn = np.maximum(drawn, lines(distance - outer * period, 4 * period, 6))
    return 1 + contrast * drawn


def micrometer(period: float, tilt_deg: float, divisions: int) -> Field:
    """Stage micrometer: dark lines, every fifth and tenth of them longer, that begin and end in the frame."""
    rows, columns = np.indices((HEIGHT, WIDTH), np.float64)
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    u = (columns - 0.45 * WIDTH) * cosine - (rows - 0.45 * HEIGHT) * sine
    v = (columns - 0.45 * WIDTH) * sine + (rows - 0.45 * HEIGHT) * cosine
    number = np.rint(u / period)
    length = np.where(number % 10 == 0, 160, np.where(number % 5 == 0, 130, 100))
    there = (np.abs(number) <= divisions / 2) & (v > -50) & (v < length - 50)
    return np.asarray(1 - 0.7 * lines(u, period, 3) * there)


def draw_cells(field: Field, count: int, seed: int) -> Field:
    """Discs, brighter or darker than the rest."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        place = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
        cv2.circle(field, place, int(rng.integers(5, 20)), (float(rng.uniform(0.4, 1.6)),), -1)
    return field


@settings(max_examples=15)
@example(period=74.75, tilt=0.0)  # the frame's edge cuts a triple line
@example(period=79.25, tilt=36.0)
@given(period=st.floats(60, 120), tilt=st.floats(-44, 44))
def test_a_grid_is_measured_at_any_angle(period: float, tilt: float) -> None:
    found = line_spacings(expose(grid(period, tilt)))
    assert {spacing.direction for spacing in found} == {"across", "down"}
    for spacing in found:
        assert spacing.period_px == pytest.approx(period, rel=1e-3)
        assert spacing.tilt_deg == pytest.approx(tilt, abs=0.1)


@pytest.mark.parametrize("contrast", [0.5, -0.5, 0.05])
def test_cells_and_weak_or_dark_lines_do_no_harm(contrast: float) -> None:
    field = draw_cells(grid(101.7, 2, contrast=contrast), 25, seed=1)
    for spacing in line_spacings(expose(field)):
        assert spacing.period_px == pytest.approx(101.7, rel=1e-3)


@pytest.mark.parametrize(("period", "tilt", "divisions"), [(9.31, 3, 60), (14.37, -30, 50), (33.3, 90, 14)])
def test_a_micrometer_is_measured_by_its_short_lines_too(period: float, tilt: float, divisions: int) -> None:
    (found,) = line_spacings(expose(micrometer(period, tilt, divisions)), micrometer=True)
    assert found.period_px == pytest.approx(period, rel=1e-3)
    assert found.lines >= 0.85 * divisions
    assert found.direction == ("down" if tilt == 90 else "across")


@pytest.mark.parametrize("seed", range(6))
def test_frames_without_lines_are_refused(seed: int) -> None:
    image = expose(draw_cells(np.ones((HEIGHT, WIDTH)), 12 * seed, seed), seed=seed)
    for is_micrometer, least in ((False, 3), (True, 10)):
        with pytest.raises(CalibrationError, match=f"no {least} lines at even distances"):
            line_spacings(image, micrometer=is_micrometer)


def test_wide_squares_and_a_single_triple_line_are_not_taken_for_the_pitch() -> None:
    field = np.ones((HEIGHT, WIDTH))
    for x in (100, 111, 122, 700):  # a triple line, and one at five times the pitch
        field[:, x - 3 : x + 3] = 1.5
    with pytest.raises(CalibrationError):
        line_spacings(expose(field))


def test_no_wider_lattice_is_found_where_the_pitch_changes() -> None:
    """Left of the first triple line lies a wide square: three lines are evenly spaced by chance."""
    field = np.ones((HEIGHT, WIDTH))
    for x in (286, 298, 311, 424, 549, 675, 790, 803, 815):
        field[:, x - 3 : x + 3] = 1.5
    with pytest.raises(CalibrationError):
        line_spacings(expose(field))


def spacing(period: float, direction: str = "across", error: float = 0.01) -> Spacing:
    return Spacing(direction, period, error, 0.0, 6)  # type: ignore[arg-type]


def test_the_uncertainty_includes_spread_directions_and_pitch() -> None:
    exact = estimate_pixel_size([spacing(500), spacing(500, "down")], 50)
    assert exact.pixel_um == pytest.approx(0.1)
    assert exact.uncertainty_um == pytest.approx(0.1 * 0.01 / 500)
    assert (exact.across_um, exact.down_um) == (0.1, 0.1)
    rng = np.random.default_rng(3)
    scattered = [spacing(500 * (1 + 0.004 * z)) for z in rng.standard_normal(400)]
    assert estimate_pixel_size(scattered, 50).uncertainty_um / 0.1 == pytest.approx(0.004, rel=0.15)
    assert estimate_pixel_size(scattered, 50).down_um is None
    apart = estimate_pixel_size([spacing(500)] * 3 + [spacing(504, "down")], 50)
    assert apart.uncertainty_um / apart.pixel_um == pytest.approx(0.004, rel=0.02)
    pitch = estimate_pixel_size([spacing(500), spacing(500, "down")], 50, pitch_uncertainty_um=0.5)
    assert pitch.uncertainty_um / 0.1 == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(("spacings", "directions"), [(2, 1), (2, 2), (3, 1), (4, 2), (30, 2)])
def test_twice_the_uncertainty_holds_the_pixel_of_other_frames(spacings: int, directions: int) -> None:
    rng, held = np.random.default_rng(7), 0
    for _ in range(300):
        scales = 1 + 0.001 * rng.standard_normal(spacings + 1)
        names = ("across", "down")
        found = [spacing(500 * z, names[k % directions], 1e-9) for k, z in enumerate(scales[1:])]
        size = estimate_pixel_size(found, 50)
        held += abs(0.1 / scales[0] - size.pixel_um) <= 1.96 * size.uncertainty_um
    assert held >= 0.9 * 300
    assert (size.widened > 1.2) is (spacings < 5)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "the uncertainty takes two"),
        ([spacing(500)], "the uncertainty takes two"),
        ([spacing(500), spacing(100)], "the frames disagree by .* 0.1 to 0.5 µm per pixel"),
        ([spacing(500 + 12 * (k % 3)) for k in range(9)], "scatter by"),
        (
            [spacing(500), spacing(515, "down")],
            "a pixel is 0.1 µm across and 0.09709 µm down, and must be square",
        ),
    ],
)
def test_contradictory_measurements_are_refused(found: list[Spacing], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        estimate_pixel_size(found, 50)


def test_pixels_that_are_not_square_are_refused() -> None:
    found = [s for tilt in (0, 1) for s in line_spacings(expose(grid(97.3, tilt, stretch=1.03)))]
    with pytest.raises(CalibrationError, match="must be square"):
        estimate_pixel_size(found, 50)


def leuko(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


EXACT_PITCH = ("--pitch-uncertainty-um", "exact")
EXACT_DEPTH = ("--depth-uncertainty-um", "exact")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, tilt in enumerate((0.0, 0.4, -3.0)):
        cv2.imwrite(str(folder / f"{k}.png"), expose(grid(100, tilt), seed=k))
    return folder


def test_the_commands_fill_one_calibration(frames: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(frames / "3.png"), expose(np.ones((HEIGHT, WIDTH))))
    cv2.imwrite(str(frames / "4.png"), expose(np.ones((HEIGHT, WIDTH + 1))))
    (frames / "5.png").write_bytes(b"no image")
    calibration = tmp_path / "new" / "calibration.toml"
    done = leuko("calibrate", "pixel", frames, "--calibration", calibration, "--pitch-um", 50, *EXACT_PITCH)
    assert re.match(r"pixel: 0\.5000\d ± 0\.0000\d µm \(0\.\d{5} across, 0\.\d{5} down\), ", done.stdout)
    assert "6 spacings in 3 of 6 frames" in done.stdout
    assert "3.png: no 3 lines at even distances" in done.stderr
    assert f"4.png: not of {WIDTH}×{HEIGHT} px like the first frame" in done.stderr
    assert "5.png: " in done.stderr
    measured = json.loads(
        leuko(
            "calibrate",
            "pixel",
            frames,
            "--calibration",
            calibration,
            "--pitch-um",
            50,
            *EXACT_PITCH,
            "--json",
        ).stdout
    )
    kept = read_calibration(calibration).pixel
    assert kept is not None
    assert kept.pixel_um == measured["pixel_um"] == pytest.approx(0.5, rel=1e-3)
    assert (kept.width_px, kept.height_px) == (WIDTH, HEIGHT)
    assert kept.method == "counting-chamber grid, pitch 50 µm, 6 spacings"
    assert len(measured["spacings"]) == 6
    assert len(measured["refused"]) == 3

    done = leuko(
        "calibrate", "volume", "--calibration", calibration, "--depth-um", 100, "--depth-uncertainty-um", 1
    )
    assert done.stdout.startswith("a field of 900×600 px, 100 µm deep, shows 13.5 nL ± 1.0%; dilution 1")
    volume = read_calibration(calibration).volume
    assert volume == VolumeCalibration(100.0, 1.0, 1.0, volume.date if volume else None)  # type: ignore[arg-type]
    assert read_calibration(calibration).pixel == kept
    measured = json.loads(
        leuko(
            "calibrate",
            "volume",
            "--calibration",
            calibration,
            "--depth-um",
            20,
            *EXACT_DEPTH,
            "--dilution",
            10,
            "--dilution-uncertainty",
            0.2,
            "--json",
        ).stdout
    )
    assert measured["field_ul"] == pytest.approx(900 * 600 * 0.25 * 20e-9, rel=1e-3)
    assert measured["dilution"] == 10
    assert (measured["depth_uncertainty_um"], measured["dilution_uncertainty"]) == ("exact", 0.2)
    assert measured["relative_uncertainty"] == pytest.approx(0.02, rel=0.05)
    assert measured["exact"] == ["depth", "pitch"]


def test_the_uncertainty_of_the_pitch_is_kept(frames: Path, tmp_path: Path) -> None:
    calibration = tmp_path / "calibration.toml"
    words = ("calibrate", "pixel", frames, "--calibration", calibration, "--pitch-um", 50)
    leuko(*words, code=2)
    leuko(*words, "--pitch-uncertainty-um", 0.5)
    kept = read_calibration(calibration).pixel
    assert kept is not None
    assert kept.pitch_uncertainty == 0.01
    assert kept.uncertainty_um == pytest.approx(0.01 * kept.pixel_um, rel=0.05)
    volume = ("calibrate", "volume", "--calibration", calibration, "--depth-um", 100)
    leuko(*volume, code=2)
    done = leuko(*volume, "--depth-uncertainty-um", 1, "--dilution", 20, code=2)
    assert "--dilution needs --dilution-uncertainty: its standard uncertainty, or exact" in done.stderr
    done = leuko(*volume, "--depth-uncertainty-um", "about 1", code=2)
    assert "'about 1' is not a" in done.stderr
    done = leuko(*volume, "--depth-uncertainty-um", 1)
    assert "taken as exact" not in done.stdout


def test_what_does_not_fit_the_measurement_is_said(frames: Path, tmp_path: Path) -> None:
    """A flat field of another frame size, and files that state another pixel than the pitch gives."""
    calibration = tmp_path / "calibration.toml"
    stated = tmp_path / "stated"
    stated.mkdir()
    for path in frames.iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        tifffile.imwrite(stated / f"{path.stem}.tif", image, resolution=(20_000, 20_000), resolutionunit=3)
    words = (
        "calibrate",
        "pixel",
        "--calibration",
        calibration,
        "--camera",
        "picamera2",
        stated,
        *EXACT_PITCH,
        "--pitch-um",
    )
    assert "state another pixel" not in leuko(*words, 50).stderr
    done = leuko(*words, 25)
    assert "than the 0.25 µm that is used (as measured): 0.5 µm (resolution tags) in 3 of 3" in done.stderr
    assert "check --pitch-um" in done.stderr
    kept = read_calibration(calibration)
    assert kept.cameras == ("picamera2",)
    flat = FlatFieldCalibration("flatfield-0.png", "0" * 64, 150, 5, 640, 480, datetime.now(UTC))
    write_calibration(calibration, replace(kept, flat_field=flat))
    for done in (
        leuko(*words, 50),
        leuko("calibrate", "volume", "--calibration", calibration, "--depth-um", 100, *EXACT_DEPTH),
    ):
        assert f"is for frames of {WIDTH} x {HEIGHT} px, and its flat field for 640 x 480" in done.stderr


def test_a_micrometer_in_one_direction_gives_a_warning(tmp_path: Path) -> None:
    for k, tilt in enumerate((0, 2)):
        cv2.imwrite(str(tmp_path / f"{k}.png"), expose(micrometer(20, tilt, 30)))
    calibration = tmp_path / "calibration.toml"
    done = leuko(
        "calibrate",
        "pixel",
        tmp_path,
        "--calibration",
        calibration,
        "--pitch-um",
        10,
        *EXACT_PITCH,
        "--micrometer",
    )
    assert re.match(r"pixel: 0\.(5000|4999)", done.stdout)
    assert "turn the lines by 90°" in done.stderr


def test_commands_refuse_invalid_input_in_one_line(frames: Path, tmp_path: Path) -> None:
    calibration = tmp_path / "calibration.toml"
    done = leuko("calibrate", "volume", "--calibration", calibration, "--depth-um", 100, *EXACT_DEPTH, code=1)
    assert done.stderr == f"Error: {calibration}: no pixel size yet; run leuko calibrate pixel first\n"
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), expose(np.ones((HEIGHT, WIDTH))))
    done = leuko(
        "calibrate", "pixel", blank, "--calibration", calibration, "--pitch-um", 50, *EXACT_PITCH, code=1
    )
    assert f"Error: no frame could be measured ({blank}: no 3 lines at even distances): give " in done.stderr
    assert not calibration.exists()
    calibration.write_text("version = 1\n[quality]\nmin_fokus = 1\n")
    done = leuko(
        "calibrate", "pixel", frames, "--calibration", calibration, "--pitch-um", 50, *EXACT_PITCH, code=1
    )
    assert done.stderr.startswith(f"Error: {calibration}: quality.min_fokus is not a known key")
    leuko("calibrate", "pixel", frames, "--pitch-um", "nan", *EXACT_PITCH, code=2)
    leuko("calibrate", "pixel", frames, *EXACT_PITCH, code=2)
    leuko("calibrate", "volume", "--depth-um", 0, *EXACT_DEPTH, code=2)


@pytest.mark.skipif(not HEMOCYTOMETER.exists(), reason="real frames (../shared/data) are not here")
def test_real_grids_agree_with_each_other(tmp_path: Path) -> None:
    """The small squares of the chamber, 50 µm wide, span 687 px; every 22nd frame of those that show them."""
    found = []
    for number in range(366, 476, 22):
        image = cv2.imread(str(HEMOCYTOMETER / "frames" / f"frame_{number:04d}.jpg"), cv2.IMREAD_GRAYSCALE)
        if image is None:
            continue
        try:
            found += line_spacings(image.astype(np.uint8))
        except CalibrationError:  # the chamber's wide squares
            continue
    assert len(found) >= 5
    size = estimate_pixel_size(found, 50)
    assert size.pixel_um == pytest.approx(0.0728, rel=0.003)
    assert size.uncertainty_um < 0.0002
    stretched = [replace(s, period_px=1.02 * s.period_px) if s.direction == "down" else s for s in found]
    with pytest.raises(CalibrationError, match="must be square"):
        estimate_pixel_size(stretched, 50)


@pytest.mark.skipif(not HSC.exists(), reason="real frames (../shared/data) are not here")
def test_real_cells_are_not_taken_for_a_grid() -> None:
    for file in sorted(HSC.glob("*.png"))[::4]:
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        with pytest.raises(CalibrationError):
            line_spacings(image.astype(np.uint8))
