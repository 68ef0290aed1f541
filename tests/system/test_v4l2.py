"""OpenCV's real V4L2 capture on a pretended device: what a USB camera is asked, and what it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("v4l2_device.c")

PROLOGUE = """
    import json, sys
    from pathlib import Path
    import numpy as np
    from edge.capture import CameraError, CameraSettings, v4l2
    from edge.capture.camera import CameraTimeoutError
    from edge.run import open_camera
    v4l2.DEVICES = Path(sys.argv[1])

    def error(function, *words, **options):
        try:
            function(*words, **options)
        except CameraError as failure:
            return [type(failure).__name__, str(failure)]
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler: sudo apt install gcc libc6-dev")
    built = tmp_path_factory.mktemp("v4l2") / "v4l2_device.so"
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(built), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    (tmp_path / "video9").touch()
    (tmp_path / "video10").touch()  # a file that is no device
    (tmp_path / "vide").touch()
    return tmp_path


def run(library: Path, devices: Path, program: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROLOGUE) + textwrap.dedent(program), str(devices)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library), **environment},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_devices_that_capture_are_listed(library: Path, devices: Path) -> None:
    program = "print(json.dumps([[c.name, c.description] for c in v4l2.list_cameras()]))"
    assert run(library, devices, program) == [["v4l2:9", "Pretended Camera (uvcvideo)"]]


def test_the_doctor_finds_a_camera(library: Path, devices: Path) -> None:
    program = "from edge.run import doctor; print(json.dumps(doctor.check_camera().found))"
    assert run(library, devices, program).endswith("v4l2:9 Pretended Camera (uvcvideo)")


def test_frames_are_grey_whole_and_dated(library: Path, devices: Path) -> None:
    program = """
        import time
        camera = open_camera("v4l2:9")
        camera.apply(CameraSettings(exposure_us=4000, gain=10), 10)
        before = time.time_ns()
        frames = [camera.grab(5) for _ in range(10)]
        columns = frames[-1].image.mean(axis=0)
        print(json.dumps({
            "names": [f.name for f in frames],
            "shape": frames[-1].image.shape,
            "type": str(frames[-1].image.dtype),
            "columns": [columns[0], columns[-1]],
            "times": [f.time_ns - before for f in frames],
            "settings": dict(frames[-1].settings),
        }))
        camera.close()
    """
    said = run(library, devices, program)
    assert said["names"] == [f"v4l2:9#{k}" for k in range(10)]
    assert (said["shape"], said["type"]) == ([960, 1280], "uint8"), "the largest size by default"
    assert said["columns"] == pytest.approx([165, 132], abs=3)
    assert all(earlier < later for earlier, later in pairwise(said["times"]))
    assert abs(said["times"][0]) < 60e9
    assert said["settings"] == {"exposure_us": 4000, "gain": 10, "white_balance_k": 4600}


@pytest.mark.parametrize("gain", [10, 3])
def test_it_settles_on_the_clear_field_and_stays(library: Path, devices: Path, gain: int) -> None:
    program = f"""
        camera = open_camera("v4l2:9")
        camera.apply(CameraSettings(gain={gain}), 10)
        settled = camera.settle(60)
        brightness = [float(np.median(camera.grab(5).image)) for _ in range(8)]
        camera.apply(CameraSettings(exposure_us=3000), 10)
        again = camera.settle(60).exposure_us
        print(json.dumps([settled.exposure_us, settled.gain, brightness, again]))
    """
    exposure_us, settled_gain, brightness, again = run(library, devices, program)
    assert again == 3000, "what is given is not settled"
    assert settled_gain == gain
    assert brightness == pytest.approx([165] * 8, rel=0.04)
    # the median column has nine tenths of the light of the first
    assert exposure_us == pytest.approx(4000 / 0.9 * 10 / gain, rel=0.06)


def test_a_lamp_that_is_too_dim_is_told(library: Path, devices: Path) -> None:
    program = """
        camera = open_camera("v4l2:9")
        camera.apply(CameraSettings(gain=0), 10)
        print(json.dumps(error(camera.settle, 60)))
    """
    kind, message = run(library, devices, program)
    assert kind == "CameraError"
    assert "change the lamp" in message


def test_sizes(library: Path, devices: Path) -> None:
    program = """
        small = open_camera("v4l2:9", size=(640, 480))
        shape = small.grab(5).image.shape
        small.close()
        print(json.dumps([shape, error(open_camera, "v4l2:9", size=(800, 600))]))
    """
    shape, (kind, message) = run(library, devices, program)
    assert shape == [480, 640]
    assert (kind, message) == (
        "CameraError",
        "v4l2:9: has no size of 800x600 px; the nearest is --size 640x480",
    )


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """A frame of a camera whose largest size is compressed: dark on the left, bright on the right."""
    frame = np.repeat(np.linspace(40, 200, 1280).astype(np.uint8)[None], 960, axis=0)
    path = tmp_path / "frame.jpg"
    cv2.imwrite(str(path), frame)
    return str(path)


@pytest.mark.parametrize("size", ["", ", size=(1280, 960)"])
def test_the_largest_size_may_be_compressed(library: Path, devices: Path, stored: str, size: str) -> None:
    program = f"""
        camera = open_camera("v4l2:9"{size})
        image = camera.grab(5).image
        print(json.dumps([image.shape, float(image[:, 0].mean()), float(image[:, -1].mean())]))
    """
    shape, left, right = run(library, devices, program, MJPG_FRAME=stored)
    assert shape == [960, 1280]
    assert [left, right] == pytest.approx([40, 200], abs=3)


@pytest.mark.parametrize(("size", "columns"), [((640, 480), 640), ((960, 720), None), ((1300, 970), None)])
def test_other_sizes_beside_a_compressed_one(
    library: Path, devices: Path, stored: str, size: tuple[int, int], columns: int | None
) -> None:
    program = f"""
        answer = error(open_camera, "v4l2:9", size={size})
        if answer is None:
            camera = open_camera("v4l2:9", size={size})
            camera.apply(CameraSettings(exposure_us=4000, gain=10), 10)
            answer = [camera.grab(5).image.shape[1], float(camera.grab(5).image[:, 0].mean())]
        print(json.dumps(answer))
    """
    answer = run(library, devices, program, MJPG_FRAME=stored)
    if columns is None:
        nearest = "640x480" if size[0] < 1000 else "1280x960"
        assert answer[1] == f"v4l2:9: has no size of {size[0]}x{size[1]} px; the nearest is --size {nearest}"
    else:
        assert answer[0] == columns
        assert answer[1] > 100, "uncompressed, as long as it has the size"


def test_formats_and_sizes_are_listed(library: Path, devices: Path, stored: str) -> None:
    program = """
        from click.testing import CliRunner
        from edge.cli.camera import camera
        said = CliRunner().invoke(camera, ["list", "--json"]).stdout
        (words,) = [c["formats"] for c in json.loads(said)["cameras"] if c["name"] == "v4l2:9"]
        print(json.dumps([words, CliRunner().invoke(camera, ["list"]).stdout.splitlines()]))
    """
    formats, lines = run(library, devices, program, MJPG_FRAME=stored)
    assert formats == {"YUYV": [[640, 480]], "MJPG": [[1280, 960], [640, 480]]}
    assert [" ".join(line.split()) for line in lines][:3] == [
        "v4l2:9 Pretended Camera (uvcvideo)",
        "YUYV: 640x480",
        "MJPG: 1280x960, 640x480",
    ]
    formats, _ = run(library, devices, program)
    assert formats == {"YUYV": [[1280, 960], [640, 480]]}


def test_a_camera_that_stalls_is_not_waited_for_long(library: Path, devices: Path) -> None:
    program = """
        camera = open_camera("v4l2:9")
        for _ in range(4):
            camera.grab(5)
        print(json.dumps(error(camera.grab, 0.1)))
    """
    kind, message = run(library, devices, program, FRAMES_UNTIL_STALL="5")
    assert kind == "CameraTimeoutError"
    assert "no frame" in message


def test_a_camera_that_is_unplugged_is_told(library: Path, devices: Path) -> None:
    program = """
        camera = open_camera("v4l2:9")
        for _ in range(4):
            camera.grab(5)
        print(json.dumps([error(camera.grab, 5), error(open_camera, "v4l2:8")]))
    """
    (kind, message), (_, absent) = run(library, devices, program, FRAMES_UNTIL_UNPLUGGED="5")
    assert (kind, message) == ("CameraError", "v4l2:9: gives no more frames; unplugged?")
    assert "is not there" in absent


def test_live_frames_survive_an_unplugging(library: Path, devices: Path) -> None:
    program = """
        import threading
        from functools import partial
        from itertools import islice
        from edge.capture import LiveSettings, live_frames
        frames = live_frames(
            partial(open_camera, "v4l2:9", size=(640, 480)),
            stop=threading.Event(),
            settings=LiveSettings(CameraSettings(exposure_us=4000), "wait", back_off_s=(0.01, 0.01)),
        )
        items = list(islice(frames, 8))
        frames.close()
        print(json.dumps([[i.name, getattr(i, "reason", "")] for i in items]))
    """
    items = run(library, devices, program, FRAMES_UNTIL_UNPLUGGED="15")
    assert [name for name, _ in items] == [f"v4l2:9#{k}" for k in range(8)]
    # OpenCV swallows the first of 15 frames; 5 may be older than what is applied, 5 than what is settled
    assert [bool(reason) for _, reason in items] == [False] * 4 + [True] + [False] * 3
    assert "unplugged" in items[4][1]
