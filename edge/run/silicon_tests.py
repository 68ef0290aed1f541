"""Tests of what leuko relies on about a Raspberry Pi; see `edge.run.silicon`."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import board
from edge.capture import CameraError, PiCamera, pi_cameras

FRAMES = 10
"""Frames that are compared."""

GREY = 128
"""Grey level of every pixel under a constant gamma curve."""

SETTLE_S = 30.0

CONTIGUOUS_KIB = {"Zero 2 W": 262_144, "Raspberry Pi 3": 262_144, "Raspberry Pi 4": 524_288}
"""Part of a board's name → CmaTotal; see the fact of that name."""


@dataclass(frozen=True)
class Answer:
    """What a test found: whether the fact holds, None where that cannot be tested here."""

    holds: bool | None
    found: str

    def words(self) -> str:
        """Return the answer in words."""
        begin = {True: "Holds", False: "**Does not hold**", None: "Not tested"}[self.holds]
        return f"{begin}: {self.found}"


def on_a_pi(said: Answer) -> Answer:
    """Return an answer, which off a Raspberry Pi refutes nothing."""
    if said.holds is not False or (board.model() or "").startswith("Raspberry Pi"):
        return said
    return Answer(None, f"not a Raspberry Pi ({said.found})")


def _bits() -> Answer:
    return Answer(sys.maxsize > 2**32, f"{64 if sys.maxsize > 2**32 else 32} bit")


def _board() -> Answer:
    name, temperature, word = board.model(), board.temperature_c(), board.throttled()
    return Answer(None not in (name, temperature, word), f"{name}, {temperature} °C, throttled {word}")


def _systemd() -> Answer:
    program = shutil.which("systemctl")
    if program is None:
        return Answer(None, "no systemd")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    first = said.stdout.partition("\n")[0]
    version = next((int(word) for word in first.split() if word.isdigit()), 0)
    release = (board.text(Path("/etc/os-release")) or "").partition("VERSION_CODENAME=")[2].split()[:1]
    wanted = {"bookworm": 252, "trixie": 257}.get(release[0] if release else "")
    return Answer(None if wanted is None else version >= wanted, f"{first}, {' '.join(release)}")


def _memory_limit() -> Answer:
    controllers = (board.text(Path("/sys/fs/cgroup/cgroup.controllers")) or "").split()
    return Answer("memory" in controllers, f"cgroup controllers: {' '.join(controllers) or 'none'}")


def _watchdog() -> Answer:
    folder = Path("/sys/class/watchdog/watchdog0")
    identity, timeout = board.text(folder / "identity"), board.text(folder / "timeout")
    if identity is None:
        return Answer(False, "no /dev/watchdog0")
    return Answer("Broadcom" in identity, f"{identity}, {timeout} s")


def _frame_memory() -> Answer:
    heaps = [Path("/dev/dma_heap", name) for name in ("vidbuf_cached", "linux,cma")]
    there = [heap for heap in heaps if heap.exists()]
    if not there:
        return Answer(False, "no /dev/dma_heap of these names")
    opened = [heap.name for heap in there if os.access(heap, os.R_OK | os.W_OK)]
    contiguous = [
        row for row in (board.text(Path("/proc/meminfo")) or "").splitlines() if row.startswith("Cma")
    ]
    found = "; ".join(
        [*(f"{heap.name} {heap.group()}" for heap in there), *(" ".join(r.split()) for r in contiguous)]
    )
    return Answer(bool(opened), found)


def _contiguous() -> Answer:
    rows = [row.split() for row in (board.text(Path("/proc/meminfo")) or "").splitlines()]
    kib = {row[0].rstrip(":"): int(row[1]) for row in rows if row and row[0] in ("CmaTotal:", "CmaFree:")}
    name = board.model() or ""
    wanted = next((total for part, total in CONTIGUOUS_KIB.items() if part in name), None)
    found = f"{kib.get('CmaFree', 0):,} of {kib.get('CmaTotal', 0):,} kB free"
    return Answer(None if wanted is None else kib.get("CmaTotal") == wanted, found)


def _tuning() -> Answer:
    name = pi_cameras.tuning_of(0, "picamera2")
    return Answer(bool(name), name or "none for this sensor")


def _tuning_read() -> Answer:
    camera = PiCamera(edit=_constant_grey)
    try:
        for _ in range(FRAMES):
            image = camera.grab(5).image
    finally:
        camera.close()
    level, spread = float(np.median(image)), float(image.std())
    return Answer(
        abs(level - GREY) < 4 and spread < 2, f"grey level {level:.0f}, standard deviation {spread:.2f}"
    )


def _constant_grey(tuning: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tuning whose frames are grey, whatever the light."""
    half = GREY * 65535 // 255
    grey = {"rpi.contrast": {"ce_enable": 0, "gamma_curve": [0, half, 65535, half]}}
    return {**tuning, "algorithms": [grey if "rpi.contrast" in one else one for one in tuning["algorithms"]]}


def _modes() -> Answer:
    cameras = pi_cameras.list_cameras()
    if not cameras:
        return Answer(False, "no camera")
    opened, apart = list[str](), list[str]()
    for pixels, sizes in cameras[0].formats.items():
        bits = int(pixels.split()[0])
        for size in sizes:
            mode = f"{size[0]}x{size[1]} {pixels}"
            try:
                camera = PiCamera(size=size, sensor_bits=bits)
            except CameraError as error:
                apart.append(f"{mode} ({error})")
                continue
            shape = camera.grab(5).image.shape
            camera.close()
            (opened if shape == size[::-1] else apart).append(mode)
    return Answer(not apart and bool(opened), "; ".join([*opened, *(f"not {one}" for one in apart)]))


def _gain() -> Answer:
    camera = PiCamera()
    try:
        lowest, highest, _ = camera.limits("AnalogueGain")
    finally:
        camera.close()
    return Answer(None, f"{lowest:.2f} to {highest:.2f}: compare it")


def _lock() -> Answer:
    camera = PiCamera()
    try:
        settled = camera.settle(SETTLE_S)
        settings = [camera.grab(5).settings for _ in range(FRAMES)]
    finally:
        camera.close()
    names = ("exposure_us", "gain", "colour_gain_red", "colour_gain_blue")
    seen = {name: {one.get(name) for one in settings} for name in names}
    steady = all(len(values) == 1 for values in seen.values())
    found = f"asked {settled.exposure_us} µs, gain {settled.gain}"
    return Answer(
        steady, f"{found}; had {', '.join(f'{name} {sorted(map(str, seen[name]))}' for name in names[:2])}"
    )


def _times() -> Answer:
    camera = PiCamera()
    try:
        frames = [camera.grab(5) for _ in range(FRAMES)]
        late_s = (time.time_ns() - frames[-1].time_ns) / 1e9
    finally:
        camera.close()
    steps = np.diff([frame.clock_ns for frame in frames]) / 1e6
    found = f"the last of {FRAMES} frames is {late_s:.3f} s old"
    found += f"; steps of {steps.min():.1f} to {steps.max():.1f} ms"
    return Answer(0 <= late_s < 2 and bool((steps > 0).all()), found)


def _clock() -> Answer:
    path = Path("/var/lib/systemd/timesync/clock")
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError as error:
        return Answer(None, f"{path}: {error.strerror}")
    where = "the root's" if path.stat().st_dev == Path("/").stat().st_dev else "another"
    return Answer(age_s > -60, f"{path} is {age_s / 60:.0f} min old, on {where} file system")


def _swap() -> Answer:
    rows = (board.text(Path("/proc/swaps")) or "").splitlines()[1:]
    if not Path("/etc/rpi/swap.conf").exists():
        return Answer(None, "no rpi-swap")
    return Answer(
        any("zram" in row for row in rows), "; ".join(" ".join(row.split()) for row in rows) or "no swap"
    )


def _read_only() -> Answer:
    if not Path("/etc/systemd/system/var-lib-systemd-timesync.mount").exists():
        return Answer(None, "the root is to be written")
    writable = os.access("/", os.W_OK)
    options = os.statvfs("/").f_flag & os.ST_RDONLY
    return Answer(bool(options) and not writable, "mounted read-only" if options else "mounted for writing")


def _overlays() -> Answer:
    folders = [Path("/boot/firmware/overlays"), Path("/boot/overlays")]
    folder = next((one for one in folders if one.is_dir()), None)
    if folder is None:
        return Answer(None, "no boot partition")
    missing = [name for name in ("imx477", "imx296", "imx708") if not (folder / f"{name}.dtbo").exists()]
    return Answer(not missing, f"{folder}: {'all there' if not missing else 'without ' + ', '.join(missing)}")


def _with_picamera2(test: Callable[[], Answer]) -> Callable[[], Answer]:
    """Return a test that is not one where picamera2 or a camera is missing, or the camera is in use."""

    def tested() -> Answer:
        try:
            importlib.import_module("picamera2")
        except Exception as error:
            return Answer(None, f"no picamera2 ({error})")
        try:
            return test()
        except CameraError as error:
            return Answer(False, str(error))

    return tested


TESTS: Mapping[str, Callable[[], Answer]] = {
    "64-bit": _bits,
    "board": _board,
    "systemd": _systemd,
    "memory-limit": _memory_limit,
    "watchdog": _watchdog,
    "frame-memory": _frame_memory,
    "contiguous": _contiguous,
    "tuning": _with_picamera2(_tuning),
    "tuning-read": _with_picamera2(_tuning_read),
    "modes": _with_picamera2(_modes),
    "gain": _with_picamera2(_gain),
    "lock": _with_picamera2(_lock),
    "times": _with_picamera2(_times),
    "clock": _clock,
    "swap": _swap,
    "read-only": _read_only,
    "overlays": _overlays,
}
"""Name of a fact → its test."""
