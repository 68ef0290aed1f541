"""``leuko calibrate`` measures what a microscope and its camera do to a frame, and keeps it in a calibration."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from edge.base import FailedFrame, Frame
from edge.calibration import (
    Calibration,
    CalibrationError,
    CalibrationFileError,
    FlatFieldError,
    PixelCalibration,
    VolumeCalibration,
    default_calibration_path,
    estimate_illumination,
    estimate_pixel_size,
    field_volume,
    line_spacings,
    read_calibration,
    write_calibration,
    write_flat_field,
)
from edge.capture import list_files, read_frames
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, NamedPath, json_option, quiet_libraries

frames_argument = click.argument("frames", metavar="FRAMES...", nargs=-1, required=True, type=NamedPath())
calibration_option = click.option(
    "--calibration",
    "calibration_path",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="Profile to write; by default calibration.toml in the folder of leuko's state.",
)
bit_depth_option = click.option(
    "--bit-depth",
    type=click.IntRange(9, 16),
    default=16,
    show_default=True,
    help="Bits in use of a 16-bit sample.",
)


@click.group()
def calibrate() -> None:
    """Measure illumination, pixel size and imaged volume; keep them in a calibration."""


@calibrate.command()
@frames_argument
@calibration_option
@bit_depth_option
@json_option
def flatfield(frames: tuple[str, ...], calibration_path: Path | None, bit_depth: int, as_json: bool) -> None:
    """Measure the illumination on blank FRAMES: a clean field, moved between frames, at least five.

    A few cells or specks in a frame do no harm. Frames that are saturated, dark or not blank are left out.
    """
    with _calibration(calibration_path, FlatFieldError) as (path, calibration, date):
        estimate = estimate_illumination(_shown(frames, bit_depth))
        _refused(estimate.refused)
        section = write_flat_field(path.parent, estimate, date)
        _write(path, replace(calibration, flat_field=section))
    low, high = float(estimate.light.min()), float(estimate.light.max())
    if as_json:
        said = {
            **_as_json(section),
            "light": {"low": low, "high": high},
            "refused": [{"frame": frame.name, "reason": frame.reason} for frame in estimate.refused],
        }
        click.echo(json.dumps(said))
    else:
        click.echo(
            f"light: {low:.0%} to {high:.0%} of its mean, grey level {section.brightness:.1f}, "
            f"from {section.frames} blank frames of {section.width_px}×{section.height_px} px"
        )


@calibrate.command()
@frames_argument
@calibration_option
@click.option(
    "--pitch-um",
    type=FiniteRange(0.1, 10_000),
    required=True,
    help="Distance of neighbouring lines: 50 for the smallest squares of an improved Neubauer chamber.",
)
@click.option(
    "--pitch-uncertainty-um",
    type=FiniteRange(0, 1000),
    default=0.0,
    show_default=True,
    help="Standard uncertainty of the pitch, from the maker's certificate.",
)
@click.option("--micrometer", is_flag=True, help="The frames show a stage micrometer, not a grid.")
@bit_depth_option
@json_option
def pixel(
    frames: tuple[str, ...],
    calibration_path: Path | None,
    pitch_um: float,
    pitch_uncertainty_um: float,
    micrometer: bool,
    bit_depth: int,
    as_json: bool,
) -> None:
    """Measure the pixel size on FRAMES that show lines of a known pitch, turned by any angle.

    Lines of a counting chamber's grid must run through the whole frame, at least three of them; frames that
    show fewer, or the chamber's wider squares, are left out.
    """
    refused: list[FailedFrame] = []
    rows: list[dict[str, Any]] = []
    spacings = []
    shape: tuple[int, ...] = ()
    read = 0
    with _calibration(calibration_path, CalibrationError) as (path, calibration, date):
        for frame in _shown(frames, bit_depth):
            read += 1
            if isinstance(frame, FailedFrame):
                refused.append(frame)
                continue
            shape = shape or frame.image.shape
            try:
                if frame.image.shape != shape:
                    raise CalibrationError(f"not of {shape[1]}×{shape[0]} px like the first frame")
                found = line_spacings(frame.image, micrometer=micrometer)
            except CalibrationError as error:
                refused.append(FailedFrame(frame.name, frame.index, str(error)))
                continue
            spacings += found
            rows += [{"frame": frame.name, **asdict(spacing)} for spacing in found]
        _refused(refused)
        if not spacings:
            raise CalibrationError(f"no frame could be measured: {refused[0].name}: {refused[0].reason}")
        size = estimate_pixel_size(spacings, pitch_um, pitch_uncertainty_um)
        what = "stage micrometer" if micrometer else "counting-chamber grid"
        method = f"{what}, pitch {pitch_um:g} µm, {len(spacings)} spacings"
        rounded = float(f"{size.pixel_um:.6g}"), float(f"{size.uncertainty_um:.2g}")
        section = PixelCalibration(*rounded, shape[1], shape[0], method, date)
        _write(path, replace(calibration, pixel=section))
    if as_json:
        said = {
            **_as_json(section),
            "across_um": size.across_um,
            "down_um": size.down_um,
            "spacings": rows,
            "refused": [{"frame": frame.name, "reason": frame.reason} for frame in refused],
        }
        click.echo(json.dumps(said))
        return
    directions = {"across": size.across_um, "down": size.down_um}
    digits = min(7, -math.floor(math.log10(size.uncertainty_um)))  # the first of the uncertainty is the last
    each = ", ".join(f"{um:.{digits}f} {name}" for name, um in directions.items() if um is not None)
    click.echo(
        f"pixel: {size.pixel_um:.{digits}f} ± {size.uncertainty_um:.{digits}f} µm ({each}), "
        f"{len(spacings)} spacings in {read - len(refused)} of {read} frames"
    )
    if None in directions.values():
        click.echo(
            "only one direction was seen: turn the lines by 90° to learn whether pixels are square", err=True
        )


@calibrate.command()
@calibration_option
@click.option("--depth-um", type=FiniteRange(0.1, 10_000), required=True, help="Depth of the chamber.")
@click.option(
    "--depth-uncertainty-um",
    type=FiniteRange(0, 10_000),
    default=0.0,
    show_default=True,
    help="Its standard uncertainty, from the maker's certificate.",
)
@click.option(
    "--dilution",
    type=FiniteRange(1, 1_000_000),
    default=1.0,
    show_default=True,
    help="Volume after dilution over volume of sample.",
)
@json_option
def volume(
    calibration_path: Path | None,
    depth_um: float,
    depth_uncertainty_um: float,
    dilution: float,
    as_json: bool,
) -> None:
    """Keep the chamber's depth, and work out the volume that a field shows; the pixel size comes first."""
    with _calibration(calibration_path) as (path, calibration, date):
        calibration = replace(
            calibration, volume=VolumeCalibration(depth_um, depth_uncertainty_um, dilution, date)
        )
        if calibration.pixel is None:
            raise CalibrationFileError(f"{path}: no pixel size yet; run leuko calibrate pixel first")
        field = field_volume(calibration)
        _write(path, calibration)
    if as_json:
        click.echo(json.dumps({**_as_json(calibration.volume), **asdict(field)}))
    else:
        click.echo(
            f"a field of {calibration.pixel.width_px}×{calibration.pixel.height_px} px, {depth_um:g} µm deep, shows "
            f"{1000 * field.field_ul:.4g} nL ± {field.relative_uncertainty:.1%}; dilution {dilution:g}"
        )


@contextmanager
def _calibration(
    path: Path | None, *expected: type[Exception]
) -> Iterator[tuple[Path, Calibration, datetime]]:
    """Path and content of the calibration to write, and now; a wrong one is refused at once."""
    with one_line_errors(CalibrationFileError, ValueError, *expected), quiet_libraries():
        path = path or default_calibration_path()
        calibration = read_calibration(path) if path.exists() else Calibration()
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path, calibration, datetime.now(UTC).replace(microsecond=0)


def _write(path: Path, calibration: Calibration) -> None:

    write_calibration(path, calibration)
    click.echo(f"calibration: {path}", err=True)


def _shown(sources: tuple[str, ...], bit_depth: int) -> Iterator[Frame | FailedFrame]:
    """Read frames, with a progress bar where a person looks."""
    console = Console(stderr=True)
    yield from track(
        read_frames(sources, bit_depth=bit_depth),
        "measuring",
        total=len(list_files(sources)),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _refused(frames: Iterable[FailedFrame]) -> None:
    for frame in frames:
        click.echo(f"{frame.name}: {frame.reason}", err=True)


def _as_json(section: Any) -> dict[str, Any]:

    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in asdict(section).items()
    }
