"""A calibration and the tuning of the camera that it was measured with."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.base import Frame
from edge.calibration import Calibration, read_calibration
from edge.calibration.file import FlatFieldCalibration
from edge.capture import CameraError, CameraSettings
from edge.cli import main
from edge.cli.camera_view import View
from edge.run.fitting import NO_TUNING_STATED, fitting
from edge.run.replayed import locked
from tests.edge.capture.fake_picamera2 import modules

FLAT = FlatFieldCalibration("f.png", "0" * 64, 165.0, 5, 40, 30, datetime.now(UTC))
TUNING = "imx477.json 0123456789abcdef"


def fitted(flat: FlatFieldCalibration | None, tuning: str | None) -> Frame:
    settings = {} if tuning is None else {"tuning": tuning}
    frame = Frame(np.zeros((30, 40), np.uint8), "picamera2#0", 0, 0, settings)
    config: Any = SimpleNamespace(calibration="/var/lib/leuko/calibration.toml")
    instrument: Any = SimpleNamespace(calibration=Calibration(flat_field=flat))
    return fitting(frame, config, instrument, (40, 30))


@pytest.mark.parametrize(
    ("flat", "tuning", "notes"),
    [
        (None, TUNING, ()),
        (replace(FLAT, tuning=TUNING), TUNING, ()),
        (replace(FLAT, tuning=TUNING), None, ()),  # a USB camera: another remark says that it is another one
        (FLAT, None, ()),
        (FLAT, TUNING, (NO_TUNING_STATED,)),
    ],
)
def test_the_same_tuning_fits(
    flat: FlatFieldCalibration | None, tuning: str | None, notes: tuple[str, ...]
) -> None:
    assert fitted(flat, tuning).notes == notes


def test_a_flat_field_of_another_tuning_is_refused() -> None:
    with pytest.raises(CameraError) as caught:
        fitted(replace(FLAT, tuning="imx477_scientific.json 0123456789abcdef"), TUNING)
    said = str(caught.value)
    assert "\n" not in said
    assert f"made with libcamera's tuning {TUNING}, and the flat field of calibration /var/lib" in said
    assert "with imx477_scientific.json 0123456789abcdef: run leuko calibrate flatfield" in said


def test_a_preview_knows_no_focus_by_a_flat_field_of_another_tuning() -> None:
    view = View(Calibration(flat_field=replace(FLAT, tuning="another 1")), None, 0.2, sized=False)
    frame = Frame(np.zeros((30, 40), np.uint8), "picamera2#0", 0, 0, {"tuning": TUNING})
    said = view.measures(frame)
    assert said["focus"] is None
    assert said["unknown"].startswith("the flat field is for frames of tuning another 1: leuko calibrate")


def test_a_resumed_count_asks_for_the_tuning_of_its_frames() -> None:
    asked = locked({"exposure_us": 5000, "gain": 1.5, "tuning": TUNING, "lux": 400.0})
    assert asked == CameraSettings(5000, 1.5, None, TUNING)


@pytest.mark.parametrize("found", [True, False])
def test_a_flat_field_states_the_tuning_of_its_camera(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: bool
) -> None:
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module if found else None)
    rng = np.random.default_rng(3)
    for k in range(5):
        cv2.imwrite(str(tmp_path / f"{k}.png"), rng.integers(160, 170, (96, 128), np.uint8))
    file = tmp_path / "calibration.toml"
    frames = [str(path) for path in tmp_path.glob("*.png")]
    words = ["calibrate", "flatfield", *frames, "--camera", "picamera2", "--calibration", str(file)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    flat = read_calibration(file).flat_field
    assert flat is not None
    assert flat.camera == "picamera2"
    assert flat.tuning.startswith("imx477.json ") == found
    assert ("does not state the camera's tuning" in done.stderr) != found
