"""The capture code on the real picamera2 and libcamera, whose virtual camera plays frames from a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.capture.tuning import constant, load_tuning
from tests.edge.capture.fake_picamera2 import TUNINGS

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "system" / "virtual_camera"
BUILD_LIMIT_S = 600
SHAPE = (1080, 1920)


@dataclass(frozen=True)
class Inside:
    """The root with picamera2: its Python, and the folder that Python sees as ``/t``."""

    python: Path
    folder: Path

    def run(self, *words: str) -> str:
        done = subprocess.run([self.python, *words], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def image(self, name: str) -> NDArray[np.uint8]:
        image = cv2.imread(str(self.folder / "out" / name), cv2.IMREAD_UNCHANGED)
        assert image is not None
        return image.astype(np.uint8, copy=False)


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """The root at $LEUKO_VIRTUAL_CAMERA, or one that is built now, with this code and the frames to play."""
    given = os.environ.get("LEUKO_VIRTUAL_CAMERA")
    folder = Path(given) if given else tmp_path_factory.mktemp("virtual_camera")
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("libcamera's virtual camera needs root, and apt-get to build it")
    try:
        done = subprocess.run(
            [HERE / "build.sh", folder], capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the virtual camera was not built within {BUILD_LIMIT_S} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"the virtual camera cannot be built here: {reason}")
    shared = folder / "root" / "t"
    for name in ("edge", "frames", "out"):
        shutil.rmtree(shared / name, ignore_errors=True)
    shutil.copytree(ROOT / "edge", shared / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    for file in HERE.glob("*.py"):
        shutil.copy(file, shared)
    (shared / "out").mkdir()
    (shared / "frames").mkdir()
    rng = np.random.default_rng(4)
    for k in range(3):
        noise = cv2.GaussianBlur(rng.normal(0, 1, SHAPE).astype(np.float32), (0, 0), 8)
        grey = np.clip(noise * 400 + 90 + 40 * k, 0, 255).astype(np.uint8)
        cv2.imwrite(str(shared / "frames" / f"{k}.jpg"), grey)
    return Inside(folder / "python", shared)


@pytest.fixture(scope="session")
def answer(inside: Inside) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(inside.run("/t/scenario.py"))
    return said


def played(inside: Inside, image: NDArray[np.uint8]) -> int:
    """Which of the frames an image is, but for how JPEG decoders round; over its columns only."""
    distances = []
    for k in range(3):
        frame = cv2.imread(str(inside.folder / "frames" / f"{k}.jpg"), cv2.IMREAD_GRAYSCALE)
        assert frame is not None
        distances.append(int(np.abs(frame[:, : image.shape[1]].astype(int) - image).max()))
    assert min(distances) <= 4, distances
    return distances.index(min(distances))


def test_the_camera_is_listed(answer: dict[str, Any]) -> None:
    assert answer["list"][0] == ["picamera2:0", "VirtualCamera"]
    assert answer["notes"] == []


def test_the_grey_plane_is_the_frame_in_full_range(inside: Inside, answer: dict[str, Any]) -> None:
    assert answer["names"] == [f"picamera2#{k}" for k in range(12)]
    seen = {played(inside, inside.image(f"whole{k}.png")) for k in range(12)}
    assert len(seen) > 1, "the frames move on"


def test_the_padding_of_rows_is_no_part_of_the_frame(inside: Inside, answer: dict[str, Any]) -> None:
    padded = inside.image("padded.png")
    assert padded.shape == (1080, 1900)
    played(inside, padded)
    assert answer["padded_is_contiguous"]


def test_times_are_the_sensors_and_run_forward(answer: dict[str, Any]) -> None:
    assert all(before < after for before, after in pairwise(answer["times_ns"]))


def test_a_camera_without_controls_settles_on_its_own_choice(answer: dict[str, Any]) -> None:
    assert answer["settled"] == [None, None, None]


def test_it_closes_and_opens_again(inside: Inside, answer: dict[str, Any]) -> None:
    for k in range(3):
        played(inside, inside.image(f"again{k}.png"))


def test_what_it_cannot_do_is_one_line(answer: dict[str, Any]) -> None:
    assert answer["other_size"] == "picamera2: gives 1920 x 1080 px instead of 640 x 480"
    assert answer["no_such"].startswith("picamera2:7: no camera number 7, only number 0")


def test_live_frames_come_whole_and_leave_no_thread(answer: dict[str, Any]) -> None:
    assert [name for name, _, _ in answer["live"]] == [f"picamera2#{k}" for k in range(8)]
    assert all(shape == list(SHAPE) for _, shape, _ in answer["live"])
    assert answer["threads"] == []


LIST = "import virtual_picamera2; from edge.run.cameras import list_cameras; print(len(list_cameras()[0]))"
TUNED = """
import json, os
import virtual_picamera2
from edge.capture.picamera import PiCamera

camera = PiCamera()
print(json.dumps([camera.grab(10).settings["tuning"], camera.settle(10).tuning, os.environ[VARIABLE]]))
camera.close()
"""
VARIABLE = "LIBCAMERA_RPI_TUNING_FILE"


@pytest.fixture(scope="session")
def tunings(inside: Inside) -> dict[str, Any]:
    """libcamera's own tuning files of Sony's sensors, as Debian has them: for boards before the Pi 5."""
    folder = inside.folder.parent / "usr/share/libcamera/ipa/rpi/vc4"
    return {path.name: json.loads(path.read_text()) for path in folder.glob("imx*.json")}


def test_real_tunings_are_made_constant(tunings: dict[str, Any]) -> None:
    assert {"imx477.json", "imx477_scientific.json", "imx296_mono.json", "imx708.json"} <= tunings.keys()
    for name, tuning in tunings.items():
        before, after = (
            {algorithm: values for one in content["algorithms"] for algorithm, values in one.items()}
            for content in (tuning, constant(tuning))
        )
        assert before.keys() - after.keys() <= {"rpi.alsc", "rpi.cac"}, name
        assert after["rpi.contrast"].pop("ce_enable") == 0
        assert after["rpi.contrast"].items() <= before["rpi.contrast"].items()
    chosen = load_tuning(tunings.__getitem__, "imx477", 0)
    assert chosen is not None
    # the scientific one is constant as it is
    assert chosen.content == tunings["imx477_scientific.json"]


def test_libcameras_own_parser_reads_tunings_that_were_made_constant(
    inside: Inside, tunings: dict[str, Any]
) -> None:
    # it reads the virtual camera's file by the parser of tuning files, and passes over what it does not know
    place = inside.folder.parent / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    before = place.read_text()
    camera = {
        "supported_formats": [{"width": 1920, "height": 1080, "frame_rates": [30]}],
        "frames": {"path": "/t/frames/"},
        "location": "CameraLocationExternal",
        "model": "VirtualCamera",
        "tunings": [constant(tuning) for tuning in tunings.values()],
    }
    text = json.dumps({"Virtual0": camera})
    try:
        listed = {}
        for name, content in (("whole", text), ("cut", text[:-2])):
            place.write_text(content)
            listed[name] = inside.run("-c", LIST).split()
    finally:
        place.write_text(before)
    assert listed == {"whole": ["2"], "cut": ["1"]}, "the simulator is listed too"


def test_libcamera_looks_for_cameras_again_to_read_the_tuning(inside: Inside) -> None:
    folder = inside.folder.parent / "usr/share/libcamera/ipa/rpi/vc4"
    file = folder / "VirtualCamera.json"
    file.write_text(json.dumps(TUNINGS["imx477.json"]))
    try:
        words = [str(inside.python), "-c", TUNED.replace("VARIABLE", repr(VARIABLE))]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    finally:
        file.unlink()
    assert done.returncode == 0, done.stderr
    of_frame, settled, read = json.loads(done.stdout)
    tuning = load_tuning(lambda _: TUNINGS["imx477.json"], "VirtualCamera", None)
    assert tuning is not None
    expected = tuning.name.replace("VirtualCamera_scientific", "VirtualCamera")
    assert of_frame == settled == expected
    assert read.startswith("/tmp/")
    # each time it looks it states its version; the second time it has the tuning
    assert done.stderr.count("libcamera v0.") == 2


def test_preview_from_the_command_line(inside: Inside) -> None:
    program = "import virtual_picamera2; from edge.cli import main; main(prog_name='leuko')"
    words = (
        "camera",
        "preview",
        "picamera2",
        "--bundle",
        "phantom3",
        "--out",
        "/t/out/preview.png",
        "--json",
    )
    said = json.loads(inside.run("-c", program, *words))
    image = inside.image("preview.png")
    played(inside, image)
    assert (said["height"], said["width"]) == image.shape
    assert said["brightness"] == pytest.approx(np.median(image), abs=5)
