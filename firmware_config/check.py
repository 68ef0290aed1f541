"""Checks a device profile: its values one by one, then those that contradict each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edge.count import CAMERA_CELLS
from edge.model import Bundle, BundleError, DeviceSettings, load_bundle, shipped_bundles
from firmware_config.fence import FenceError, outside
from firmware_config.hardware import RELEASES, SENSORS
from firmware_config.profile import DeviceProfile
from firmware_config.read import Reading
from firmware_config.rules import RULES, Case
from firmware_config.state import InstallError, State, look

# lines of config.txt
_CAMERA = re.compile(rb"(?m)^\s*(dtoverlay=(?:imx|ov)\d+\S*)")
_DETECT = re.compile(rb"(?m)^\s*(camera_auto_detect=(?!0)\S+)")
_WATCHDOG = re.compile(rb"(?m)^\s*(dtparam=(?:\S*,)?watchdog=(?!on)\S+)")
_LATER = "is below leuko's lines and overrides them"


def check(reading: Reading, folder: Path, root: Path) -> Reading:
    """Add contradictions and notes to a reading, whose profile is then None if there is any problem.

    The bundle's path is relative to `folder`. The device's system, with its root at `root`, holds the
    calibration and the boot partition's settings.
    """
    profile = reading.profile
    if profile is None:
        return reading
    wrong = {problem.key for problem in reading.problems}
    problems, notes = list(reading.problems), []
    bundle: Bundle | None = None
    if "bundle.file" not in wrong:
        try:
            bundle = _load(profile.bundle.file, folder)
        except BundleError as error:
            remedy = "correct the name, or copy the bundle there again"
            problems.append(reading.place("bundle.file", str(error), remedy))
            wrong.add("bundle.file")
    calibration: Path | None = None
    if "optics.calibration" not in wrong and profile.optics.calibration is not None:
        calibration = root / profile.optics.calibration.lstrip("/")
        if why := _unusable(calibration, root):
            notes.append(f"optics.calibration: {calibration} {why}; it was not compared")
            calibration = None
    case = Case(profile, bundle, calibration)
    for rule_keys, rule in RULES:
        if not wrong & set(rule_keys):
            problems += [reading.place(*found) for found in rule(case)]
    plan = profile.plan
    if (plan.until_cells, plan.until_halfwidth, plan.until_seconds) == (None, None, None):
        notes.append(f"plan: no limit is set, so each count ends with {CAMERA_CELLS} cells")
    if not wrong & {"device.release", "camera.sensor"}:
        notes += _conflicting_lines(profile, root)
    sound = None if problems else profile
    return replace(reading, profile=sound, problems=tuple(sorted(problems)), notes=tuple(notes))


def _load(file: str, folder: Path) -> Bundle:
    return load_bundle(file if file in shipped_bundles() else folder / file, DeviceSettings())


def _unusable(calibration: Path, root: Path) -> str:
    """Say why a calibration cannot be read; empty if it can."""
    if not Path(os.path.realpath(calibration)).is_relative_to(os.path.realpath(root)):
        return f"leads out of {root}"
    return "" if calibration.is_file() else "is not there yet"


def _conflicting_lines(profile: DeviceProfile, root: Path) -> Iterator[str]:
    """Yield the user's own lines of config.txt that disagree with the profile's.

    Of two lines that set the same value the later one wins; every camera overlay applies.
    """
    path = f"{RELEASES[profile.device.release].boot}/config.txt"
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
    if SENSORS[profile.camera.sensor].overlay:
        found += [(line, "is a camera beside the profile's") for line in _CAMERA.findall(before + after)]
        found += [(line, _LATER) for line in _DETECT.findall(after)]
    if profile.watchdog.hardware_s:
        found += [(line, _LATER) for line in _WATCHDOG.findall(after)]
    for line, why in found:
        yield f"{place}: {line.decode(errors='replace')} {why}; remove it unless it is intended"
