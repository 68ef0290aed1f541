"""Contradictions between the values of a device profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from edge.calibration import CalibrationFileError, PixelCalibration, read_calibration
from edge.cli import COMMANDS
from edge.model import Bundle
from firmware_config.hardware import BOARDS, SENSORS, Mode
from firmware_config.memory import Found, shortages
from firmware_config.profile import HOME
from firmware_config.start import PLACEHOLDER

LARGEST_SCALE = 1.5
"""Between a frame's pixel and the bundle's: crops scaled by more no longer resemble the training crops."""
LARGEST_DEVIATION = 0.1
"""Between the measured pixel and the magnification's: more means another objective."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Folders that the count does not see: ProtectHome= and PrivateTmp= of systemd.exec(5)."""

Rule = Callable[..., Iterator[Found]]
RULES: list[tuple[tuple[str, ...], Rule]] = []
"""Each rule with the keys of the values that it takes, in order; it sees nothing else of a profile.

Beside ``section.key``, a key is one of `DERIVED`.
"""
DERIVED: Mapping[str, tuple[str, ...]] = {
    "bundle": ("bundle.file",),
    "calibration": ("optics.calibration",),
    "pixel_um": (
        *("camera.sensor", "camera.pitch_um", "camera.width_px", "camera.height_px", "camera.bit_depth"),
        "optics.magnification",
    ),
}
"""What follows from the keys behind it: a `Bundle`, the calibration's file under the root or None, and
`DeviceProfile.pixel_um`."""


def _rule(*keys: str) -> Callable[[Rule], Rule]:
    """Add a rule to `RULES`."""

    def declare(rule: Rule) -> Rule:
        RULES.append((keys, rule))
        return rule

    return declare


@_rule("camera.sensor", "camera.overlay", "device.board")
def _overlay(sensor_name: str, overlay: str, board_name: str) -> Iterator[Found]:
    sensor, board = SENSORS[sensor_name], BOARDS[board_name]
    name, *parameters = overlay.split(",")
    if name != sensor.overlay:
        why = f"{name or 'none'} is not the overlay of {sensor_name}"
        yield "camera.overlay", why, f'write overlay = "{sensor.overlay}", or another sensor'
        return
    for parameter in (one.partition("=")[0] for one in parameters):
        if parameter in ("cam0", "cam1") and parameter not in board.connectors:
            why = f"{board.description} has only one camera connector, so {parameter} does not apply"
            yield "camera.overlay", why, f"remove {parameter}, or name another board"
        elif parameter not in (*sensor.parameters, *board.connectors):
            known = ", ".join((*sensor.parameters, *board.connectors))
            yield "camera.overlay", f"{name} has no parameter {parameter}", f"remove it; it has {known}"
    chosen = [parameter for parameter in parameters if parameter in board.connectors]
    if len(chosen) > 1:
        yield "camera.overlay", f"one camera cannot use {' and '.join(chosen)}", "remove all but one"


@_rule("camera.sensor", "camera.width_px", "camera.height_px", "camera.bit_depth")
def _mode(sensor: str, width_px: int, height_px: int, bit_depth: int) -> Iterator[Found]:
    modes = SENSORS[sensor].modes
    if modes and SENSORS[sensor].mode(width_px, height_px, bit_depth) is None:
        size = Mode(width_px, height_px, bit_depth)
        known = "; ".join(map(str, modes))
        yield "camera.width_px", f"{sensor} has no mode of {size}", f"choose one of {known}"


@_rule("camera.sensor", "camera.pitch_um")
def _pitch(sensor: str, pitch_um: float | None) -> Iterator[Found]:
    known = SENSORS[sensor].pitch_um
    if known is not None and pitch_um not in (None, known):
        why = f"a pixel of {sensor} measures {known:g} µm, not {pitch_um:g}"
        yield "camera.pitch_um", why, "remove it, or name another sensor"


@_rule("camera.sensor", "camera.gain")
def _gain(sensor: str, gain: float | None) -> Iterator[Found]:
    limits = SENSORS[sensor].gain
    if limits and gain is not None and not limits[0] <= gain <= limits[1]:
        why = f"{sensor} amplifies {limits[0]:g} to {limits[1]:g} times, not {gain:g}"
        yield "camera.gain", why, "write a gain in that range, or remove it for auto-exposure"


@_rule("bundle", "bundle.file", "bundle.sha256")
def _hash(bundle: Bundle, file: str, sha256: str) -> Iterator[Found]:
    if bundle.sha256 != sha256.lower():
        why = f"the SHA-256 of {file} is {bundle.sha256}"
        yield "bundle.sha256", why, "copy the right bundle; if this is the one, write its SHA-256"


@_rule("pixel_um", "optics.calibration")
def _unknown_pixel(nominal_um: float | None, calibration: str | None) -> Iterator[Found]:
    if nominal_um is None and calibration is None:
        remedy = "write the sensor's pixel pitch, or name a calibration in optics.calibration"
        yield "camera.pitch_um", "without it the pixel size is unknown", remedy


@_rule("pixel_um", "calibration", "bundle", "camera.width_px", "camera.height_px")
def _pixel(
    nominal_um: float | None, calibration: Path | None, bundle: Bundle, width_px: int, height_px: int
) -> Iterator[Found]:
    key, pixel_um = "optics.magnification", nominal_um
    if calibration is not None:
        key = "optics.calibration"
        try:
            measured = read_calibration(calibration).pixel
        except CalibrationFileError as error:
            yield key, str(error), "correct that file, or calibrate again"
            return
        if measured is None:
            yield key, f"{calibration} has no pixel size", "run leuko calibrate pixel on the device"
            key = "optics.magnification"
        else:
            pixel_um = measured.pixel_um
            yield from _measured_pixel(measured, nominal_um, (width_px, height_px))
    if pixel_um is None:
        return
    bundle_um = bundle.manifest.pixel_um
    if not 1 / LARGEST_SCALE <= pixel_um / bundle_um <= LARGEST_SCALE:
        why = f"a pixel of {pixel_um:.4g} µm is too far from the bundle's {bundle_um:.4g} µm"
        yield key, why, "use another objective, or a bundle trained at this pixel size"


def _measured_pixel(
    measured: PixelCalibration, nominal_um: float | None, size_px: tuple[int, int]
) -> Iterator[Found]:
    key = "optics.calibration"
    if (measured.width_px, measured.height_px) != size_px:
        size = f"{measured.width_px} x {measured.height_px} px"
        yield key, f"was made with frames of {size}", "calibrate again with this camera"
    if nominal_um is not None and abs(measured.pixel_um / nominal_um - 1) > LARGEST_DEVIATION:
        why = f"has a pixel of {measured.pixel_um:.4g} µm; the magnification makes it {nominal_um:.4g}"
        yield key, why, "correct optics.magnification, or calibrate again with this objective"


@_rule("bundle", "plan.until_halfwidth")
def _halfwidth(bundle: Bundle, until_halfwidth: float | None) -> Iterator[Found]:
    if until_halfwidth is not None and len(bundle.manifest.counted) < 2:
        why = f"{bundle.manifest.name} counts one label, whose fraction is always 1"
        yield "plan.until_halfwidth", why, "remove it, or use until_cells"


_rule(
    *("device.board", "device.ram_mb", "camera.sensor", "camera.width_px", "camera.height_px"),
    *("camera.bit_depth", "camera.camera_buffers", "camera.buffer_frames", "pixel_um"),
    *("service.threads", "service.memory_mb"),
)(shortages)


@_rule("service.watchdog_s", "service.give_up_s", "camera.exposure_us")
def _watchdog(watchdog_s: int, give_up_s: float, exposure_us: int | None) -> Iterator[Found]:
    if watchdog_s <= give_up_s:
        why = f"{watchdog_s} s are not more than service.give_up_s, so no camera failure is reported"
        yield "service.watchdog_s", why, "write more, or lower service.give_up_s"
    if exposure_us is not None and watchdog_s * 1e6 < 20 * exposure_us:
        why = f"{watchdog_s} s are less than 20 exposures of {exposure_us} µs"
        yield "service.watchdog_s", why, "write more, or lower camera.exposure_us"


@_rule("storage.read_only_root", "storage.data_partition")
def _data(read_only_root: bool, data_partition: str | None) -> Iterator[Found]:
    if read_only_root and data_partition is None:
        why = "a read-only root needs a partition for the sessions"
        yield "storage.data_partition", why, 'name it, as in data_partition = "LABEL=leuko-data"'


@_rule("console.enabled")
def _console(enabled: bool) -> Iterator[Found]:
    if enabled and "serve" not in COMMANDS:
        yield "console.enabled", "this leuko has no console", "write enabled = false"


@_rule("optics.objective")
def _objective(text: str) -> Iterator[Found]:
    yield from _undescribed("optics.objective", text)


@_rule("optics.chamber")
def _chamber(text: str) -> Iterator[Found]:
    yield from _undescribed("optics.chamber", text)


def _undescribed(key: str, text: str) -> Iterator[Found]:
    if text == PLACEHOLDER:
        yield key, f"still says {PLACEHOLDER!r}", "describe it in your own words"


@_rule("optics.calibration")
def _hidden(calibration: str | None) -> Iterator[Found]:
    path = PurePosixPath(os.path.normpath(calibration or ""))
    for folder in HIDDEN:
        if path.is_relative_to(folder):
            why = f"the service cannot see {folder}, which is private to each user or service"
            yield "optics.calibration", why, f"copy it to {HOME}/calibration.toml"
