"""Checks a device profile: its values one by one, then those that contradict each other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edge.count import CAMERA_CELLS
from edge.model import Bundle, BundleError, DeviceSettings, load_bundle, shipped_bundles
from firmware_config.fence import FenceError, outside
from firmware_config.hardware import RELEASES, SENSORS
from firmware_config.read import Reading
from firmware_config.rules import DERIVED, RULES
from firmware_config.state import InstallError, State, look

# lines of config.txt
_CAMERA = re.compile(rb"(?m)^[ \t]*(dtoverlay=(?:imx|ov)\d+\S*)")
_DETECT = re.compile(rb"(?m)^[ \t]*(camera_auto_detect=(?!0)\S+)")
_WATCHDOG = re.compile(rb"(?m)^[ \t]*(dtparam=(?:\S*,)?watchdog=(?!on)\S+)")
_LATER = "is below leuko's lines and overrides them"


def check(reading: Reading, folder: Path, root: Path) -> Reading:
    """Add contradictions and notes to a reading, whose profile is then None if there is any problem.

    The bundle's path is relative to `folder`. The device's system, with its root at `root`, holds the
    calibration and the boot partition's settings.

    A rule or note whose keys are not all right by themselves is skipped, and a note says so.
    """
    profile = reading.profile
    if profile is None:
        return reading
    problems, notes = list(reading.problems), []
    values: dict[str, Any] = {
        f"{section}.{key}": value for section, keys in asdict(profile).items() for key, value in keys.items()
    }
    wrong = {key for key in values if any(_concerns(problem.key, key) for problem in problems)}
    wrong |= {name for name, keys in DERIVED.items() if wrong & set(keys)}
    if "bundle" not in wrong:
        try:
            values["bundle"] = _load(profile.bundle.file, folder)
        except BundleError as error:
            remedy = "correct the name, or copy the bundle there again"
            problems.append(reading.place("bundle.file", str(error), remedy))
            wrong.add("bundle")
    if "calibration" not in wrong:
        values["calibration"], note = _calibration(profile.optics.calibration, root)
        notes += note
    if "pixel_um" not in wrong:
        values["pixel_um"] = profile.pixel_um
    for keys, rule in RULES:
        if not wrong & set(keys):
            problems += [reading.place(*found) for found in rule(*(values[key] for key in keys))]
    for keys, remark in _NOTES:
        if not wrong & set(keys):
            notes += remark(root, *(values[key] for key in keys))
    if skipped := sorted(wrong & {key for keys, _ in (*RULES, *_NOTES) for key in keys} & values.keys()):
        notes.append(f"not compared with other values until it is right: {', '.join(skipped)}")
    return replace(
        reading,
        profile=None if problems else profile,
        bundle=values.get("bundle"),
        problems=tuple(sorted(problems)),
        notes=tuple(notes),
    )


def _concerns(problem: str, key: str) -> bool:
    """Return whether a problem is with a key, its section, or something in its value."""
    return f"{key}.".startswith(f"{problem}.") or problem.startswith(f"{key}.")


def _load(file: str, folder: Path) -> Bundle:
    return load_bundle(file if file in shipped_bundles() else folder / file, DeviceSettings())


def _calibration(named: str | None, root: Path) -> tuple[Path | None, list[str]]:
    """Return the calibration's file, None if it cannot be compared, and a note that says why."""
    if named is None:
        return None, []
    path = root / named.lstrip("/")
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        why = f"leads out of {root}"
    elif not path.is_file():
        why = "is not there yet"
    else:
        return path, []
    return None, [f"optics.calibration: {path} {why}; it was not compared"]


def _endless(
    root: Path, until_cells: int | None, until_halfwidth: float | None, until_seconds: float | None
) -> Iterator[str]:
    if (until_cells, until_halfwidth, until_seconds) == (None, None, None):
        yield f"plan: no limit is set, so each count ends with {CAMERA_CELLS} cells"


def _conflicting_lines(root: Path, release: str, sensor: str, hardware_s: int) -> Iterator[str]:
    """Yield the user's own lines of config.txt that disagree with the profile's.

    Of two lines that set the same value the later one wins; every camera overlay applies.
    """
    path = f"{RELEASES[release].boot}/config.txt"
    place = root / path
    try:
        match look(root, path):
            case State(content=bytes(content)):
                before, after = outside(content)
            case _:
                yield f"{place}: is missing and was not compared; is the boot partition mounted?"
                return
    except (InstallError, OSError, FenceError) as error:
        yield f"{place}: was not compared: {error}"
        return
    found = []
    if SENSORS[sensor].overlay:
        found += [(line, "is a camera beside the profile's") for line in _CAMERA.findall(before + after)]
        found += [(line, _LATER) for line in _DETECT.findall(after)]
    if hardware_s:
        found += [(line, _LATER) for line in _WATCHDOG.findall(after)]
    for line, why in found:
        yield f"{place}: {line.decode(errors='replace')} {why}; remove it unless it is intended"


_NOTES: tuple[tuple[tuple[str, ...], Callable[..., Iterator[str]]], ...] = (
    (("plan.until_cells", "plan.until_halfwidth", "plan.until_seconds"), _endless),
    (("device.release", "camera.sensor", "watchdog.hardware_s"), _conflicting_lines),
)
"""As `RULES`; these take the root first."""
