"""What libcamera makes of a sensor's values is the same for every frame, and named with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from edge.capture.camera import CameraError, CameraSettings
from edge.capture.picamera import NO_TUNING, PiCamera
from edge.capture.tuning import MONOCHROME, constant, load_tuning
from tests.edge.capture.fake_picamera2 import TUNINGS, Picamera2, modules

STANDARD = TUNINGS["imx477.json"]
SCIENTIFIC = {"version": 2.0, "algorithms": [{"rpi.contrast": {"gamma_curve": [0, 0, 65535, 65535]}}]}


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    found = modules()
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    faked: type[Picamera2] = found["picamera2"].Picamera2
    return faked


def algorithms(tuning: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for one in tuning["algorithms"] for name, values in one.items()}


def test_contrast_is_constant_and_no_lens_is_corrected() -> None:
    made, before = constant(STANDARD), algorithms(STANDARD)
    found = algorithms(made)
    assert {"rpi.alsc", "rpi.cac"} < before.keys()
    assert list(found) == [name for name in before if name not in ("rpi.alsc", "rpi.cac")]
    assert found["rpi.contrast"] == {**before["rpi.contrast"], "ce_enable": 0}
    assert found["rpi.sharpen"] == before["rpi.sharpen"]
    assert (made["version"], made["target"]) == (2.0, "pisp")
    # a file that does not say is one that adapts
    assert algorithms(constant(SCIENTIFIC))["rpi.contrast"]["ce_enable"] == 0


@pytest.mark.parametrize(
    ("there", "filters", "file"),
    [
        (("imx477.json", "imx477_scientific.json", "imx477_mono.json"), 0, "imx477_scientific.json"),
        (("imx477.json", "imx477_mono.json"), 0, "imx477.json"),
        (("imx477.json", "imx477_scientific.json", "imx477_mono.json"), MONOCHROME, "imx477_mono.json"),
        (("imx477_noir.json",), None, None),
    ],
)
def test_the_scientific_tuning_is_preferred(
    there: tuple[str, ...], filters: int | None, file: str | None
) -> None:
    asked = []

    def load(name: str) -> Mapping[str, Any]:
        asked.append(name)
        if name not in there:
            raise RuntimeError("Tuning file not found")
        return STANDARD

    tuning = load_tuning(load, "imx477", filters)
    assert (tuning and tuning.name.split()[0]) == file
    assert tuning is None or asked[-1] == file


def test_the_name_tells_tunings_apart_but_not_their_layout() -> None:
    def name(content: Mapping[str, Any]) -> str:
        found = load_tuning(lambda _: content, "imx477", 0)
        assert found is not None
        return found.name

    reordered = dict(reversed(list(STANDARD.items())))
    assert name(STANDARD) == name(reordered) == name(constant(STANDARD))
    assert name({**STANDARD, "target": "bcm2835"}) != name(STANDARD)


@pytest.mark.parametrize(
    "content",
    [{"rpi.contrast": {}}, {"version": 1.0, "algorithms": []}, {"version": 2.0, "algorithms": []}, [1]],
)
def test_a_tuning_that_cannot_be_made_constant_is_refused(content: Any) -> None:
    with pytest.raises(CameraError, match=r"libcamera's tuning imx477_scientific\.json cannot be used"):
        load_tuning(lambda _: content, "imx477", 0)


def test_libcamera_reads_the_tuning_when_the_camera_is_opened(picamera2: type[Picamera2]) -> None:
    picamera2.global_camera_info()  # as leuko camera list does
    for _ in range(2):
        camera = PiCamera()
        assert picamera2.read_tuning == constant(STANDARD)
        frame = camera.grab(1)
        name = frame.settings["tuning"]
        assert isinstance(name, str)
        assert name.startswith("imx477.json ")
        assert frame.notes == ()
        assert picamera2.opened[-1].set["Sharpness"] == 0
        assert camera.settle(30).tuning == name
        camera.close()
    assert all(one.closed for one in picamera2.opened)


def test_frames_of_another_tuning_are_not_added_to_a_count(picamera2: type[Picamera2]) -> None:
    camera = PiCamera()
    settled = camera.settle(30)
    camera.apply(settled, 10)
    with pytest.raises(CameraError, match=r"tuning imx477_scientific\.json 12, and now it is imx477\.json "):
        camera.apply(CameraSettings(tuning="imx477_scientific.json 12"), 10)
    camera.close()


def test_a_camera_without_a_tuning_says_so(picamera2: type[Picamera2]) -> None:
    picamera2.tunings = {}
    camera = PiCamera()
    frame = camera.grab(1)
    assert frame.notes == (NO_TUNING,)
    assert "tuning" not in frame.settings
    assert camera.settle(30).tuning is None
    camera.close()
    assert len(picamera2.opened) == 1


def test_a_tuning_that_libcamera_does_not_take_is_one_line(picamera2: type[Picamera2]) -> None:
    picamera2.takes_tunings = False
    with pytest.raises(CameraError, match=r"^picamera2: libcamera does not take tuning imx477\.json "):
        PiCamera()
    assert all(one.closed for one in picamera2.opened)
