"""The live stream: order of frames, policies for a full buffer, and every failure of a camera."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Generator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.base.count_options import Policy
from edge.base.frame import FailedFrame, Frame
from edge.capture.camera import Camera, CameraAbsentError, CameraError, CameraSettings, CameraTimeoutError
from edge.capture.folder import FolderCamera
from edge.capture.grabber import CLOSE_S, SLICE_S, Clock, LiveSettings
from edge.capture.live import MOST_HANGING, WAIT_S, live_frames
from edge.run.cameras import open_camera

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 30
"""Of real time, on what a test waits for from another thread."""

HANG, STALL = "hang", "stall"
SETTLED = CameraSettings(exposure_us=1234, gain=2.0)


class FakeClock:
    """Time that passes when a camera says so, or when no thread has anything to do."""

    def __init__(self) -> None:
        self.now = 0.0
        self.quiet = False

    def __call__(self) -> float:
        return self.now

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout_s: float
    ) -> bool:
        end = self.now + timeout_s
        while not predicate() and self.now < end:
            condition.wait(0.001)
            if self.quiet:
                self.now = end
        return predicate()


class Scripted:
    """A camera that follows a script of frames, failures, hanging, stalling and calls, and then ends."""

    def __init__(self, clock: FakeClock, script: list[Any], *, paced: bool = True) -> None:
        self.name = "scripted"
        self.paced = paced
        self.clock = clock
        self.script = script
        self.calls: list[CameraSettings | str] = []
        self.released = threading.Event()
        self.closed = False

    def settle(self, timeout_s: float) -> CameraSettings:
        self.calls.append("settle")
        return SETTLED

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        self.calls.append(settings)

    def grab(self, timeout_s: float) -> Frame | FailedFrame | None:
        while self.script:
            step = self.script[0]
            if step is STALL:
                self.clock.now += timeout_s
                raise CameraTimeoutError("nothing yet")
            self.script.pop(0)
            if step is HANG:
                self.clock.quiet = True
                self.released.wait(LIMIT_S)
            elif isinstance(step, Exception):
                raise step
            elif callable(step):
                step()
            elif isinstance(step, Frame | FailedFrame):
                return step
            else:
                return Frame(step, f"own#{len(self.script)}", 0, 5)
        return None

    def close(self) -> None:
        self.closed = True
        self.clock.quiet = True


class Bench:
    """Opens scripted cameras one after another."""

    def __init__(self, *scripts: list[Any] | Exception, paced: bool = True) -> None:
        self.clock = FakeClock()
        self.stop = threading.Event()
        self.scripts = list(scripts)
        self.paced = paced
        self.cameras: list[Scripted] = []

    def open(self) -> Camera:
        self.clock.quiet = False
        script = self.scripts.pop(0) if self.scripts else CameraError("it is gone")
        if isinstance(script, Exception):
            self.clock.quiet = True
            raise script
        self.cameras.append(Scripted(self.clock, list(script), paced=self.paced))
        return self.cameras[-1]

    def frames(
        self, when_behind: Policy | None = "wait", **options: Any
    ) -> Generator[Frame | FailedFrame, None, None]:
        # a camera's opening and grabbing take real time, however short, in which the clock may run
        limits: dict[str, Any] = {"open_timeout_s": 1e5, "grab_timeout_s": 1e4, "give_up_s": 1e6}
        own = ("done", "first_index", "on_wait")
        limits |= {name: value for name, value in options.items() if name not in own}
        return live_frames(
            self.open,
            stop=self.stop,
            settings=LiveSettings(when_behind=when_behind, **limits),
            clock=Clock(self.clock, self.clock.wait_for),
            **{name: value for name, value in options.items() if name not in limits},
        )

    def release(self) -> None:
        for camera in self.cameras:
            camera.released.set()


def picture(grey: int, shape: tuple[int, int] = (6, 8)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full(shape, grey, np.uint8)


def good(item: Frame | FailedFrame) -> Frame:
    assert isinstance(item, Frame), item
    return item


def failed(item: Frame | FailedFrame) -> FailedFrame:
    assert isinstance(item, FailedFrame), item
    return item


def greys(items: list[Frame | FailedFrame]) -> list[int | None]:
    return [int(item.image[0, 0]) if isinstance(item, Frame) else None for item in items]


# ---- normal operation -------------------------------------------------------------------------------------


def test_frames_come_in_order_and_the_end_ends() -> None:
    bench = Bench([picture(k) for k in range(9)])
    frames = [good(item) for item in bench.frames(buffer_frames=2)]
    assert greys(list(frames)) == list(range(9))
    assert [frame.index for frame in frames] == list(range(9))
    assert [frame.name for frame in frames] == [f"scripted#{k}" for k in range(9)]
    assert {frame.dropped_before for frame in frames} == {0}
    assert bench.cameras[0].closed


def test_indices_continue_from_the_first_index() -> None:
    (frame,) = Bench([picture(1)]).frames(first_index=40)
    assert (frame.index, frame.name) == (40, "scripted#40")


def test_the_frame_knows_how_long_it_waited() -> None:
    buffered = threading.Event()
    bench = Bench([picture(1), picture(2), buffered.set, HANG])
    frames = bench.frames()
    next(frames)
    assert buffered.wait(LIMIT_S)
    bench.clock.now += 1.5
    second = good(next(frames))
    assert second.late_ns == pytest.approx(1.5e9, abs=SLICE_S * 1e9)
    bench.release()
    frames.close()


def test_the_camera_settles_once_and_gets_the_same_settings_when_opened_again() -> None:
    bench = Bench([picture(1), CameraError("lost")], [picture(2)])
    list(bench.frames())
    assert [camera.calls for camera in bench.cameras] == [["settle"], [SETTLED, "settle"]]


def test_given_settings_are_locked_before_the_rest_settles() -> None:
    bench = Bench([picture(1)])
    wanted = CameraSettings(exposure_us=700)
    list(bench.frames(lock=wanted))
    assert bench.cameras[0].calls == [wanted, "settle"]


# ---- falling behind -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("drop-oldest", [(0, 0), (4, 3), (5, 0), (6, 0)]),
        ("drop-newest", [(0, 0), (1, 0), (2, 0), (6, 3)]),
    ],
)
def test_a_full_buffer_drops_whole_frames_and_counts_them(
    policy: Policy, expected: list[tuple[int, int]]
) -> None:
    behind, caught_up, full = threading.Event(), threading.Event(), threading.Event()
    bench = Bench(
        [
            picture(0),
            lambda: behind.wait(LIMIT_S),
            *(picture(k) for k in range(1, 6)),
            full.set,
            lambda: caught_up.wait(LIMIT_S),
            picture(6),
        ]
    )
    frames = bench.frames(policy, buffer_frames=2)
    taken = [next(frames)]
    behind.set()
    assert full.wait(LIMIT_S)
    taken += islice(frames, 2)
    caught_up.set()
    taken += frames
    assert [(int(f.image[0, 0]), f.dropped_before) for f in map(good, taken)] == expected


@settings(max_examples=20)
@given(st.integers(0, 40), st.integers(1, 3), st.sampled_from(["drop-oldest", "drop-newest", "wait"]))
def test_every_frame_is_passed_on_or_counted_as_dropped(count: int, buffer: int, policy: Policy) -> None:
    bench = Bench([*(picture(k) for k in range(count)), CameraError("lost")], [picture(250)])
    frames = [item for item in bench.frames(policy, buffer_frames=buffer) if isinstance(item, Frame)]
    numbers = [int(frame.image[0, 0]) for frame in frames]
    assert numbers.pop() == 250
    position = -1
    for frame, number in zip(frames, [*numbers, count], strict=True):
        assert frame.dropped_before == number - position - 1
        position = number
    assert policy != "wait" or numbers == list(range(count))


def test_cameras_without_a_pace_lose_nothing() -> None:
    bench = Bench([picture(k) for k in range(50)], paced=False)
    assert greys(list(bench.frames(None, buffer_frames=1))) == list(range(50))


# ---- failures ------------------------------------------------------------------------------------


def test_a_grab_that_hangs_is_left_alone_and_the_camera_opened_again() -> None:
    bench = Bench([picture(1), HANG, picture(99)], [picture(2)])
    first, outage, second = bench.frames(grab_timeout_s=30.0)
    assert (good(first).index, failed(outage).index, good(second).index) == (0, 1, 2)
    assert "no frame for 30 s" in failed(outage).reason
    assert greys([second]) == [2]
    assert bench.clock.now > 30
    assert not bench.cameras[0].closed
    bench.release()


def test_a_late_frame_of_a_hanging_camera_is_not_taken() -> None:
    bench = Bench([picture(1), HANG, picture(99)])
    bench.scripts.append([picture(2), bench.release, picture(3)])
    items = list(bench.frames(grab_timeout_s=30.0))
    assert greys(items) == [1, None, 2, 3]


def test_a_stall_is_noticed_and_survived() -> None:
    bench = Bench([picture(1), STALL], [picture(2)])
    items = list(bench.frames(grab_timeout_s=5.0))
    assert greys(items) == [1, None, 2]
    assert "no frame for 5 s" in failed(items[1]).reason
    assert bench.cameras[0].closed


def test_files_that_do_not_come_are_no_stall() -> None:
    idle = [CameraTimeoutError("no new file")] * 5
    bench = Bench([picture(1), *idle, picture(2)], paced=False)
    bench.clock.now = 1e6
    assert greys(list(bench.frames(None))) == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (CameraError("the camera is unplugged"), "unplugged"),
        (RuntimeError("a driver's own"), "RuntimeError: a driver's own"),
        (picture(9, (8, 6)), "6 x 8 px instead of 8 x 6 px"),
        (Frame(np.zeros((6, 8, 3), np.uint8), "", 0, 0), "not a grey image"),
        (Frame(np.zeros((6, 8)), "", 0, 0), "not a grey image"),  # type: ignore[arg-type]
        (Frame(np.zeros((0, 8), np.uint8), "", 0, 0), "not a grey image"),
        (FailedFrame("", 0, "a frame was damaged"), "damaged"),
    ],
)
def test_anything_but_a_frame_is_reported_and_the_camera_opened_again(wrong: Any, reason: str) -> None:
    bench = Bench([picture(1), wrong, picture(2)], [picture(3)])
    items = list(bench.frames())
    assert greys(items) == [1, None, 3]
    assert reason in failed(items[1]).reason
    assert [item.index for item in items] == [0, 1, 2]
    assert all(camera.closed for camera in bench.cameras)


def test_an_outage_is_reported_once_however_many_attempts_it_takes() -> None:
    gone = CameraError("not there")
    bench = Bench([picture(1), CameraError("lost")], gone, gone, [picture(2, (5, 5))], gone, [picture(3)])
    items = list(bench.frames())
    assert greys(items) == [1, None, 3]
    assert "lost" in failed(items[1]).reason


def test_attempts_back_off_and_are_given_up() -> None:
    bench = Bench([picture(1), CameraError("lost")])
    attempts: list[float] = []

    def open_() -> Camera:
        attempts.append(bench.clock.now)
        return bench.open()

    frames = live_frames(
        open_,
        stop=bench.stop,
        settings=LiveSettings(back_off_s=(1.0, 8.0), give_up_s=60.0, open_timeout_s=1e5),
        clock=Clock(bench.clock, bench.clock.wait_for),
    )
    assert greys(list(islice(frames, 2))) == [1, None]
    with pytest.raises(CameraError, match="it is gone; given up after 60 s"):
        next(frames)
    pauses = [after - before for before, after in pairwise(attempts)]
    # a slice of a wait may pass while a thread starts
    assert all(
        expected <= pause < expected + 5 for pause, expected in zip(pauses[1:], [2, 4, 8, 8, 8], strict=False)
    )
    assert 60 <= bench.clock.now < 100


def test_a_camera_that_is_absent_at_first_is_waited_for() -> None:
    absent = [CameraAbsentError("no camera is found") for _ in range(3)]
    bench = Bench(*absent, [picture(1), CameraError("lost")], CameraAbsentError("it left"), [picture(2)])
    waited: list[float] = []
    frames = bench.frames(wait=True, on_wait=lambda words: waited.append(bench.clock.now))
    items = list(islice(frames, 3))
    # once it was there, its absence is an outage like others
    assert (greys(items), failed(items[1]).reason) == ([1, None, 2], "lost")
    assert len(waited) == 3
    assert all(WAIT_S <= after - before < WAIT_S + 2 for before, after in pairwise(waited))
    frames.close()


@pytest.mark.parametrize(("failure", "wait"), [(CameraError, True), (CameraAbsentError, False)])
def test_only_an_absent_camera_is_waited_for_and_only_if_asked(
    failure: type[CameraError], wait: bool
) -> None:
    bench = Bench(failure("it is not"), [picture(1)])
    with pytest.raises(failure, match="it is not"):
        next(bench.frames(wait=wait))


def test_waiting_for_a_camera_can_be_stopped() -> None:
    bench = Bench(*[CameraAbsentError("no camera is found") for _ in range(9)])
    assert list(bench.frames(wait=True, on_wait=lambda _: bench.stop.set())) == []
    assert len(bench.scripts) == 8


def test_a_camera_that_cannot_be_opened_at_first_is_an_error_at_once() -> None:
    bench = Bench(CameraError("no such camera"), [picture(1)])
    with pytest.raises(CameraError, match="no such camera"):
        next(bench.frames())
    assert bench.clock.now < 1


@pytest.mark.parametrize(("exposure_us", "limit_s"), [(None, 35), (1_000_000, 91)])
def test_a_camera_that_hangs_while_it_opens_is_an_error(exposure_us: int | None, limit_s: int) -> None:
    bench = Bench()
    release = threading.Event()

    def hang() -> Camera:
        bench.clock.quiet = True
        release.wait(LIMIT_S)
        raise CameraError("never")

    frames = live_frames(
        hang,
        stop=bench.stop,
        settings=LiveSettings(lock=CameraSettings(exposure_us=exposure_us), open_timeout_s=30.0),
        clock=Clock(bench.clock, bench.clock.wait_for),
    )
    with pytest.raises(CameraTimeoutError, match=f"did not open and settle for {limit_s} s"):
        next(frames)
    release.set()


def test_a_camera_that_hangs_again_and_again_needs_a_new_process() -> None:
    bench = Bench(*([picture(k), HANG] for k in range(20)))
    items: list[Frame | FailedFrame] = []
    with pytest.raises(CameraError, match="only a restart frees it"):
        items += bench.frames(grab_timeout_s=2.0)
    assert len(bench.cameras) == MOST_HANGING + 1
    bench.release()


def test_an_unreadable_file_is_passed_on_and_is_no_outage() -> None:
    bench = Bench([picture(1), FailedFrame("b.png", 0, "damaged"), picture(2)], paced=False)
    items = list(bench.frames(None))
    assert greys(items) == [1, None, 2]
    assert failed(items[1]) == FailedFrame("b.png", 1, "damaged")
    assert len(bench.cameras) == 1


def test_files_taken_before_an_outage_are_not_taken_again() -> None:
    a, b = Frame(picture(1), "a.png", 0, 0), Frame(picture(2), "b.png", 0, 0)
    done = {"old.png"}
    old = Frame(picture(0), "old.png", 0, 0)
    bench = Bench([old, a, CameraError("the folder is gone")], [old, a, b], paced=False)
    names = [item.name for item in bench.frames(None, done=done)]
    assert names == ["a.png", "scripted#1", "b.png"]
    assert done == {"old.png", "a.png", "b.png"}


def test_a_folder_that_goes_and_comes_back_loses_nothing_and_gives_nothing_twice(tmp_path: Path) -> None:
    folder, away = tmp_path / "stick", tmp_path / "away"
    folder.mkdir()
    for k in range(2):
        cv2.imwrite(str(folder / f"{k}.png"), picture(k, (40, 40)))
    done: set[str] = set()

    def open_() -> Camera:
        now = [0.0]  # of the camera alone: it has waited for as long as it wants to
        return FolderCamera(
            folder, done=done, clock=lambda: now[0], wait=lambda s: now.__setitem__(0, now[0] + s)
        )

    frames = live_frames(
        open_, stop=threading.Event(), settings=LiveSettings(back_off_s=(0.001, 0.001)), done=done
    )
    items = [next(frames), next(frames)]
    folder.rename(away)
    items.append(next(frames))
    cv2.imwrite(str(away / "2.png"), picture(2, (40, 40)))
    away.rename(folder)
    items.append(next(frames))
    frames.close()
    assert greys(items) == [0, 1, None, 2]
    assert "no such file" in failed(items[2]).reason
    assert [item.index for item in items] == [0, 1, 2, 3]


# ---- stopping -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [HANG, STALL, CameraTimeoutError("nothing")])
def test_stopping_takes_less_than_a_second_whatever_the_camera_does(ending: Any) -> None:
    bench = Bench([picture(1), ending, HANG])
    frames = bench.frames()
    next(frames)
    bench.stop.set()
    before = bench.clock.now
    assert next(frames, None) is None
    assert bench.clock.now - before <= CLOSE_S + 2 * SLICE_S < 1
    bench.release()


def test_stopping_during_the_back_off() -> None:
    bench = Bench([picture(1), CameraError("lost")])
    frames = bench.frames(back_off_s=(100.0, 100.0))
    assert isinstance(list(islice(frames, 2))[1], FailedFrame)
    bench.stop.set()
    assert next(frames, None) is None
    assert bench.clock.now < 1


def test_stopping_discards_buffered_frames() -> None:
    bench = Bench([picture(k) for k in range(20)])
    frames = bench.frames(buffer_frames=8)
    next(frames)
    bench.stop.set()
    assert next(frames, None) is None


def test_leaving_the_frames_closes_the_camera() -> None:
    bench = Bench([picture(k % 250) for k in range(1000)])
    frames = bench.frames(buffer_frames=1)
    next(frames)
    frames.close()
    assert bench.cameras[0].closed


def test_a_buffer_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(Bench([picture(1)]).frames(buffer_frames=0))


PROGRAM = """
    import threading
    from edge.capture import CameraSettings, LiveSettings, live_frames
    from edge.cli.options import stop_requests

    class Hanging:
        name, paced = "hanging", True
        def settle(self, timeout_s): return CameraSettings()
        def grab(self, timeout_s):
            print("hangs", flush=True)
            threading.Event().wait()

    with stop_requests() as stop:
        frames = list(live_frames(Hanging, stop=stop, settings=LiveSettings(grab_timeout_s=1e6)))
        print("stopped with", len(frames), flush=True)
"""


def test_a_shutdown_is_not_held_up_by_a_camera_that_hangs() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (0, "stopped with 0\n")


def test_the_simulator_through_a_thread_is_the_simulator() -> None:
    open_ = partial(open_camera, "simulate:3", size=(160, 120))
    live = list(islice(live_frames(open_, stop=threading.Event()), 2))
    camera = open_()
    camera.settle(10)
    for item in live:
        alone = camera.grab(10)
        assert isinstance(alone, Frame)
        np.testing.assert_array_equal(good(item).image, alone.image)
        assert (item.name, good(item).settings) == (alone.name, alone.settings)
