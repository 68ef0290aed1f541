"""Initial values of a new profile, by board and camera."""

from __future__ import annotations

from collections.abc import Mapping

from edge.model import DeviceSettings, load_bundle
from firmware_config.hardware import SENSORS, Mode
from firmware_config.profile import Value

MEMORY_MB = {"pi4": 700, "pi5": 1000, "zero2w": 360}
"""Memory for the count on the smallest version of each board: 1 GB, 2 GB and 512 MB."""

PLACEHOLDER = "say which"
"""Stands where only a person knows what to write; `firmware_config.rules` names it."""

_USB_MODE, _USB_PITCH_UM = Mode(1920, 1080, 8), 2.9


def initial_values(board: str, sensor: str, release: str) -> Mapping[str, Value]:
    """Return values for all required keys; the profile's only problems are the two placeholders.

    The magnification makes the sensor's pixel that of the bundle's training crops.
    """
    bundle = "phantom3" if sensor == "simulated" else "hemocytometer"
    loaded = load_bundle(bundle, DeviceSettings())
    known = SENSORS[sensor]
    mode = known.modes[-1] if known.modes else _USB_MODE
    values: dict[str, Value] = {
        "device.board": board,
        "device.release": release,
        "camera.sensor": sensor,
        "camera.overlay": known.overlay,
        "camera.width_px": mode.width_px,
        "camera.height_px": mode.height_px,
        "camera.bit_depth": mode.bit_depth,
        "optics.magnification": round((known.pitch_um or _USB_PITCH_UM) / loaded.manifest.pixel_um, 1),
        "optics.objective": PLACEHOLDER,
        "optics.chamber": PLACEHOLDER,
        "bundle.file": bundle,
        "bundle.sha256": loaded.sha256,
        "plan.until_cells": 400,
        "service.memory_mb": MEMORY_MB[board],
    }
    if known.pitch_um is None:
        values["camera.pitch_um"] = _USB_PITCH_UM
    if known.camera == "simulate":
        values["camera.when_behind"] = "wait"
    return values
