"""``leuko calibrate``: flat field, pixel size and volume of a microscope, kept in one calibration file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge.base import FailedFrame, Frame
from edge.calibration import (
    DEPTHS_UM,
    Calibration,
    CalibrationError,
    CalibrationFileError,
    FlatFieldError,
    PixelCalibration,
    Uncertainty,
    VolumeCalibration,
    default_calibration_path,
    estimate_illumination,
    estimate_pixel_size,
    field_volume,
    measure_spacings,
    read_calibration,
    write_calibration,
    write_flat_field,
)
from edge.capture import CameraError, PlaneChoice, contradiction, files_pixels, list_files, read_frames
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, NamedPath, OrExact, declared_options, json_option, quiet_libraries
from edge.cli.output import echo
from edge.cli.tables import progress
from edge.run import CountConfig, tuning_of

frames_argument = click.argument("frames", metavar="FRAMES...", nargs=-1, required=True, type=NamedPath())
calibration_option = click.option(
    "--calibration",
    "calibration_path",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="Calibration file to write; by default calibration.toml in the folder of leuko's state.",
)
reading_options = declared_options(CountConfig, only=("bit_depth", "channel", "z"))
camera_option = click.option(
    "--camera",
    default="",
    help="Camera that took FRAMES, as leuko count names it; a count of another camera then remarks it.",
)

WIDE = 1.2
"""Student's t relative to the normal distribution's from which more spacings are asked for."""


@click.group()
def calibrate() -> None:
    """Measure illumination, pixel size and imaged volume, and keep them in a calibration file."""


@calibrate.command()
@frames_argument
@calibration_option
@camera_option
@reading_options
@json_option
def flatfield(
    frames: tuple[str, ...],
    calibration_path: Path | None,
    camera: str,
    bit_depth: int,
    channel: str | None,
    z: str | None,
    as_json: bool,
) -> None:
    """Measure the illumination on blank FRAMES.

    Take five or more frames of a clean field and move it between frames. A few cells or specks in a frame do
    no harm. Frames that are saturated, dark or not blank are left out.
    """
    with _calibration(calibration_path) as (path, calibration, date):
        try:
            estimate = estimate_illumination(_read(frames, bit_depth, PlaneChoice(channel=channel, z=z)))
        except FlatFieldError as error:
            _refused(error.refused)
            raise
        refused = _refused(estimate.refused)
        section = write_flat_field(path.parent, estimate, date, camera, _tuning(camera))
        _write(path, replace(calibration, flat_field=section))
    low, high = float(estimate.light.min()), float(estimate.light.max())
    words = (
        f"light: {low:.0%} to {high:.0%} of its mean, grey level {section.brightness:.1f}, "
        f"from {section.frames} blank frames of {section.width_px}×{section.height_px} px"
    )
    _print(as_json, words, section, light={"low": low, "high": high}, refused=refused)


@calibrate.command()
@frames_argument
@calibration_option
@click.option(
    "--pitch-um",
    type=FiniteRange(0.1, 10_000),
    required=True,
    help="Distance of neighbouring lines, µm; 50 for the smallest squares of an improved Neubauer chamber.",
)
@click.option(
    "--pitch-uncertainty-um",
    type=OrExact(0, 1000),
    required=True,
    help="Standard uncertainty of the pitch, µm, from the maker's certificate; or exact.",
)
@click.option("--micrometer", is_flag=True, help="The frames show a stage micrometer, not a grid.")
@camera_option
@reading_options
@json_option
def pixel(
    frames: tuple[str, ...],
    calibration_path: Path | None,
    pitch_um: float,
    pitch_uncertainty_um: Uncertainty,
    micrometer: bool,
    camera: str,
    bit_depth: int,
    channel: str | None,
    z: str | None,
    as_json: bool,
) -> None:
    """Measure the pixel size on FRAMES of lines of known pitch.

    The lines may have any angle. At least three lines of a counting chamber's grid must run through the whole
    frame. Frames that show fewer, or the chamber's wider squares, are left out.
    """
    with _calibration(calibration_path) as (path, calibration, date):
        measured = measure_spacings(
            _read(frames, bit_depth, PlaneChoice(channel=channel, z=z)), micrometer=micrometer
        )
        spacings, refused = [spacing for _, spacing in measured.spacings], _refused(measured.refused)
        if not spacings:
            why = "{frame}: {reason}".format(**refused[0])
            remedy = (
                "show ten or more lines of the stage micrometer; for a chamber's grid leave out --micrometer"
                if micrometer
                else "three or more lines of the grid cross from edge to edge, or pass --micrometer for a "
                "stage micrometer"
            )
            raise CalibrationError(f"no frame could be measured ({why}): give sharp frames that {remedy}")
        exact = pitch_uncertainty_um == "exact"
        relative = 0.0 if exact else float(pitch_uncertainty_um) / pitch_um
        size = estimate_pixel_size(spacings, pitch_um, relative * pitch_um)
        target = "stage micrometer" if micrometer else "counting-chamber grid"
        section = PixelCalibration(
            float(f"{size.pixel_um:.6g}"),
            float(f"{size.uncertainty_um:.2g}"),
            measured.width_px,
            measured.height_px,
            f"{target}, pitch {pitch_um:g} µm, {len(spacings)} spacings",
            date,
            camera,
            "exact" if exact else float(f"{relative:.3g}"),
        )
        _write(path, replace(calibration, pixel=section))
        if other := contradiction(files_pixels(frames), size.pixel_um, "as measured", "check --pitch-um"):
            echo(other, err=True)
    directions = {"across": size.across_um, "down": size.down_um}
    # the uncertainty's first digit is the last one shown
    digits = min(7, -math.floor(math.log10(size.uncertainty_um)))
    each = ", ".join(f"{um:.{digits}f} {name}" for name, um in directions.items() if um is not None)
    words = (
        f"pixel: {size.pixel_um:.{digits}f} ± {size.uncertainty_um:.{digits}f} µm ({each}), "
        f"{len(spacings)} spacings in {measured.frames - len(refused)} of {measured.frames} frames"
    )
    _print(
        as_json,
        words,
        section,
        across_um=size.across_um,
        down_um=size.down_um,
        spacings=[{"frame": name, **asdict(spacing)} for name, spacing in measured.spacings],
        refused=refused,
    )
    if size.widened > WIDE and not as_json:
        echo(
            f"few spacings: their spread counts {size.widened:.1f} times (Student's t); give more frames",
            err=True,
        )
    if None in directions.values() and not as_json:
        echo(
            "only one direction was measured: turn the lines by 90° to check that pixels are square", err=True
        )


depth_option = click.option(
    "--depth-um",
    type=FiniteRange(*DEPTHS_UM),
    required=True,
    help="Depth of the chamber, µm; a depth of 0.1 mm is 100 µm.",
)
dilution_option = click.option(
    "--dilution",
    type=FiniteRange(1, 1_000_000),
    default=1.0,
    show_default=True,
    help="Volume after dilution per volume of sample.",
)


@calibrate.command()
@calibration_option
@depth_option
@click.option(
    "--depth-uncertainty-um",
    type=OrExact(0, 10_000),
    required=True,
    help="Standard uncertainty of the depth, µm, from the maker's certificate; or exact.",
)
@dilution_option
@click.option(
    "--dilution-uncertainty",
    type=OrExact(0, 1_000_000),
    help="Standard uncertainty of the dilution, or exact; needed with --dilution.",
)
@json_option
def volume(
    calibration_path: Path | None,
    depth_um: float,
    depth_uncertainty_um: Uncertainty,
    dilution: float,
    dilution_uncertainty: Uncertainty | None,
    as_json: bool,
) -> None:
    """Store the chamber's depth and calculate a field's volume.

    Calibrate the pixel size first.
    """
    if dilution != 1 and dilution_uncertainty is None:
        raise click.UsageError("--dilution needs --dilution-uncertainty: its standard uncertainty, or exact")
    with _calibration(calibration_path) as (path, calibration, date):
        section = VolumeCalibration(depth_um, depth_uncertainty_um, dilution, date, dilution_uncertainty)
        calibration = replace(calibration, volume=section)
        if calibration.pixel is None:
            raise CalibrationFileError(f"{path}: no pixel size yet; run leuko calibrate pixel first")
        field = field_volume(calibration)
        _write(path, calibration)
    size_px = f"{calibration.pixel.width_px}×{calibration.pixel.height_px} px"
    words = (
        f"a field of {size_px}, {depth_um:g} µm deep, shows "
        f"{1000 * field.field_ul:.4g} nL ± {field.relative_uncertainty:.1%}; dilution {dilution:g}"
        + (f"; taken as exact: {', '.join(field.exact)}" if field.exact else "")
    )
    _print(as_json, words, section, **asdict(field))


def _tuning(camera: str) -> str:
    """Return the camera's tuning; empty, and a line on stderr, if it is not known here."""
    try:
        return tuning_of(camera)
    except CameraError as error:
        echo(
            f"the calibration does not state the camera's tuning, which is known on its device: {error}",
            err=True,
        )
        return ""


@contextmanager
def _calibration(path: Path | None) -> Iterator[tuple[Path, Calibration, datetime]]:
    """Give path and content of the calibration to write, and the time; refuse an invalid one first."""
    with one_line_errors(ValueError), quiet_libraries():
        path = path or default_calibration_path()
        calibration = read_calibration(path) if path.exists() else Calibration()
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path, calibration, datetime.now(UTC).replace(microsecond=0)


def _write(path: Path, calibration: Calibration) -> None:
    write_calibration(path, calibration)
    echo(f"calibration: {path}", err=True)
    if different := calibration.different_sizes():
        echo(f"it cannot be used yet: {different}", err=True)


def _read(sources: tuple[str, ...], bit_depth: int, planes: PlaneChoice) -> Iterator[Frame | FailedFrame]:
    """Read frames, each file once; a terminal shows a progress bar."""
    named = [os.path.realpath(source) for source in sources if Path(source).is_file()]
    if again := len(named) - len(set(named)):
        echo(f"given more than once, and read once: {again} of {len(named)} files", err=True)
    notes: dict[str, None] = {}
    with progress() as bar:
        frames = read_frames(sources, bit_depth=bit_depth, planes=planes)
        for frame in bar.track(frames, len(list_files(sources)), description="measuring"):
            notes |= dict.fromkeys(frame.notes if isinstance(frame, Frame) else ())
            yield frame
    for note in notes:
        echo(note, err=True)


def _refused(frames: Iterable[FailedFrame]) -> list[dict[str, str]]:
    """Name the frames that were left out on stderr, and return them for the JSON."""
    for frame in frames:
        echo(f"{frame.name}: {frame.reason}", err=True)
    return [{"frame": frame.name, "reason": frame.reason} for frame in frames]


def _print(as_json: bool, words: str, section: Any, **details: Any) -> None:
    """Print what was measured, in words, or as JSON the calibration's section and its details."""
    values = asdict(section) | {"date": section.date.isoformat()} | details
    echo(json.dumps(values) if as_json else words)
