"""Initial values of a new profile, by board and camera."""

from __future__ import annotations

from collections.abc import Mapping

from edge.model import DeviceSettings, load_bundle
from edge.run import count_bytes
from firmware_config.hardware import BOARDS, CORES, SENSORS, Mode
from firmware_config.memory import MIB, camera_mb, room_mib
from firmware_config.profile import Value

THREADS = {"zero2w": 1}
"""Threads, and frames that may wait, where the memory is for fewer than usual."""
FRAMES = {"zero2w": 2}
USUAL_FRAMES = 4
MOST_MIB = 1000
"""Memory for the count where there is more."""

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
    pixel_um = loaded.manifest.pixel_um
    mode, memory_mib = _largest_mode(board, sensor, pixel_um)
    pitch_um = (known.pitch_um or _USB_PITCH_UM) * mode.binning
    values: dict[str, Value] = {
        "device.board": board,
        "device.release": release,
        "camera.sensor": sensor,
        "camera.overlay": known.overlay,
        "camera.width_px": mode.width_px,
        "camera.height_px": mode.height_px,
        "camera.bit_depth": mode.bit_depth,
        "optics.magnification": round(pitch_um / pixel_um, 1),
        "optics.objective": PLACEHOLDER,
        "optics.chamber": PLACEHOLDER,
        "bundle.file": bundle,
        "bundle.sha256": loaded.sha256,
        "plan.until_cells": 400,
        "device.ram_mb": BOARDS[board].versions_mb[0],
        "service.memory_mb": memory_mib,
    }
    if board in THREADS:
        values |= {"service.threads": THREADS[board], "camera.buffer_frames": FRAMES[board]}
    buffers = BOARDS[board].buffers
    if buffers is not None and known.camera == "picamera2":
        values["camera.camera_buffers"] = buffers
    if known.pitch_um is None:
        values["camera.pitch_um"] = _USB_PITCH_UM
    if known.camera == "simulate":
        values["camera.when_behind"] = "wait"
    return values


def _largest_mode(board_name: str, sensor: str, pixel_um: float) -> tuple[Mode, int]:
    """Return the largest mode for which the board's smallest version has memory, and the count's share."""
    board = BOARDS[board_name]
    threads, frames = THREADS.get(board_name, CORES), FRAMES.get(board_name, USUAL_FRAMES)
    for mode in reversed(SENSORS[sensor].modes or (_USB_MODE,)):
        buffers_mb, _ = camera_mb(board, sensor, mode, board.buffers)
        left_mib = min(MOST_MIB, room_mib(board, board.versions_mb[0], buffers_mb) // 10 * 10)
        needed, _ = count_bytes(mode.width_px * mode.height_px, pixel_um, threads, frames)
        if buffers_mb <= (board.contiguous_mb or buffers_mb) and needed / MIB <= left_mib:
            return mode, left_mib
    raise ValueError(f"a {board.description} has no memory for {sensor}")
