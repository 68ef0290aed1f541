"""What is wrong with a device profile: its values one by one, and those that contradict each other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.calibration import CalibrationFileError, read_calibration
from edge.count import CAMERA_CELLS
from edge.model import Bundle, BundleError, TrustSettings, load_bundle, shipped_bundles
from firmware_config.fence import FenceError, outside
from firmware_config.hardware import BOARDS, MB, RELEASES, SENSORS, Mode
from firmware_config.install import InstallError, look
from firmware_config.profile import HOME, DeviceProfile, Problem, Read
from firmware_config.start import PLACEHOLDER

BASE_MB = 150
"""What a count takes besides its frames: Python, its libraries, the network."""
FRAMES_IN_WORK = 12
"""Frames that four threads hold at a time, two each, and those in the camera's own buffers."""
LARGEST_SCALE = 1.5
"""Between a frame's pixel and the bundle's: crops scaled by more look unlike those of the training."""
LARGEST_DEVIATION = 0.1
"""Between the measured pixel and the magnification's: more is another objective."""
LARGEST_SHARE = 0.75
"""Of a board's memory: the rest is the system's."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Folders that the count does not see: ProtectHome= and PrivateTmp= of systemd.exec(5)."""

# lines of config.txt
_CAMERA = re.compile(rb"(?m)^\s*(dtoverlay=(?:imx|ov)\d+\S*)")
_DETECT = re.compile(rb"(?m)^\s*(camera_auto_detect=(?!0)\S+)")
_WATCHDOG = re.compile(rb"(?m)^\s*(dtparam=(?:\S*,)?watchdog=(?!on)\S+)")
_LATER = "stands after leuko's lines, and holds instead"

_Found = tuple[str, str, str]
"""Key, why, remedy."""
_Rule = Callable[["Case"], Iterator[_Found]]
_RULES: list[tuple[tuple[str, ...], _Rule]] = []


@dataclass(frozen=True)
class Case:
    """A profile and what it refers to.

    Attributes
    ----------
    profile : to check
    bundle : that it names; None where it cannot be used
    calibration : file that it names, under the root that is looked at; None where it names none
    """

    profile: DeviceProfile
    bundle: Bundle | None
    calibration: Path | None


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes
    ----------
    text : of the profile
    profile : None unless there is no problem
    bundle : that it names; None likewise
    problems : in the order of the lines
    notes : what could not be looked at, and what is not wrong but may not be meant
    """

    text: str
    profile: DeviceProfile | None
    bundle: Bundle | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def check(said: Read, folder: Path, root: Path) -> Checked:
    """Find all that is wrong with a profile.

    Parameters
    ----------
    said : by the profile
    folder : from which its bundle's path is seen
    root : of the device, in which its calibration and the boot partition's own settings are looked for
    """
    if said.profile is None:
        return Checked(said.text, None, None, said.problems)
    wrong = {problem.key for problem in said.problems}
    problems, notes = list(said.problems), []
    bundle, calibration = None, None
    if "bundle.file" not in wrong:
        try:
            bundle = load_bundle(_located(said.profile.bundle.file, folder), TrustSettings())
        except BundleError as error:
            remedy = "correct the name, or copy the bundle there anew"
            problems.append(_placed(said, "bundle.file", str(error), remedy))
            wrong.add("bundle.file")
    if "optics.calibration" not in wrong and said.profile.optics.calibration is not None:
        calibration = root / said.profile.optics.calibration.lstrip("/")
        why = "" if calibration.is_file() else "is not there yet"
        if not Path(os.path.realpath(calibration)).is_relative_to(os.path.realpath(root)):
            why = f"leads out of {root}"
        if why:
            notes.append(f"optics.calibration: {calibration} {why}, and was not compared")
            calibration = None
    case = Case(said.profile, bundle, calibration)
    for keys, rule in _RULES:
        if not wrong & set(keys):
            problems += [_placed(said, *found) for found in rule(case)]
    plan = said.profile.plan
    if (plan.until_cells, plan.until_halfwidth, plan.until_seconds) == (None, None, None):
        notes.append(f"plan: has no end of the count, which then ends with {CAMERA_CELLS} cells")
    if "device.release" not in wrong:
        notes += _in_the_way(said.profile, root)
    found = tuple(sorted(problems))
    return Checked(said.text, None if found else said.profile, None if found else bundle, found, tuple(notes))


def _in_the_way(profile: DeviceProfile, root: Path) -> Iterator[str]:
    """Yield the user's own lines of config.txt that disagree with those of the profile.

    Of two lines that set the same, the later one holds; cameras' overlays hold both.
    """
    path = f"{RELEASES[profile.device.release].boot}/config.txt"
    place = root / path
    try:
        state = look(root, path)
        if state is None or isinstance(state.content, str):
            yield f"{place}: is not there, and was not compared; is the boot partition mounted?"
            return
        before, after = outside(state.content)
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
        yield f"{place}: {line.decode(errors='replace')} {why}; remove it if it is not meant"


def _placed(said: Read, key: str, why: str, remedy: str) -> Problem:
    section = key.partition(".")[0]
    return Problem(said.lines.get(key, said.lines.get(section, 0)), key, " ".join(why.split()), remedy)


def _located(file: str, folder: Path) -> str | Path:
    return file if file in shipped_bundles() else folder / file


def _rule(*keys: str) -> Callable[[_Rule], _Rule]:
    """Declare a rule between keys; it is asked when each of them by itself is right."""

    def declare(rule: _Rule) -> _Rule:
        _RULES.append((keys, rule))
        return rule

    return declare


@_rule("camera.sensor", "camera.overlay", "device.board")
def _overlay(case: Case) -> Iterator[_Found]:
    camera, board = case.profile.camera, BOARDS[case.profile.device.board]
    sensor = SENSORS[camera.sensor]
    name, *parameters = camera.overlay.split(",")
    if name != sensor.overlay:
        needs = f'overlay = "{sensor.overlay}"'
        why = f"{name or 'none'} is not the overlay of {camera.sensor}"
        yield "camera.overlay", why, f"write {needs}, or another sensor"
        return
    for parameter in (one.partition("=")[0] for one in parameters):
        if parameter in ("cam0", "cam1") and parameter not in board.connectors:
            why = f"{board.description} has one camera connector and no choice of {parameter}"
            yield "camera.overlay", why, f"leave out {parameter}, or name another board"
        elif parameter not in (*sensor.parameters, *board.connectors):
            known = ", ".join((*sensor.parameters, *board.connectors))
            yield "camera.overlay", f"{name} has no parameter {parameter}", f"leave it out; there are {known}"
    chosen = [parameter for parameter in parameters if parameter in board.connectors]
    if len(chosen) > 1:
        yield "camera.overlay", f"one camera is not on {' and '.join(chosen)}", "leave out all but one"


@_rule("camera.sensor", "camera.width_px", "camera.height_px", "camera.bit_depth")
def _mode(case: Case) -> Iterator[_Found]:
    camera = case.profile.camera
    sensor = SENSORS[camera.sensor]
    if sensor.modes and sensor.mode(camera.width_px, camera.height_px, camera.bit_depth) is None:
        size = Mode(camera.width_px, camera.height_px, camera.bit_depth)
        known = "; ".join(map(str, sensor.modes))
        yield "camera.width_px", f"{camera.sensor} has no mode of {size}", f"choose among {known}"


@_rule("camera.sensor", "camera.pitch_um")
def _pitch(case: Case) -> Iterator[_Found]:
    camera = case.profile.camera
    known = SENSORS[camera.sensor].pitch_um
    if known is not None and camera.pitch_um not in (None, known):
        why = f"a pixel of {camera.sensor} measures {known:g} µm, not {camera.pitch_um:g}"
        yield "camera.pitch_um", why, "leave it out, or name another sensor"


@_rule("camera.sensor", "camera.gain")
def _gain(case: Case) -> Iterator[_Found]:
    camera = case.profile.camera
    limits = SENSORS[camera.sensor].gain
    if limits and camera.gain is not None and not limits[0] <= camera.gain <= limits[1]:
        why = f"{camera.sensor} amplifies {limits[0]:g} to {limits[1]:g} times, not {camera.gain:g}"
        yield "camera.gain", why, "stay in that range, or leave it out: the camera then settles by itself"


@_rule("bundle.file", "bundle.sha256")
def _hash(case: Case) -> Iterator[_Found]:
    asked = case.profile.bundle
    if case.bundle is not None and case.bundle.sha256 != asked.sha256.lower():
        why = f"the SHA-256 of {asked.file} is {case.bundle.sha256}"
        yield "bundle.sha256", why, "get the bundle that was meant; if it is this one, write its SHA-256"


@_rule(
    *("camera.sensor", "camera.pitch_um", "camera.width_px", "camera.height_px", "camera.bit_depth"),
    *("bundle.file", "optics.magnification", "optics.calibration"),
)
def _pixel(case: Case) -> Iterator[_Found]:
    nominal_um = case.profile.pixel_um
    key, pixel_um = "optics.magnification", nominal_um
    if nominal_um is None and case.profile.optics.calibration is None:
        remedy = "write the sensor's pixel pitch, or name a calibration in optics.calibration"
        yield "camera.pitch_um", "without it the pixel size is not known", remedy
        return
    if case.calibration is not None:
        try:
            measured = read_calibration(case.calibration).pixel
        except CalibrationFileError as error:
            yield "optics.calibration", str(error), "correct that file, or calibrate anew"
            return
        if measured is None:
            why = f"{case.calibration} has no pixel size"
            yield "optics.calibration", why, "run leuko calibrate pixel on the device"
        else:
            key, pixel_um = "optics.calibration", measured.pixel_um
            camera = case.profile.camera
            if (measured.width_px, measured.height_px) != (camera.width_px, camera.height_px):
                size = f"{measured.width_px} x {measured.height_px} px"
                yield key, f"was made with frames of {size}", "calibrate anew with this camera"
            if nominal_um is not None and abs(pixel_um / nominal_um - 1) > LARGEST_DEVIATION:
                why = f"measured a pixel of {pixel_um:.4g} µm; the magnification makes it {nominal_um:.4g}"
                yield key, why, "correct optics.magnification, or calibrate anew with this objective"
    if case.bundle is None or pixel_um is None:
        return
    bundle_um = case.bundle.manifest.pixel_um
    if not 1 / LARGEST_SCALE <= pixel_um / bundle_um <= LARGEST_SCALE:
        why = f"a pixel of {pixel_um:.4g} µm is too far from the {bundle_um:.4g} µm that the bundle learned"
        yield key, why, "use another objective, or a bundle trained at this pixel size"


@_rule("bundle.file", "plan.until_halfwidth")
def _plan(case: Case) -> Iterator[_Found]:
    bundle = case.bundle
    if case.profile.plan.until_halfwidth is not None and bundle and len(bundle.manifest.counted) < 2:
        why = f"{bundle.manifest.name} counts one label, whose fraction is always 1"
        yield "plan.until_halfwidth", why, "leave it out, or use until_cells"


@_rule("device.board", "service.memory_mb", "camera.width_px", "camera.height_px", "camera.buffer_frames")
def _memory(case: Case) -> Iterator[_Found]:
    camera, memory_mb = case.profile.camera, case.profile.service.memory_mb
    board = BOARDS[case.profile.device.board]
    frames = camera.buffer_frames + FRAMES_IN_WORK
    needed_mb = BASE_MB + frames * camera.width_px * camera.height_px / MB
    most_mb = int(board.memory_mb * LARGEST_SHARE)
    if memory_mb > most_mb:
        why = f"{board.description} has no more than {board.memory_mb} MB, and its system needs some"
        yield "service.memory_mb", why, f"write {most_mb} or less: three quarters of what there is"
    if needed_mb > memory_mb:
        size = f"{camera.width_px} x {camera.height_px} px"
        why = f"{frames} frames of {size} and the rest take {needed_mb:.0f} MB"
        yield "service.memory_mb", why, "write more, or fewer camera.buffer_frames"


@_rule("service.watchdog_s", "service.give_up_s", "camera.exposure_us")
def _watchdog(case: Case) -> Iterator[_Found]:
    exposure_us, watchdog_s = case.profile.camera.exposure_us, case.profile.service.watchdog_s
    if watchdog_s <= case.profile.service.give_up_s:
        why = f"{watchdog_s} s are not more than service.give_up_s: a camera's failure would not be told"
        yield "service.watchdog_s", why, "write more, or a smaller service.give_up_s"
    if exposure_us is not None and watchdog_s * 1e6 < 20 * exposure_us:
        why = f"{watchdog_s} s are less than 20 exposures of {exposure_us} µs"
        yield "service.watchdog_s", why, "write more, or a shorter camera.exposure_us"


@_rule("storage.read_only_root", "storage.data_partition")
def _data(case: Case) -> Iterator[_Found]:
    storage = case.profile.storage
    if storage.read_only_root and storage.data_partition is None:
        why = "a read-only root needs a partition for the sessions"
        yield "storage.data_partition", why, 'write its name, as in data_partition = "LABEL=leuko-data"'


@_rule("console.enabled")
def _console(case: Case) -> Iterator[_Found]:
    from edge.cli import COMMANDS

    if case.profile.console.enabled and "serve" not in COMMANDS:
        yield "console.enabled", "this leuko has no console", "write enabled = false"


@_rule()
def _to_be_filled_in(case: Case) -> Iterator[_Found]:
    optics = case.profile.optics
    for key, said in (("optics.objective", optics.objective), ("optics.chamber", optics.chamber)):
        if said == PLACEHOLDER:
            yield key, f"still says {PLACEHOLDER!r}", "write which one it is, in words"


@_rule("optics.calibration")
def _hidden(case: Case) -> Iterator[_Found]:
    path = PurePosixPath(os.path.normpath(case.profile.optics.calibration or ""))
    for folder in HIDDEN:
        if path.is_relative_to(folder):
            why = f"the service does not see {folder}, where each user or service has files of its own"
            yield "optics.calibration", why, f"copy it to {HOME}/profile.toml"
