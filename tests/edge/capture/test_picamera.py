"""A Raspberry Pi's camera: settling and locking, on a sensor that only a Pi has; see `fake_picamera2`."""

from __future__ import annotations

import sys
import time
import types
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.base.frame import Frame
from edge.capture.camera import CameraAbsentError, CameraError, CameraSettings, CameraTimeoutError
from edge.capture.picamera import BUFFERS, PiCamera
from edge.run.cameras import list_cameras, open_camera
from tests.edge.capture.fake_picamera2 import GOAL, Picamera2, modules


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    found = modules()
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    faked: type[Picamera2] = found["picamera2"].Picamera2
    return faked


def grab(camera: PiCamera) -> Frame:
    return camera.grab(1)


def test_the_frame_is_the_grey_plane_without_padding(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    frames = [grab(camera) for _ in range(3 * BUFFERS)]
    assert {frame.image.shape for frame in frames} == {(300, 400)}
    assert [np.unique(frame.image).tolist() for frame in frames] == [[k] for k in range(1, len(frames) + 1)]
    assert frames[0].image.flags["C_CONTIGUOUS"]
    assert picamera2.opened[-1].colour_space == "sYCC"
    camera.close()
    assert picamera2.opened[-1].closed


@pytest.mark.parametrize(
    ("size", "bits", "mode"),
    [
        (None, None, ((400, 300), 12)),
        ((200, 150), None, ((200, 150), 12)),
        # picamera2's own choice is the mode of 200 x 150 px, whose scaled pixels are half as wide again
        ((132, 98), None, ((132, 98), 10)),
        ((132, 98), 10, ((132, 98), 10)),
        ((100, 80), None, ((200, 150), 12)),  # no mode has this size: a scaled one
    ],
)
def test_the_sensor_reads_out_the_mode_of_the_frames_size(
    picamera2: type[Picamera2],
    size: tuple[int, int] | None,
    bits: int | None,
    mode: tuple[tuple[int, int], int],
) -> None:
    camera = open_camera("picamera2", size=size, sensor_bits=bits)
    frame = camera.grab(1)
    assert isinstance(frame, Frame)
    assert frame.image.shape[::-1] == (size or (400, 300))
    used = picamera2.opened[-1].configuration["sensor"]
    assert (used["output_size"], used["bit_depth"]) == mode


def test_another_mode_than_asked_for_is_refused(picamera2: type[Picamera2]) -> None:
    with pytest.raises(CameraError, match="of 200 x 150 px at 12 bit instead of 132 x 98 at 12"):
        open_camera("picamera2", size=(132, 98), sensor_bits=12)
    assert picamera2.opened[-1].closed
    with pytest.raises(CameraError, match="leave out --sensor-bits"):
        open_camera("simulate", sensor_bits=12)


def test_a_camera_that_states_no_mode_is_taken_at_its_word(picamera2: type[Picamera2]) -> None:
    picamera2.states_sensor = False
    assert grab(open_camera("picamera2", size=(132, 98), sensor_bits=10)).image.shape == (98, 132)  # type: ignore[arg-type]  # it is a PiCamera


def test_metadata_stays_with_its_frame(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    first, second = grab(camera), grab(camera)
    assert set(first.settings) == {
        "exposure_us",
        "gain",
        "digital_gain",
        "sensor_temperature_c",
        "lux",
        "tuning",
        "colour_gain_red",
        "colour_gain_blue",
    }
    assert first.settings["exposure_us"] != second.settings["exposure_us"]
    assert second.clock_ns - first.clock_ns == 33_333_000
    assert second.time_ns - first.time_ns == pytest.approx(33_333_000, abs=60e9)
    booted_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert first.time_ns == pytest.approx(booted_ns + 33_333_000, abs=60e9)


def test_exposure_gain_and_white_balance_settle_and_are_locked(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    settled = camera.settle(30)
    assert settled.exposure_us == pytest.approx(GOAL["ExposureTime"], rel=0.03)
    assert settled.gain == pytest.approx(GOAL["AnalogueGain"], rel=0.03)
    assert settled.colour_gains == pytest.approx((GOAL["Red"], GOAL["Blue"]), rel=0.03)
    device = picamera2.opened[-1]
    device.now |= {"Red": 9.0, "Blue": 9.0}  # what locked values overrule
    for _ in range(5):
        said = grab(camera).settings
        assert said["exposure_us"] == pytest.approx(settled.exposure_us, rel=0.02)
        assert (said["colour_gain_red"], said["colour_gain_blue"]) == settled.colour_gains
    assert device.set["AeEnable"] is device.set["AwbEnable"] is False
    camera.close()


def test_given_settings_are_taken(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    camera.apply(CameraSettings(exposure_us=2_000, gain=4.0, colour_gains=(1.5, 1.25)), 10)
    said = grab(camera).settings
    assert said["exposure_us"] == pytest.approx(2_000, rel=0.02)
    assert said["gain"] == pytest.approx(4.0, rel=0.02)
    assert said["colour_gain_red"] == 1.5


def test_given_settings_stay_while_the_others_settle(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    camera.apply(CameraSettings(exposure_us=2_000), 10)
    settled = camera.settle(30)
    assert settled.exposure_us == pytest.approx(2_000, rel=0.02)
    assert settled.gain == pytest.approx(GOAL["AnalogueGain"], rel=0.03)
    assert settled.colour_gains == pytest.approx((GOAL["Red"], GOAL["Blue"]), rel=0.03)


def test_a_monochrome_sensor_balances_no_white(picamera2: type[Picamera2]) -> None:
    picamera2.controls = tuple(
        name for name in Picamera2.controls if name not in ("AwbEnable", "ColourGains")
    )
    camera = PiCamera()
    settled = camera.settle(30)
    assert settled.colour_gains is None
    assert settled.exposure_us == pytest.approx(GOAL["ExposureTime"], rel=0.03)


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("flicker", 0.05, "do not settle"),
        ("flicker_when_locked", 0.2, "does not take exposure"),
        ("frames_until_silence", 0, "no frame comes"),
        ("frames_until_silence", 5, "do not settle"),
    ],
)
def test_a_camera_that_does_not_settle_is_reported_in_time(
    picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch, attribute: str, value: Any, reason: str
) -> None:
    setattr(picamera2, attribute, value)
    camera = PiCamera()
    looks = count()  # at the clock: one a frame, 30 a second
    monkeypatch.setattr(
        "edge.capture.picamera.time", types.SimpleNamespace(monotonic=lambda: next(looks) / 30)
    )
    with pytest.raises(CameraTimeoutError, match=reason):
        camera.settle(20)
    camera.close()


@pytest.mark.parametrize("states_modes", [False, True])
@pytest.mark.parametrize("lost", [0, 1])
def test_controls_that_were_lost_are_set_again(
    picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch, states_modes: bool, lost: int
) -> None:
    picamera2.states_modes, picamera2.lost_controls = states_modes, lost
    camera = PiCamera()
    looks = count()
    monkeypatch.setattr(
        "edge.capture.picamera.time", types.SimpleNamespace(monotonic=lambda: next(looks) / 30)
    )
    camera.apply(CameraSettings(exposure_us=2_000, gain=4.0), 20)
    assert picamera2.opened[-1].now["ExposureTime"] == 2_000
    assert (next(looks) > 10 * 30) == bool(lost), "half of the time passes before they count as lost"


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("highest_gain", 15.66, r"does not take gain 100 \(it has 16\)$"),
        ("stays_automatic", True, r"exposure 2000 µs \(it is still automatic\), gain 100"),
        ("lost_controls", 9, r"exposure 2000 µs \(it has \d+\), gain 100 \(it has 1\.\d+\)$"),
    ],
)
def test_a_lock_that_cannot_be_reached_says_what_was_asked_and_got(
    picamera2: type[Picamera2],
    monkeypatch: pytest.MonkeyPatch,
    attribute: str,
    value: float,
    words: str,
) -> None:
    picamera2.highest_gain, picamera2.states_modes = 1000, attribute == "stays_automatic"
    setattr(picamera2, attribute, value)
    camera = PiCamera()
    looks = count()
    monkeypatch.setattr(
        "edge.capture.picamera.time", types.SimpleNamespace(monotonic=lambda: next(looks) / 30)
    )
    with pytest.raises(CameraTimeoutError, match=words):
        camera.apply(CameraSettings(exposure_us=2_000, gain=100), 5)


def test_what_is_locked_already_takes_no_time_to_settle(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    given = CameraSettings(exposure_us=2_000, gain=4.0, colour_gains=(1.5, 1.25))
    camera.apply(given, 10)
    frames = picamera2.opened[-1].frames
    assert camera.settle(0) == given
    assert picamera2.opened[-1].frames == frames


def test_a_monochrome_sensor_settles_with_exposure_and_gain(picamera2: type[Picamera2]) -> None:
    picamera2.controls = tuple(
        name for name in Picamera2.controls if name not in ("AwbEnable", "ColourGains")
    )
    camera = PiCamera()
    camera.apply(CameraSettings(exposure_us=2_000, gain=4.0), 10)
    assert camera.settle(0).gain == 4.0


def test_a_frame_that_is_late_is_waited_for_again(picamera2: type[Picamera2]) -> None:
    picamera2.frames_until_silence = 2
    camera = PiCamera()
    grab(camera)
    grab(camera)
    for _ in range(2):
        with pytest.raises(CameraTimeoutError, match="no frame for 1 s"):
            camera.grab(1)
    camera.close()
    assert picamera2.opened[-1].closed


def test_a_buffer_that_is_too_small_is_no_frame(picamera2: type[Picamera2]) -> None:
    picamera2.buffer_bytes = 1000
    camera = PiCamera()
    with pytest.raises(CameraError, match="1000 bytes instead of 400 x 300 px"):
        camera.grab(1)
    camera.close()


def test_a_stream_without_a_grey_plane_is_refused_and_closed(picamera2: type[Picamera2]) -> None:
    picamera2.formats = {"YUV420": "RGB888"}
    with pytest.raises(CameraError, match="gives RGB888"):
        PiCamera()
    assert picamera2.opened[-1].closed


def test_a_driver_that_fails_is_one_line(picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Picamera2) -> None:
        raise RuntimeError("Failed to start camera:\n Input/output error") from OSError("a cause")

    monkeypatch.setattr(picamera2, "start", fail)
    with pytest.raises(CameraError) as caught:
        open_camera("picamera2")
    assert str(caught.value) == "picamera2: Failed to start camera: Input/output error: a cause"
    assert picamera2.opened[-1].closed


def test_usb_cameras_are_left_to_v4l2(picamera2: type[Picamera2]) -> None:
    found, notes = list_cameras()
    (camera,) = (one for one in found if one.name.startswith("pi"))
    assert (camera.name, camera.description) == ("picamera2:0", "imx477")
    assert camera.formats == {"12 bit": [(400, 300), (200, 150)], "10 bit": [(132, 98)]}
    assert notes == []


def test_a_camera_without_raw_frames_lists_no_modes(picamera2: type[Picamera2]) -> None:
    picamera2.sensor_modes = ()
    (camera,) = list_cameras()[0][:1]
    assert (camera.name, camera.formats) == ("picamera2:0", {})


@pytest.mark.parametrize("number", [2, 9])
def test_a_missing_camera_is_reported(picamera2: type[Picamera2], number: int) -> None:
    with pytest.raises(
        CameraAbsentError, match=f"picamera2:{number}: no camera number {number}, numbers 0 to 1"
    ):
        open_camera(f"picamera2:{number}")


def test_a_missing_picamera2_names_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError) as caught:
        open_camera("picamera2")
    assert "\n" not in str(caught.value)
    installed = Path("/usr/lib/python3/dist-packages/picamera2").exists()
    expected = "include-system-site-packages = true" if installed else "sudo apt install python3-picamera2"
    assert expected in str(caught.value)
    assert list_cameras()[1] == [str(caught.value)]


def test_a_picamera2_that_fails_to_import_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CameraError, match=r"cannot be imported: numpy\.dtype size changed"):
        open_camera("picamera2")


def test_the_camera_has_as_many_buffers_as_are_asked_for(picamera2: type[Picamera2]) -> None:
    for asked, buffers in ((None, BUFFERS), (2, 2)):
        open_camera("picamera2", buffers=asked).close()
        assert picamera2.opened[-1].buffers == buffers
    with pytest.raises(CameraError, match="leave out --camera-buffers"):
        open_camera("simulate", buffers=2)
