"""``leuko calibrate`` measures what a microscope and its camera do to a frame, and keeps it in a profile."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.cli.options import FiniteRange, NamedPath, json_option, one_line_errors, quiet_libraries

if TYPE_CHECKING:
    from edge.frames import FailedFrame, Frame
    from edge.profile import Profile

frames_argument = click.argument("frames", metavar="FRAMES...", nargs=-1, required=True, type=NamedPath())
profile_option = click.option(
    "--profile",
    "profile_path",
    type=NamedPath(dir_okay=False, path_type=Path),
    help="Profile to write; by default profile.toml in the folder of leuko's state.",
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
    """Measure illumination, pixel size and imaged volume; keep them in a profile."""


@calibrate.command()
@frames_argument
@profile_option
@bit_depth_option
@json_option
def flatfield(frames: tuple[str, ...], profile_path: Path | None, bit_depth: int, as_json: bool) -> None:
    """Measure the illumination on blank FRAMES: a clean field, moved between frames, at least five.

    A few cells or specks in a frame do no harm. Frames that are saturated, dark or not blank are left out.
    """
    from dataclasses import replace

    from edge.flatfield import FlatFieldError, flat_field, write_light

    with _profile(profile_path, FlatFieldError) as (path, profile, date):
        estimate = flat_field(_shown(frames, bit_depth))
        _refused(estimate.refused)
        section = write_light(path.parent, estimate, date)
        _write(path, replace(profile, flat_field=section))
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
@profile_option
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
    profile_path: Path | None,
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
    from dataclasses import asdict, replace

    from edge.calibrate import CalibrationError, line_spacings, pixel_size
    from edge.frames import FailedFrame
    from edge.profile import Pixel

    refused: list[FailedFrame] = []
    rows: list[dict[str, Any]] = []
    spacings = []
    shape: tuple[int, ...] = ()
    read = 0
    with _profile(profile_path, CalibrationError) as (path, profile, date):
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
        size = pixel_size(spacings, pitch_um, pitch_uncertainty_um)
        what = "stage micrometer" if micrometer else "counting-chamber grid"
        method = f"{what}, pitch {pitch_um:g} µm, {len(spacings)} spacings"
        rounded = float(f"{size.pixel_um:.6g}"), float(f"{size.uncertainty_um:.2g}")
        section = Pixel(*rounded, shape[1], shape[0], method, date)
        _write(path, replace(profile, pixel=section))
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
@profile_option
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
    profile_path: Path | None, depth_um: float, depth_uncertainty_um: float, dilution: float, as_json: bool
) -> None:
    """Keep the chamber's depth, and work out the volume that a field shows; the pixel size comes first."""
    from dataclasses import asdict, replace

    from edge.concentration import field_volume
    from edge.profile import ProfileError, Volume

    with _profile(profile_path) as (path, profile, date):
        profile = replace(profile, volume=Volume(depth_um, depth_uncertainty_um, dilution, date))
        if profile.pixel is None:
            raise ProfileError(f"{path}: no pixel size yet; run leuko calibrate pixel first")
        field = field_volume(profile, profile.pixel.width_px, profile.pixel.height_px)
        if isinstance(field, str):
            raise ProfileError(field)
        _write(path, profile)
    if as_json:
        click.echo(json.dumps({**_as_json(profile.volume), **asdict(field)}))
    else:
        click.echo(
            f"a field of {profile.pixel.width_px}×{profile.pixel.height_px} px, {depth_um:g} µm deep, shows "
            f"{1000 * field.field_ul:.4g} nL ± {field.relative_uncertainty:.1%}; dilution {dilution:g}"
        )


@contextmanager
def _profile(path: Path | None, *expected: type[Exception]) -> Iterator[tuple[Path, Profile, datetime]]:
    """Path and content of the profile to write, and now; a wrong one is refused at once."""
    from datetime import UTC

    from edge.profile import Profile, ProfileError, default_path, read_profile

    with one_line_errors(ProfileError, ValueError, *expected), quiet_libraries():
        path = path or default_path()
        profile = read_profile(path) if path.exists() else Profile()
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path, profile, datetime.now(UTC).replace(microsecond=0)


def _write(path: Path, profile: Profile) -> None:
    from edge.profile import write_profile

    write_profile(path, profile)
    click.echo(f"profile: {path}", err=True)


def _shown(sources: tuple[str, ...], bit_depth: int) -> Iterator[Frame | FailedFrame]:
    """Read frames, with a progress bar where a person looks."""
    from rich.console import Console
    from rich.progress import track

    from edge.frames import list_files, read_frames

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
    from dataclasses import asdict

    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in asdict(section).items()
    }
