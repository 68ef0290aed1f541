"""Values that a new profile begins with, by board and camera."""

from __future__ import annotations

from collections.abc import Mapping

from edge.model import TrustSettings, load_bundle
from firmware_config.hardware import SENSORS, Mode
from firmware_config.profile import Value

MEMORY_MB = {"pi4": 700, "pi5": 1000, "zero2w": 360}
"""What the count may take, of 1 GB, 2 GB and 512 MB, the smallest that there are."""

PLACEHOLDER = "say which"
"""In a new profile, where only a person knows what to write; `firmware_config.check` names it."""

_USB_MODE, _USB_PITCH_UM = Mode(1920, 1080, 8), 2.9


def beginning(board: str, sensor: str, release: str) -> Mapping[str, Value]:
    """Give values for all keys without a default, such that the profile has no problem but `PLACEHOLDER`.

    The magnification is the one at which the sensor's pixel is that of the bundle's training.
    """
    bundle = "phantom3" if sensor == "simulated" else "hemocytometer"
    loaded = load_bundle(bundle, TrustSettings())
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
