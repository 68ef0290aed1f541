"""Each check states its finding and a remedy; one that hangs or crashes stops no other."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from edge.base import board
from edge.calibration.file import (
    Calibration,
    PixelCalibration,
    VolumeCalibration,
    default_calibration_path,
    read_calibration,
    write_calibration,
)
from edge.calibration.flat_field import Illumination, write_flat_field
from edge.capture import v4l2
from edge.cli import main
from edge.model.bundle import SHIPPED
from edge.run import doctor
from edge.run.doctor import CHECKS, Finding, examine_device

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def calibrated(folder: Path, date: datetime = NOW) -> Path:
    """A whole calibration and its flat field."""
    folder.mkdir(exist_ok=True)
    light = np.linspace(0.9, 1.1, 48 * 64, dtype=np.float32).reshape(48, 64)
    flat = write_flat_field(folder, Illumination(light, 150.0, 9, 640, 480, ()), date)
    pixel = PixelCalibration(0.15, 0.001, 640, 480, "grid", date)
    write_calibration(
        folder / "calibration.toml", Calibration(pixel, flat, VolumeCalibration(100.0, 1.0, 1.0, date))
    )
    return folder / "calibration.toml"


def test_the_checks_of_this_machine(home: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", "--json"])
    result = json.loads(done.stdout)
    problems = [row["check"] for row in result["findings"] if row["status"] == "problem"]
    assert result["healthy"] == (not problems)
    assert done.exit_code == (1 if problems else 0)
    findings = {row["check"]: Finding(**row) for row in result["findings"]}
    assert list(findings) == list(CHECKS)
    for finding in findings.values():
        assert finding.found
        assert bool(finding.remedy) == (finding.status != "ok")
    assert platform.python_version() in findings["python"].found
    assert findings["runtime"].found.startswith(("litert ", "tflite-runtime "))
    assert "is used" in findings["runtime"].found
    assert findings["disk"].status != "problem"
    assert f"for {home}" in findings["disk"].found
    assert findings["bundles"].status == "ok"
    for bundle in SHIPPED.glob("*.tflite"):
        assert f"{bundle.stem}: 1" in findings["bundles"].found
    assert findings["calibration"] == Finding(
        "calibration",
        "warning",
        f"{default_calibration_path()} does not exist: no cells/µL",
        "run leuko calibrate pixel, volume and flatfield",
    )
    assert not home.exists()  # only looked at


def test_a_problem_ends_the_command_with_an_error(home: Path) -> None:
    calibration = home / "calibration.toml"
    home.mkdir()
    calibration.write_text("version = 1\n[quality]\nmin_fokus = 1\n")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert (
        f"problem  calibration {calibration}: quality.min_fokus is not a known key; expected" in done.stdout
    )
    assert "→ correct or remove it" in done.stdout
    assert done.stderr.startswith("Error: problems with ")


def test_a_check_that_hangs_or_crashes_is_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the interpreter hangs, crashes, fails or answers, by the name of the check."""
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\ncase "$4" in\n'
        "camera) exec sleep 60 ;;\n"
        "runtime) kill -SEGV $$ ;;\n"
        "python) echo 'Traceback' >&2; echo 'ImportError: no numpy' >&2; exit 1 ;;\n"
        f'*) exec "{sys.executable}" "$@" ;;\nesac\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    names = ["camera", "runtime", "python", "board"]
    hung, crashed, failed, fine = examine_device(Path("none"), checks=names, timeout_s=5)
    assert (hung.status, hung.found) == ("problem", "gave no answer in time")
    assert (crashed.status, crashed.found) == ("problem", "crashed (SIGSEGV)")
    assert (failed.status, failed.found) == ("problem", "ImportError: no numpy")
    assert fine.check == "board"
    assert fine.status == "ok"


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_python().status == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    assert doctor.check_python().remedy == "use Python 3.11 to 3.13"

    def mismatch(name: str) -> object:
        raise ImportError("numpy.core.multiarray failed to import")

    monkeypatch.setattr("importlib.import_module", mismatch)
    found = doctor.check_python()
    assert found.status == "problem"
    assert "multiarray" in found.found
    assert "--system-site-packages" in found.remedy


def test_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.run.doctor.installed_runtimes", lambda: [])
    assert doctor.check_runtime().status == "problem"
    monkeypatch.setattr("edge.run.doctor.installed_runtimes", lambda: ["tflite-runtime"])
    monkeypatch.setattr("edge.run.doctor.runtime_version", lambda name: "2.14.0")
    monkeypatch.setattr("importlib.import_module", lambda name: None)
    found = doctor.check_runtime()
    assert found.status == "warning"
    assert found.remedy == "pip install ai-edge-litert"


def test_threads() -> None:
    assert doctor.check_threads(4, 0.2).found.startswith("4 of ")
    assert doctor.check_threads(4, 0.2).status == "ok"
    assert doctor.check_threads(2, 9.0).status == "warning"


def test_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices, described = tmp_path / "dev", tmp_path / "class"
    devices.mkdir()
    monkeypatch.setattr(v4l2, "DEVICES", devices)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (devices / "video3").touch()  # a file is not a camera
    assert doctor.check_camera(described).status == "warning"
    for number, name in ((0, "HD Webcam"), (10, "bcm2835-codec-decode"), (20, "pispbe-input")):
        (devices / f"video{number}").symlink_to(tmp_path / "cannot be opened")
        (described / f"video{number}").mkdir(parents=True)
        (described / f"video{number}" / "name").write_text(f"{name}\n")
    found = doctor.check_camera(described)
    assert (found.status, found.found) == ("problem", f"{devices}/video0 may not be opened")
    assert "usermod -aG video" in found.remedy


def test_picamera2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of that name in front of any real one: with a camera, then with another numpy's ABI."""
    package = tmp_path / "picamera2.py"
    package.write_text(
        "class Picamera2:\n"
        "    @staticmethod\n"
        "    def global_camera_info():\n"
        "        return [{'Model': 'imx477', 'Num': 0, 'Id': '/base/i2c/imx477@1a'}]\n"
        "    def __init__(self, number):\n"
        "        raise RuntimeError('Device or resource busy')\n"
    )
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path / "none")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    found = doctor.check_camera()
    assert (found.status, found.found) == ("ok", "picamera2:0 imx477")
    monkeypatch.delitem(sys.modules, "picamera2")
    package.write_text("raise ValueError('numpy.dtype size changed')\n")
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    found = doctor.check_camera()
    assert found.status == "problem"
    assert found.found == "picamera2 does not work: numpy.dtype size changed"


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_disk(tmp_path / "not" / "yet").status == "ok"
    assert list(tmp_path.iterdir()) == []
    for free, status in ((1 << 29, "warning"), (1 << 24, "problem")):
        usage = SimpleNamespace(free=free)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
            assert doctor.check_disk(tmp_path).status == status
    # a folder of the kernel's in which nobody, not even root, may make a file
    found = doctor.check_disk(Path("/proc/leuko"))
    assert found.status == "problem"
    assert "cannot be written" in found.found


def test_clock() -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert doctor.check_clock(later, True).status == "ok"
    assert doctor.check_clock(later, False).status == "warning"
    early = doctor.check_clock(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), True)
    assert early.status == "problem"
    assert early.found == "1970-01-01 00:05 UTC, before leuko was installed here"
    assert doctor.check_clock().status in ("ok", "warning")


def raspberry(
    folder: Path, monkeypatch: pytest.MonkeyPatch, word: str | None, millidegrees: int, alarm: str = "0"
) -> Finding:
    """The files and the program that a Raspberry Pi has."""
    folder.mkdir()
    (folder / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (folder / "temp").write_text(f"{millidegrees}\n")
    (folder / "hwmon" / "hwmon1").mkdir(parents=True)
    (folder / "hwmon" / "hwmon1" / "name").write_text("rpi_volt\n")
    (folder / "hwmon" / "hwmon1" / "in0_lcrit_alarm").write_text(f"{alarm}\n")
    if word is not None:
        program = folder / "vcgencmd"
        program.write_text(f"#!/bin/sh\n[ $1 = get_throttled ] && echo throttled={word}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(board, "MODEL", folder / "model")
    monkeypatch.setattr(board, "THERMAL", folder / "temp")
    monkeypatch.setattr(board, "HWMON", folder / "hwmon")
    return doctor.check_board()


@pytest.mark.parametrize(
    ("word", "millidegrees", "alarm", "status", "found", "remedy"),
    [
        ("0x0", 48_300, "0", "ok", "48 °C", ""),
        ("0x50000", 50_000, "0", "warning", "supply voltage was too low; was throttled", "supply made for"),
        ("0x50005", 50_000, "0", "problem", "supply voltage too low; throttled", "supply made for"),
        ("0x80008", 82_000, "0", "problem", "82 °C; soft temperature limit", "heat sink"),
        ("0x0", 74_000, "0", "warning", "74 °C", "heat sink"),
        (None, 45_000, "0", "ok", "45 °C", ""),
        (None, 45_000, "1", "problem", "supply voltage too low", "supply made for"),
    ],
)
def test_a_raspberry_pi(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    word: str | None,
    millidegrees: int,
    alarm: str,
    status: str,
    found: str,
    remedy: str,
) -> None:
    finding = raspberry(tmp_path / "pi", monkeypatch, word, millidegrees, alarm)
    assert finding.status == status
    assert finding.found.startswith("Raspberry Pi 5 Model B Rev 1.0, ")
    assert found in finding.found
    assert remedy in finding.remedy


def test_another_board_is_not_a_raspberry_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "MODEL", tmp_path / "none")
    found = doctor.check_board()
    assert found.status == "ok"
    assert found.found.startswith("not a Raspberry Pi")


def test_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(SHIPPED / "phantom3.tflite", tmp_path / "phantom3.tflite")
    monkeypatch.setattr("edge.model.bundle.SHIPPED", tmp_path)
    assert doctor.check_bundles().found == "phantom3: 12 golden crops match exactly"
    data = bytearray((tmp_path / "phantom3.tflite").read_bytes())
    data[5000] ^= 1
    (tmp_path / "phantom3.tflite").write_bytes(data)
    found = doctor.check_bundles()
    assert found.status == "problem"
    assert "SHA-256" in found.found


def test_the_devices_own_bundle_is_checked(home: Path) -> None:
    home.mkdir()
    shutil.copy(SHIPPED / "phantom3.tflite", home / "own.tflite")
    (home / "device.toml").write_text('bundle = "own.tflite"\nrequire_signed = false\n')
    assert f"{home / 'own.tflite'}: 12 golden crops match" in doctor.check_bundles().found
    (home / "device.toml").write_text('bundle = "absent"\nrequire_signed = false\n')
    found = doctor.check_bundles()
    assert (found.status, found.remedy) == ("problem", "correct device.toml")
    assert "no bundle absent" in found.found
    (home / "device.toml").write_text("bundle = 7\n")
    assert "bundle" in doctor.check_bundles().found


def test_calibrations(home: Path) -> None:
    path = calibrated(home)
    assert doctor.check_calibration(path, NOW + timedelta(days=3)).status == "ok"
    assert "pixel 0.15 µm, SHA-256 " in doctor.check_calibration(path, NOW).found
    assert "pixel is 400 days old" in doctor.check_calibration(path, NOW + timedelta(days=400)).found
    assert "volume is dated in the future" in doctor.check_calibration(path, NOW - timedelta(days=9)).found
    write_calibration(
        path, replace(read_calibration(path), volume=None, pixel=PixelCalibration(0.15, 0, 1, 1, "grid", NOW))
    )
    found = doctor.check_calibration(path, NOW)
    assert found.status == "warning"
    assert found.found.endswith(
        "volume is missing; pixel and flat_field were measured on frames of different size"
    )
    write_calibration(
        path, replace(read_calibration(path), pixel=PixelCalibration(0.5, 0, 640, 480, "grid", NOW))
    )
    found = doctor.check_calibration(path, NOW)
    assert found.status == "warning"
    assert found.found.endswith("no bundle that comes with leuko is for a pixel of 0.5 µm")
    for flat in home.glob("flatfield-*.png"):
        flat.unlink()
    found = doctor.check_calibration(path, NOW)
    assert found.status == "problem"
    assert found.remedy == "run leuko calibrate flatfield"


def test_a_broken_numpy_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text(
        "raise ImportError('numpy.core.multiarray failed\\nto import')"
    )
    places = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": places},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: a required package cannot be imported (numpy.core.multiarray failed to"
    )
    assert "reinstall leuko-edge" in done.stderr
    assert done.stderr.count("\n") == 1
