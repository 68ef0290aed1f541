"""Checks of this device: each says what it found, and what to do about it.

Each check runs in a process of its own, for a limited time: a disk that hangs or a runtime that crashes must
not stop the others.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from edge.base import board, home, partial_path, quantity, write_atomically
from edge.calibration import CalibrationFileError, read_calibration, read_flat_field_gain
from edge.capture import CameraError, pi_cameras, v4l2
from edge.classify import RUNTIMES, Classifier, RuntimeMissingError, installed_runtimes, runtime_version
from edge.model import BundleError, load_bundle, read_device_settings, shipped_bundles
from edge.run.child import ChildError, ChildTimeoutError, answer, start
from edge.run.remarks import pixel_remark

TIMEOUT_S = 60.0
"""Longest wait for all checks; each takes a second on an idle processor."""

TESTED = ((3, 11), (3, 13))
"""First and last version of Python on which the tests run."""

LITTLE_FREE, TOO_LITTLE_FREE = 1 << 30, 100 << 20
"""Bytes of free disk below which to warn, and below which a session may not be completed."""

WARM_C, HOT_C = 70.0, 80.0
"""At 80 °C a Raspberry Pi slows its processor down (Raspberry Pi's documentation)."""

OLD = timedelta(days=365)
"""Age of a calibration that should be repeated."""

REINSTALL = "reinstall leuko-edge"

NOT_CAMERAS = ("bcm2835", "rpi", "rp1", "pisp", "hevc", "unicam")
"""First letters of the video devices of a Raspberry Pi's own codecs and camera pipeline."""

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    check : str
        A key of `CHECKS`.
    status : {"ok", "warning", "problem"}
        ``problem`` if counting fails or cannot be trusted.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""


def examine_device(
    calibration: Path, *, checks: Sequence[str] = (), timeout_s: float = TIMEOUT_S
) -> Iterator[Finding]:
    """Run checks, by default all, side by side; yield their findings in order, within `timeout_s` for all."""
    deadline = time.monotonic() + timeout_s
    children = {name: start("edge.run.doctor", name, str(calibration)) for name in checks or CHECKS}
    for name, child in children.items():
        yield _finding(name, child, max(0.1, deadline - time.monotonic()))


def _finding(name: str, child: subprocess.Popen[str], timeout_s: float) -> Finding:
    try:
        return Finding(**answer(child, timeout_s))
    except ChildTimeoutError as error:
        remedy = "look for a disk, network share or camera that hangs, or restart the device"
        return Finding(name, "problem", str(error), remedy)
    except ChildError as error:
        return Finding(name, "problem", str(error), f"{REINSTALL}; if it stays, report this line")


def check_python() -> Finding:
    """Check the interpreter, and the libraries in C that must fit it."""
    bits = 64 if sys.maxsize > 2**32 else 32
    found = f"Python {platform.python_version()}, {bits} bit"
    try:
        versions = [f"{name} {importlib.import_module(name).__version__}" for name in ("numpy", "cv2")]
    except ImportError as error:
        remedy = f"{REINSTALL}; with apt's packages, in a venv made with --system-site-packages"
        return Finding("python", "problem", f"{found}: {_line(error)}", remedy)
    found = ", ".join([found, *versions])
    if not TESTED[0] <= sys.version_info[:2] <= TESTED[1]:
        first, last = (".".join(map(str, version)) for version in TESTED)
        return Finding("python", "warning", f"{found}: not tested", f"use Python {first} to {last}")
    return Finding("python", "ok", found)


def check_runtime() -> Finding:
    """Check which runtimes are installed, and which one is used."""
    names = installed_runtimes()
    if not names:
        remedy = "pip install ai-edge-litert, or on 32-bit ARM tflite-runtime"
        return Finding("runtime", "problem", "none is installed", remedy)
    used, *others = (f"{name} {runtime_version(name)}" for name in names)
    found = f"{used} is used" + "".join(f", {other} installed too" for other in others)
    try:
        importlib.import_module(RUNTIMES[names[0]])
    except ImportError as error:
        return Finding("runtime", "problem", f"{used}: {_line(error)}", REINSTALL)
    if names[0] != "litert" and sys.maxsize > 2**32:
        return Finding("runtime", "warning", f"{found}: several times slower", "pip install ai-edge-litert")
    return Finding("runtime", "ok", found)


def check_threads(usable: int | None = None, load: float | None = None) -> Finding:
    """Check how many cores counting may use, and how busy they are."""
    usable = usable or board.cores()
    load = os.getloadavg()[0] if load is None else load
    found = f"{usable} of {max(usable, os.cpu_count() or 1)} cores, load {load:.1f}"
    if load > 2 * usable:
        return Finding("threads", "warning", found, "close other programs, or frames may be dropped")
    return Finding("threads", "ok", found)


def check_camera(described: Path = Path("/sys/class/video4linux")) -> Finding:
    """Check the cameras that picamera2 and V4L2 offer."""
    cameras = []
    if importlib.util.find_spec("picamera2"):
        try:
            cameras += pi_cameras.list_cameras()
        except CameraError as error:
            found = f"picamera2 does not work: {_line(error.__cause__ or error)}"
            remedy = "sudo apt install --reinstall python3-picamera2; its numpy must be the venv's"
            return Finding("camera", "problem", found, remedy)
    closed = []
    for device in v4l2.devices():
        try:
            v4l2.describe(device)
        except OSError:
            name = board.text(described / device.name / "name") or "unnamed"
            closed += [] if name.startswith(NOT_CAMERAS) else [str(device)]
    if closed:
        remedy = "sudo usermod -aG video $USER, then log in again"
        return Finding("camera", "problem", f"{', '.join(closed)} may not be opened", remedy)
    cameras += v4l2.list_cameras()
    if not cameras:
        remedy = f"connect one; for a Raspberry Pi's: {pi_cameras.why_no_camera()}"
        return Finding("camera", "warning", "none; files can be counted", remedy)
    return Finding("camera", "ok", ", ".join(f"{camera.name} {camera.description}" for camera in cameras))


def check_disk(folder: Path | None = None) -> Finding:
    """Check free space for sessions, and that they can be written."""
    folder = folder or home()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / (1 << 30):.1f} GiB free for {folder}"
    try:
        probe = partial_path(there / "doctor")
        write_atomically(probe, b"probe")
        probe.unlink()
    except OSError as error:
        remedy = "make it writable, or set LEUKO_HOME to a folder that is"
        return Finding("disk", "problem", f"{there} cannot be written ({error.strerror})", remedy)
    if free < LITTLE_FREE:
        status: Status = "problem" if free < TOO_LITTLE_FREE else "warning"
        return Finding("disk", status, found, "export and delete old sessions")
    return Finding("disk", "ok", found)


def check_clock(now: datetime | None = None, synchronised: bool | None = None) -> Finding:
    """Check the date of sessions and calibrations, and that the system synchronises it."""
    now = now or datetime.now(UTC)
    synchronised = _synchronised() if synchronised is None else synchronised
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    found = f"{now:%Y-%m-%d %H:%M} UTC"
    remedy = "connect a network and sudo timedatectl set-ntp true; without one: sudo date -s ..."
    # a Raspberry Pi without a battery starts at the time of its last shutdown, or in 1970
    if now < installed - timedelta(days=1):
        return Finding("clock", "problem", f"{found}, before leuko was installed here", remedy)
    if not synchronised:
        return Finding("clock", "warning", f"{found}, not synchronised", remedy)
    return Finding("clock", "ok", f"{found}, synchronised")


def _synchronised() -> bool:
    """Ask the kernel: adjtimex(2) returns TIME_ERROR until a program keeps the time."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    timex = ctypes.create_string_buffer(512)  # modes = 0 only asks; larger than the structure on any system
    return adjtimex is not None and adjtimex(timex) not in (-1, 5)


def check_board() -> Finding:
    """Check temperature and supply voltage of a Raspberry Pi."""
    name, temperature, word = board.model(), board.temperature_c(), board.throttled()
    warmth = "" if temperature is None else f", {temperature:.0f} °C"
    if not (name or "").startswith("Raspberry Pi"):
        return Finding("board", "ok", f"not a Raspberry Pi{warmth}")
    events = board.throttling(word)
    found = "; ".join([f"{name}{warmth}", *events])
    now = bool(int(word or "0x0", 16) & 0xF)
    supply, heat = any("voltage" in words for words in events), (temperature or 0) >= WARM_C
    remedies = ["use the supply made for this board and a short cable"] * supply
    remedies += ["give it a heat sink or fan, and let air reach it"] * (heat or (bool(events) and not supply))
    if now or (temperature or 0) >= HOT_C:
        return Finding("board", "problem", found, "; ".join(remedies))
    if events or heat:
        return Finding("board", "warning", found, "; ".join(remedies))
    return Finding("board", "ok", found)


def check_bundles() -> Finding:
    """Check the shipped bundles, and the one that device.toml names, by a replay of their golden crops."""
    found, shipped = [], shipped_bundles()
    try:
        own = read_device_settings().bundle
    except ValueError as error:
        return Finding("bundles", "problem", _line(error), "correct device.toml")
    for name in dict.fromkeys((*shipped, *filter(None, [own]))):
        remedy = f"{REINSTALL}, then run leuko verify" if name in shipped else "correct device.toml"
        try:
            replay = Classifier(load_bundle(name)).replay
        except (BundleError, RuntimeMissingError) as error:
            return Finding("bundles", "problem", _line(error), remedy)
        how = "exactly" if replay.exact else f"within {replay.largest_step} int8 steps"
        found.append(f"{name}: {quantity(replay.crops, 'golden crop matches', 'golden crops match')} {how}")
    return Finding("bundles", "ok", "; ".join(found))


def check_calibration(path: Path, now: datetime | None = None) -> Finding:
    """Check the microscope's calibration and the flat field that it names."""
    now = now or datetime.now(UTC)
    calibrate = "leuko calibrate pixel, volume and flatfield"
    if not path.exists():
        return Finding("calibration", "warning", f"{path} does not exist: no cells/µL", f"run {calibrate}")
    try:
        calibration = read_calibration(path)
        flat = calibration.flat_field
        if flat is not None:
            read_flat_field_gain(path.parent, flat)
    except CalibrationFileError as error:
        found, _, remedy = _line(error).rpartition("; ")
        return Finding("calibration", "problem", found, remedy)
    sections = {"pixel": calibration.pixel, "flat_field": flat, "volume": calibration.volume}
    dates = {name: section.date for name, section in sections.items() if section is not None}
    faults = [f"{name} is missing" for name in sections if name not in dates]
    faults += [f"{name} is {(now - date).days} days old" for name, date in dates.items() if now - date > OLD]
    tomorrow = now + timedelta(days=1)
    faults += [f"{name} is dated in the future" for name, date in dates.items() if date > tomorrow]
    pixel = calibration.pixel
    if calibration.different_sizes():
        faults.append("pixel and flat_field were measured on frames of different size")
    if pixel and all(pixel_remark(pixel.pixel_um, load_bundle(name).manifest) for name in shipped_bundles()):
        faults.append(f"no bundle that comes with leuko is for a pixel of {pixel.pixel_um:.4g} µm")
    size = "" if pixel is None else f"pixel {pixel.pixel_um:.4g} µm, "
    found = f"{size}SHA-256 {calibration.sha256[:12]}, {path}"
    if faults:
        return Finding("calibration", "warning", f"{found}: {'; '.join(faults)}", f"run {calibrate}")
    return Finding("calibration", "ok", found)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


CHECKS: Mapping[str, Callable[[Path], Finding]] = {
    "python": lambda _: check_python(),
    "runtime": lambda _: check_runtime(),
    "threads": lambda _: check_threads(),
    "camera": lambda _: check_camera(),
    "disk": lambda _: check_disk(),
    "clock": lambda _: check_clock(),
    "board": lambda _: check_board(),
    "bundles": lambda _: check_bundles(),
    "calibration": check_calibration,
}
"""Name → check of this device and a calibration."""


if __name__ == "__main__":
    print(json.dumps(asdict(CHECKS[sys.argv[1]](Path(sys.argv[2])))))
