"""Cameras by name, a watched folder, a video, the simulator, and exposure by the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.base.frame import FailedFrame, Frame
from edge.capture.camera import Camera, CameraError, CameraSettings, CameraTimeoutError
from edge.capture.exposure import CLEAR_FIELD, TOLERANCE, clear_field, converge, is_steady, next_exposure
from edge.capture.folder import PATIENCE_S, POLL_S, STILL_S, FolderCamera
from edge.capture.frames import read_frames
from edge.capture.recorded import VideoCamera
from edge.run.cameras import list_cameras, open_camera
from edge.simulate.camera import CLEAR_FIELD_US, FULL_WELL_E, READ_NOISE_E, SimulatedCamera, collected
from edge.simulate.imaging import expose

SMALL = (96, 80)


def png(value: int, shape: tuple[int, int] = (40, 50)) -> bytes:
    noise = np.random.default_rng(value).integers(0, 30, shape, np.uint8)
    return cv2.imencode(".png", noise + np.uint8(value))[1].tobytes()


class Time:
    """A clock that stands still unless someone waits; while they do, others may act."""

    def __init__(self) -> None:
        self.now = 100.0
        self.meanwhile: list[Callable[[], object]] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()


def watch(folder: Path, *done: str) -> tuple[FolderCamera, Time]:
    time = Time()
    return FolderCamera(folder, done=done, clock=time.clock, wait=time.wait), time


def frame_of(camera: Camera, timeout_s: float = 60.0) -> Frame:
    item = camera.grab(timeout_s)
    assert isinstance(item, Frame), item
    return item


# ---- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("webcam", "no kind of camera is called 'webcam'"),
        ("", "no kind of camera"),
        ("v4l2", "'' is not a number"),
        ("v4l2:x", "'x' is not a number"),
        ("v4l2:-1", "not a number"),
        ("v4l2:77", "/dev/video77 is not there"),
        ("simulate:1.5", "not a number"),
        ("watch:", "watch:FOLDER"),
        ("video", "video:FILE"),
        ("watch:/nowhere/at/all", "no such file"),
        ("video:/nowhere.avi", "no such file"),
    ],
)
def test_unknown_camera_names_are_refused_in_one_line(name: str, reason: str) -> None:
    with pytest.raises(CameraError, match=r"^[^\n]+$") as caught:
        open_camera(name)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size"), [("watch:.", (10, 10)), ("video:x.avi", (10, 10)), ("simulate", (0, 5))]
)
def test_impossible_sizes_are_refused(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(CameraError, match="size"):
        open_camera(name, size=size)


def test_the_simulator_is_always_there() -> None:
    found, _ = list_cameras()
    assert found[-1].name == "simulate"
    assert open_camera(found[-1].name).name == "simulate"


# ---- watched folder -------------------------------------------------------------------------------------


def test_files_come_in_natural_order_each_once(tmp_path: Path) -> None:
    for k in (10, 2, 1):
        (tmp_path / f"f{k}.png").write_bytes(png(k))
    (tmp_path / "boxes.csv").write_text("frame\n")
    (tmp_path / ".hidden.png").write_bytes(png(3))
    (tmp_path / "folder.png").mkdir()
    camera, _ = watch(tmp_path)
    names = [Path(frame_of(camera).name).name for _ in range(3)]
    assert names == ["f1.png", "f2.png", "f10.png"]
    with pytest.raises(CameraTimeoutError):
        camera.grab(60)


def test_a_watched_file_gives_the_same_frame_as_a_counted_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(7))
    camera, _ = watch(tmp_path)
    frame = frame_of(camera)
    np.testing.assert_array_equal(frame.image, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    assert (frame.name, frame.time_ns) == (str(path), path.stat().st_mtime_ns)


def test_waiting_is_bounded_by_the_timeout(tmp_path: Path) -> None:
    camera, time = watch(tmp_path)
    for timeout_s in (0.0, 0.1, 3.7):
        before = time.now
        with pytest.raises(CameraTimeoutError, match="no new file"):
            camera.grab(timeout_s)
        assert time.now - before == pytest.approx(timeout_s)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
@settings(max_examples=10)
@given(data=st.data())
def test_a_file_is_never_read_in_part(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    """However slowly, and with whatever pauses up to the patience, it is written."""
    folder = tmp_path_factory.mktemp("watched")
    image = cv2.imdecode(np.frombuffer(png(9), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    content = cv2.imencode(suffix, image)[1].tobytes()
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    cuts = sorted(data.draw(st.lists(st.integers(1, len(content) - 1), max_size=4, unique=True)))
    pauses = [data.draw(st.floats(0, PATIENCE_S - 2 * POLL_S)) for _ in cuts]
    path = folder / f"slow{suffix}"
    camera, _ = watch(folder)
    for start, end, pause in zip([0, *cuts], [*cuts, len(content)], [*pauses, 0.0], strict=True):
        with path.open("ab") as file:
            file.write(content[start:end])
        if end < len(content):
            with pytest.raises(CameraTimeoutError):
                camera.grab(pause)
        else:
            frame = frame_of(camera)
            np.testing.assert_array_equal(frame.image, expected)


def test_a_file_that_is_written_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(7))
    writes = [png(200)]

    def reading(sources: list[Path], root: Path) -> Iterator[Frame | FailedFrame]:
        for frame in read_frames(sources, root=root):
            if writes:
                path.write_bytes(writes.pop())
            yield frame

    time = Time()
    camera = FolderCamera(tmp_path, read=reading, clock=time.clock, wait=time.wait)
    assert frame_of(camera).image.mean() > 190
    with pytest.raises(CameraTimeoutError):
        camera.grab(60)


def test_a_damaged_file_is_reported_after_a_while_and_delays_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1)[:-20])
    (tmp_path / "b.png").write_bytes(png(2))
    camera, time = watch(tmp_path)
    before = time.now
    assert frame_of(camera).name.endswith("b.png")
    assert time.now - before < STILL_S + 2 * POLL_S
    failed = camera.grab(60)
    assert isinstance(failed, FailedFrame)
    assert "truncated" in failed.reason
    assert time.now - before >= PATIENCE_S
    with pytest.raises(CameraTimeoutError):
        camera.grab(60)


def test_a_renamed_file_is_taken_when_it_appears(tmp_path: Path) -> None:
    camera, time = watch(tmp_path)
    (tmp_path / "a.png.part").write_bytes(png(1))
    time.meanwhile = [lambda: (tmp_path / "a.png.part").rename(tmp_path / "a.png")]
    assert frame_of(camera).name.endswith("a.png")


def test_a_file_that_goes_away_before_it_is_complete_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    camera, time = watch(tmp_path)
    time.meanwhile = [(tmp_path / "a.png").unlink]
    with pytest.raises(CameraTimeoutError):
        camera.grab(60)


def test_the_pages_of_a_stack_are_frames(tmp_path: Path) -> None:
    pages = [np.full((20, 30), grey, np.uint8) for grey in (10, 20, 30)]
    cv2.imwritemulti(str(tmp_path / "stack.tif"), pages)
    camera, _ = watch(tmp_path, f"{tmp_path}/stack.tif#1")
    frames = [frame_of(camera), frame_of(camera)]
    assert [(frame.name[-2:], int(frame.image[0, 0])) for frame in frames] == [("#0", 10), ("#2", 30)]


def test_done_files_are_not_opened(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k}.png").write_bytes(png(k))
    done = {f"{tmp_path}/0.png"}
    time = Time()
    camera = FolderCamera(tmp_path, done=done, clock=time.clock, wait=time.wait)
    assert frame_of(camera).name.endswith("1.png")
    assert frame_of(camera).name.endswith("2.png")


def test_a_folder_that_vanishes_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    camera, _ = watch(folder)
    folder.rmdir()
    with pytest.raises(CameraError, match="no such file") as caught:
        camera.grab(60)
    assert not isinstance(caught.value, CameraTimeoutError)


# ---- video ----------------------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 10, (64, 48), isColor=False)
    for grey in (10, 60, 110):
        writer.write(np.full((48, 64), grey, np.uint8))
    writer.release()
    return path


def test_a_video_gives_each_frame_and_ends(video: Path) -> None:
    camera = open_camera(f"video:{video}")
    frames = [frame_of(camera) for _ in range(3)]
    assert [frame.name for frame in frames] == [f"{video}#{k}" for k in range(3)]
    assert [round(float(frame.image.mean()), -1) for frame in frames] == [10, 60, 110]
    assert camera.grab(1) is None
    camera.close()


def test_a_video_continues_after_its_done_frames(video: Path) -> None:
    camera = VideoCamera(video, done={f"{video}#0", f"{video}#1"})
    assert frame_of(camera).name == f"{video}#2"


def test_files_settle_at_once_and_refuse_settings(video: Path) -> None:
    camera = VideoCamera(video)
    assert camera.settle(1) == CameraSettings()
    camera.apply(CameraSettings(), 10)
    with pytest.raises(CameraError, match="cannot be set on files"):
        camera.apply(CameraSettings(gain=2), 10)


# ---- simulator ------------------------------------------------------------------------------------------


def test_the_simulator_settles_on_the_clear_field() -> None:
    camera = SimulatedCamera(5, size=SMALL)
    dark = clear_field(frame_of(camera).image)
    settled = camera.settle(1)
    assert dark < CLEAR_FIELD / 4
    for _ in range(2):
        frame = frame_of(camera)
        assert clear_field(frame.image) == pytest.approx(CLEAR_FIELD, rel=TOLERANCE + 0.03)
        assert frame.settings == {"exposure_us": settled.exposure_us, "gain": settled.gain}


def test_given_settings_stay_while_the_others_settle() -> None:
    camera = SimulatedCamera(5, size=SMALL)
    alone = camera.settle(1)
    camera.apply(CameraSettings(gain=2.0), 10)
    settled = camera.settle(1)
    assert alone.exposure_us is not None
    assert settled.exposure_us == pytest.approx(alone.exposure_us / 2, rel=3 * TOLERANCE)
    assert settled.gain == 2.0
    camera.apply(CameraSettings(exposure_us=5_000), 10)
    assert camera.settle(1) == CameraSettings(5_000, 2.0)


def test_the_same_seed_and_settings_give_the_same_frame() -> None:
    locked = CameraSettings(exposure_us=6_000, gain=1.5)
    images = []
    for done in (set[str](), {"simulate:9#0"}):
        camera = SimulatedCamera(9, name="simulate:9", size=SMALL, done=done)
        camera.settle(1)
        camera.apply(locked, 10)
        images.append([frame_of(camera) for _ in range(2 - len(done))])
    assert [frame.name for frame in images[0]] == ["simulate:9#0", "simulate:9#1"]
    assert images[1][0].name == "simulate:9#1"
    np.testing.assert_array_equal(images[0][1].image, images[1][0].image)
    assert not np.array_equal(images[0][0].image, images[0][1].image)


@pytest.mark.parametrize(
    "settings",
    [
        CameraSettings(exposure_us=5),
        CameraSettings(exposure_us=10**9),
        CameraSettings(gain=0),
        CameraSettings(colour_gains=(1, 1)),
    ],
)
def test_the_simulator_has_limits(settings: CameraSettings) -> None:
    with pytest.raises(CameraError, match=r"exposure must|gain must|colour gains"):
        SimulatedCamera(size=SMALL).apply(settings, 10)


def test_a_gain_that_is_too_high_leaves_no_exposure() -> None:
    camera = SimulatedCamera(size=SMALL)
    camera.apply(CameraSettings(gain=1e6), 10)
    with pytest.raises(CameraError, match="change the lamp or the gain"):
        camera.settle(1)


@settings(max_examples=30)
@given(st.floats(1_000, 2_400), st.floats(1.5, 4.0))
def test_a_sensor_is_linear_and_gain_amplifies_its_noise(exposure_us: float, gain: float) -> None:
    field = np.ones((200, 200), np.float32)
    electrons = collected(field, exposure_us)
    grey = expose(electrons, FULL_WELL_E, READ_NOISE_E, gain, np.random.default_rng(1)).astype(float)
    expected = CLEAR_FIELD * exposure_us / CLEAR_FIELD_US * gain
    assert grey.mean() == pytest.approx(expected, rel=0.01, abs=0.2)
    mean = CLEAR_FIELD / 255 * FULL_WELL_E * exposure_us / CLEAR_FIELD_US
    noise = np.sqrt(mean + READ_NOISE_E**2) * gain * 255 / FULL_WELL_E
    assert grey.std() == pytest.approx(np.hypot(noise, np.sqrt(1 / 12)), rel=0.1)


def test_a_full_well_saturates_whatever_the_gain() -> None:
    field = np.full((50, 50), 3, np.float32)
    electrons = collected(field, CLEAR_FIELD_US)
    grey = expose(electrons, FULL_WELL_E, READ_NOISE_E, 0.5, np.random.default_rng(1))
    assert set(grey.ravel().tolist()) == {128}


# ---- exposure -------------------------------------------------------------------------------------------


def camera_with(
    sensitivity: float, gamma: float, step_us: float, limits: tuple[float, float]
) -> tuple[Callable[[float], tuple[float, float]], list[float]]:
    """A camera that gives grey level 255·min(1, sensitivity·exposure)^gamma, in steps and within limits."""
    asked: list[float] = []

    def measure(exposure_us: float) -> tuple[float, float]:
        taken = float(np.clip(round(exposure_us / step_us) * step_us, *limits))
        asked.append(taken)
        return taken, 255 * min(1.0, sensitivity * taken) ** gamma

    return measure, asked


@given(st.floats(1e-5, 1e-3), st.floats(0.45, 1.0), st.floats(100, 100_000))
def test_the_exposure_converges_in_a_few_steps_for_any_lamp_and_gamma(
    sensitivity: float, gamma: float, start_us: float
) -> None:
    measure, asked = camera_with(sensitivity, gamma, 1, (10, 1_000_000))
    converge(measure, start_us)
    assert measure(asked[-1])[1] == pytest.approx(CLEAR_FIELD, rel=TOLERANCE)
    assert len(asked) < 20


@pytest.mark.parametrize(
    ("sensitivity", "step_us"),
    [(1e-7, 1), (1.0, 1), (6.3e-4, 700)],
    ids=["too dark", "too bright", "steps too coarse"],
)
def test_the_search_ends_if_no_exposure_fits(sensitivity: float, step_us: float) -> None:
    measure, _ = camera_with(sensitivity, 1.0, step_us, (100, 50_000))
    with pytest.raises(CameraError, match="change the lamp"):
        converge(measure, 1_000)


@given(st.floats(1, 1e6), st.floats(0, 255))
def test_a_step_is_bounded_and_goes_the_right_way(exposure_us: float, brightness: float) -> None:
    factor = next_exposure(exposure_us, brightness) / exposure_us
    assert 0.2499 <= factor <= 4.001
    assert (factor > 1) == (brightness < CLEAR_FIELD) or brightness == CLEAR_FIELD


def test_cells_do_not_count_as_clear_field() -> None:
    image = np.full((400, 400), 165, np.uint8)
    image[100:300, 100:300] = 20
    assert clear_field(image) == 165


@given(st.lists(st.floats(1, 1000), max_size=12))
def test_values_that_do_not_change_are_steady(values: list[float]) -> None:
    last = values[-4:]
    steady = len(last) == 4 and max(last) - min(last) <= 0.01 * max(last)
    assert is_steady(values, last=4, tolerance=0.01) == steady


def test_relative_files_start_from_the_root(tmp_path: Path, video: Path) -> None:
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "a.png").write_bytes(png(100))
    time = Time()
    folder = FolderCamera(Path("watched"), root=tmp_path, clock=time.clock, wait=time.wait)
    assert (folder.name, frame_of(folder).name) == ("watch:watched", "watched/a.png")
    camera = open_camera(f"video:{video.name}", root=video.parent)
    assert (camera.name, frame_of(camera).name) == (f"video:{video.name}", f"{video.name}#0")
