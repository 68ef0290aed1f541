"""``leuko camera``: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.base.frame import Frame
from edge.calibration.file import Calibration, PixelCalibration, write_calibration
from edge.calibration.flat_field import estimate_illumination, read_flat_field_gain, write_flat_field
from edge.capture import clear_field
from edge.cli import main
from edge.find import DEFAULT_PIXEL_UM
from edge.find.flat_field import divide_flat_field
from edge.find.focus import focus
from edge.find.quality import QualityLimits
from edge.simulate.camera import SimulatedCamera

ROOT = Path(__file__).resolve().parents[3]
SIZE = ("--size", "160x120")
PHANTOM3 = ("--bundle", "phantom3")


def leuko(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def run(*words: str | Path) -> Result:
    return leuko("camera", *words)


def test_the_list_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    text, data = run("list"), run("list", "--json")
    assert text.stdout.splitlines()[-1] == "simulate  simulated blood cells"
    assert "picamera2" in text.stderr
    assert text.stderr.count("\n") == 1
    printed = json.loads(data.stdout)
    assert printed["cameras"][-1] == {
        "name": "simulate",
        "description": "simulated blood cells",
        "formats": {},
    }
    assert printed["notes"] == [text.stderr.strip()]
    assert data.stderr == ""


def test_a_preview_is_a_settled_frame_and_its_numbers(tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    result = run("preview", "simulate:6", *PHANTOM3, "--out", out, *SIZE, "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    image = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert image is not None
    reference = SimulatedCamera(6, size=(160, 120))
    settled = reference.settle(1)
    np.testing.assert_array_equal(image, reference.grab(1).image)
    assert printed["settings"] == {"exposure_us": settled.exposure_us, "gain": 1.0}
    assert (printed["width"], printed["height"], printed["file"]) == (160, 120, str(out))
    assert printed["brightness"] == pytest.approx(np.median(image), abs=4)
    assert printed["saturated"] == pytest.approx((image == 255).mean())

    assert (printed["focus"], printed["min_focus"]) == (None, 0.25)

    line = run("preview", "simulate:6", *PHANTOM3, "--out", out, "--force", *SIZE)
    assert line.stdout == (
        f"160 x 120 px, brightness {printed['brightness']:.1f}, saturated {printed['saturated']:.2%}, "
        "focus not known: the frame shows no fine detail to judge it by\n"
    )
    assert line.stderr == f"preview: {out}\n"


def test_a_preview_needs_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path))
    words = ("preview", "simulate:3", "--size", "640x480", "--out", tmp_path / "p.png", "--force", "--json")
    sizes: dict[float, tuple[str, ...]] = {DEFAULT_PIXEL_UM: (), 0.125: PHANTOM3, 0.2: ("--pixel-um", "0.2")}
    for pixel_um, given in sizes.items():
        result = run(*words, *given)
        assert result.exit_code == 0, result.stderr
        image = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_UNCHANGED)
        assert json.loads(result.stdout)["focus"] == focus(np.asarray(image, np.uint8), pixel_um)
        assert ("the pixel size is not known" in result.stderr) == (given == ())
    (tmp_path / "device.toml").write_text('bundle = "phantom3"\nrequire_signed = false\n')
    named = run(*words)
    assert json.loads(named.stdout)["focus"] == json.loads(run(*words, *PHANTOM3).stdout)["focus"]
    assert "not known" not in named.stderr


def test_exposure_and_gain_can_be_given(tmp_path: Path) -> None:
    words = ("preview", "simulate", *PHANTOM3, "--out", tmp_path / "p.png", "--force", *SIZE, "--json")
    dark, bright = (
        json.loads(run(*words, "--exposure-us", "2000", "--gain", gain).stdout) for gain in ("1", "3")
    )
    assert bright["settings"] == {"exposure_us": 2000, "gain": 3.0}
    assert bright["brightness"] == pytest.approx(3 * dark["brightness"], rel=0.05)


def test_the_focus_is_the_one_that_counting_measures(tmp_path: Path) -> None:
    frame = SimulatedCamera(3, size=(640, 480)).grab(1)
    assert isinstance(frame, Frame)
    for blur_px in (0.01, 8.0):
        file = tmp_path / f"{blur_px}.tif"
        cv2.imwrite(str(file), cv2.GaussianBlur(frame.image, (0, 0), blur_px))
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert image is not None
        for um, pixel in ((("--pixel-um", "0.1"), 0.1), ((), 0.125)):
            words = ("preview", f"video:{file}", *PHANTOM3, "--out", tmp_path / "p.png", "--force", *um)
            printed = json.loads(run(*words, "--json").stdout)
            assert printed["focus"] == focus(np.asarray(image, np.uint8), pixel)
            assert run(*words).stdout.endswith(f", focus {printed['focus']:.3f}, at least 0.25\n")
            counted = leuko("count", "--bundle", "phantom3", file, *um, "--json")
            assert json.loads(counted.stdout)["quality"]["measures"]["focus"]["median"] == printed["focus"]


def test_the_focus_is_that_of_the_calibrated_frame(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    shade = np.linspace(0.5, 1, 640, dtype=np.float32)[None].repeat(480, axis=0)
    blank = np.rint(200 * shade).astype(np.uint8)
    blanks = [Frame(blank, "0", 0, 0)]
    for k in range(1, 5):  # no two frames are the same
        image = blank.copy()
        image[k, k] += 1
        blanks.append(Frame(image, str(k), k, 0))
    section = write_flat_field(tmp_path, estimate_illumination(blanks), now)
    calibration = tmp_path / "calibration.toml"
    calibrated = PixelCalibration(0.2, 0.001, 640, 480, "simulated", now)
    write_calibration(calibration, Calibration(calibrated, section, quality=QualityLimits(min_focus=0.4)))
    out = ("--out", tmp_path / "p.png", "--force", "--calibration", calibration, "--json")
    printed = json.loads(run("preview", "simulate:3", *PHANTOM3, *out, "--size", "640x480").stdout)
    image = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    corrected = divide_flat_field(np.asarray(image, np.uint8), read_flat_field_gain(tmp_path, section))
    assert (printed["focus"], printed["min_focus"]) == (focus(corrected, 0.2), 0.4)
    other = run("preview", "simulate:3", *PHANTOM3, *out[:-1], "--size", "800x600")
    assert other.stdout.endswith(", focus not known: the calibration is for frames of 640 x 480 px\n")
    write_calibration(calibration, Calibration(replace(calibrated, width_px=800, height_px=600), section))
    odd = run("preview", "simulate:3", *PHANTOM3, *out, "--size", "800x600")
    assert (odd.exit_code, odd.stderr.count("\n")) == (1, 1)
    assert "frames of 800 x 600 px, and its flat field for 640 x 480: measure both" in odd.stderr
    broken = run(
        "preview",
        "simulate:3",
        *PHANTOM3,
        "--out",
        tmp_path / "q.png",
        "--calibration",
        tmp_path / "absent.toml",
    )
    assert broken.stderr.startswith(f"Error: {tmp_path / 'absent.toml'}: no such calibration")
    assert not (tmp_path / "q.png").exists()


def test_an_empty_folder_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.cli.camera.FRAME_S", 0.01)
    result = run("preview", f"watch:{tmp_path}", *PHANTOM3, "--out", tmp_path / "p.png", "--timeout", "0.01")
    assert (result.exit_code, result.stderr) == (1, f"Error: watch:{tmp_path}: gave no frame\n")


def test_settle_prints_what_it_locked() -> None:
    settled = SimulatedCamera(2, size=(160, 120)).settle(1)
    text = run("settle", "simulate:2", *SIZE)
    assert text.stdout == f"exposure_us {settled.exposure_us}\ngain 1.0\n"
    printed = json.loads(run("settle", "simulate:2", *SIZE, "--json").stdout)
    assert printed == {"camera": "simulate:2", "settings": {"exposure_us": settled.exposure_us, "gain": 1.0}}


def test_files_have_nothing_to_settle(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 40), 100, np.uint8))
    result = run("settle", f"video:{tmp_path}/a.png")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to settle" in result.stderr


@pytest.mark.parametrize("words", [("settle", "NAME"), ("preview", "NAME", *PHANTOM3, "--out", "p.png")])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("picture", "no kind of camera"),
        ("v4l2:77", "/dev/video77"),
        ("watch:/nowhere", "no such file"),
        ("video:broken.avi", "cannot be decoded"),
    ],
)
def test_a_camera_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.avi").write_bytes(b"RIFF\x10\0\0\0AVI LIST")
    result = run(*(name if word == "NAME" else word for word in words))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert reason in result.stderr
    assert not Path("p.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("preview", "simulate", *PHANTOM3),
        ("preview", "simulate", *PHANTOM3, "--out", ""),
        ("preview", "simulate", *PHANTOM3, "--out", "p.png", "--size", "160"),
        ("preview", "simulate", *PHANTOM3, "--out", "p.png", "--size", "axb"),
        ("preview", "simulate", *PHANTOM3, "--out", "p.png", "--exposure-us", "0"),
        ("preview", "simulate", *PHANTOM3, "--out", "p.png", "--gain", "nan"),
        ("settle", "simulate", "--timeout", "0"),
        ("settle",),
    ],
)
def test_usage_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words).exit_code == 2


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = run("preview", "simulate", *PHANTOM3, *SIZE, "--out", tmp_path / "no" / "p.png")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


BUSY = """
    import sys
    import cv2, numpy as np
    from edge.simulate import camera as simulated
    from edge.cli import main

    picture = np.zeros((4000, 4000), np.float32)

    class Busy(simulated.SimulatedCamera):
        def grab(self, timeout_s):
            if self._index:  # inside OpenCV whenever the program ends
                while True:
                    cv2.GaussianBlur(picture, (0, 0), 3)
            return super().grab(timeout_s)

    simulated.SimulatedCamera = Busy
    sys.argv = ["leuko", *sys.argv[1:]]
    main(prog_name="leuko")
"""


def test_a_program_whose_camera_does_not_come_back_ends_as_it_should(tmp_path: Path) -> None:
    words = ("camera", "preview", "simulate", *PHANTOM3, "--out", str(tmp_path / "p.png"), *SIZE)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BUSY), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stdout[:10]) == (0, "160 x 120 "), done.stderr


# ---- watching --------------------------------------------------------------------------------------------


@pytest.fixture
def blurred(tmp_path: Path) -> str:
    """A recording of one field that a knob brings into focus and out of it again."""
    frame = SimulatedCamera(3, size=(640, 480)).grab(1)
    assert isinstance(frame, Frame)
    folder = tmp_path / "turn"
    folder.mkdir()
    pages = [cv2.GaussianBlur(frame.image, (0, 0), s) for s in (6.0, 3.0, 0.01, 3.0)]
    cv2.imwritemulti(str(folder / "turn.tif"), pages)
    return f"video:{folder / 'turn.tif'}"


def test_watching_shows_each_frame_and_holds_the_best(blurred: str, tmp_path: Path) -> None:
    result = run("preview", blurred, *PHANTOM3, "--watch", "--json", "--out", tmp_path / "last.tif")
    assert result.exit_code == 0, result.stderr
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    values = [one["focus"] for one in shown]
    assert values[0] < values[1] < values[2] > values[3]
    assert [one["best_focus"] for one in shown] == [values[0], values[1], values[2], values[2]]
    assert {one["saturated"] for one in shown} == {0.0}
    last = cv2.imread(str(tmp_path / "last.tif"), cv2.IMREAD_UNCHANGED)
    assert last is not None
    assert focus(np.asarray(last, np.uint8), 0.125) == values[3]
    assert clear_field(np.asarray(last, np.uint8)) == shown[3]["brightness"]

    lines = run("preview", blurred, *PHANTOM3, "--watch").stdout.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith(f"focus {values[2]:.3f} {'█' * 30} best {values[2]:.3f}, brightness ")
    assert lines[3].startswith(f"focus {values[3]:.3f} {'█' * round(30 * values[3] / values[2])}░")
    assert all("saturated 0.00%" in line for line in lines)


def test_watching_without_focus_says_why() -> None:
    empty = run("preview", "video:absent.avi", *PHANTOM3, "--watch")
    assert (empty.exit_code, empty.stderr) == (1, "Error: absent.avi: no such file\n")


@pytest.mark.parametrize(("number", "terminal"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_watching_ends_with_a_signal(number: int, terminal: bool) -> None:
    reading, writing = pty.openpty() if terminal else os.pipe()
    words = ("camera", "preview", "simulate", *PHANTOM3, *("--size", "640x480"), "--watch")
    program = [sys.executable, "-m", "edge.cli", *words]
    with subprocess.Popen(program, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT) as watching:
        os.close(writing)
        seen = b""
        while seen.count(b"focus") < 3:
            seen += os.read(reading, 4096)
        watching.send_signal(number)
        with suppress(OSError):  # a terminal that nobody holds open any more
            while rest := os.read(reading, 4096):
                seen += rest
        assert watching.wait(60) == 0
        assert watching.stderr is not None
        assert watching.stderr.read() == ""
    os.close(reading)
    assert seen.endswith(b"\n"), "the prompt begins a line of its own"
    shown = seen.count(b"focus")
    assert seen.count(b"\r" if terminal else b"\n") >= shown
    assert (seen.count(b"\n") == 1) == terminal


def test_neither_out_nor_watch() -> None:
    result = run("preview", "simulate", *PHANTOM3)
    assert result.exit_code == 2
    assert "--watch" in result.stderr


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg", "tif", "bmp"])
def test_a_preview_is_written_in_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"p.{suffix}"
    result = run("preview", "simulate:6", *PHANTOM3, "--out", out, *SIZE)
    assert result.exit_code == 0, result.stderr
    begins = {
        "png": b"\x89PNG",
        "jpg": b"\xff\xd8\xff",
        "jpeg": b"\xff\xd8\xff",
        "tif": b"II*\0",
        "bmp": b"BM",
    }
    assert out.read_bytes().startswith(begins[suffix.lower()])


@pytest.mark.parametrize("name", ["p.webp", "p", "p.gif", "p.pdf"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    result = run("preview", "simulate:6", *PHANTOM3, "--out", tmp_path / name, *SIZE)
    assert result.exit_code == 2
    assert "end its name in .png, .jpg" in result.stderr
    assert not (tmp_path / name).exists()
