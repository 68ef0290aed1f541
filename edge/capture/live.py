"""A camera's frames without end: grabbed in a thread, buffered, dropped whole when counting falls behind.

A camera may hang, stall, vanish, or send what is no frame. None of it hangs or ends whoever takes the frames:
the camera is closed, or left alone with its thread if that does not return, and opened anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edge.base import FailedFrame, Frame
from edge.capture.camera import Camera, CameraError, CameraSettings, CameraTimeoutError

Policy = Literal["drop-oldest", "drop-newest", "wait"]

SLICE_S = 0.1
"""No wait is longer without a look whether to stop."""

CLOSE_S = 0.7
"""How long a camera that is asked to close is waited for."""

FILE_TIMEOUT_S = 60.0
"""How long reading a file, or simulating a frame, may take before it is taken to hang."""

MOST_HANGING = 3
"""With more threads than this that never returned, only a new process helps."""

_Clock = Callable[[], float]
_WaitFor = Callable[[threading.Condition, Callable[[], bool], float], bool]

_log = logging.getLogger(__name__)


def live_frames(
    open_: Callable[[], Camera],
    *,
    stop: threading.Event,
    settings: CameraSettings | None = None,
    when_behind: Policy | None = None,
    buffer_frames: int = 4,
    grab_timeout_s: float = 5.0,
    open_timeout_s: float = 30.0,
    back_off_s: tuple[float, float] = (0.5, 8.0),
    give_up_s: float = 60.0,
    first_index: int = 0,
    done: set[str] | None = None,
    clock: _Clock = time.monotonic,
    wait_for: _WaitFor = threading.Condition.wait_for,
) -> Generator[Frame | FailedFrame, None, None]:
    """Yield a camera's frames in order, until it ends or is to stop.

    Once the camera has been opened and settled, its failures are survived: each outage is yielded as one
    `FailedFrame`, and the camera is opened anew until frames come again. A camera that never opened fails at
    once, as a name may be wrong.

    Parameters
    ----------
    open_ : opens the camera, in the grabbing thread; called again after a failure
    stop : ends the frames within a second, whatever the camera does; what is buffered then is let go
    settings : to lock before the camera settles the rest. What it settled on holds for all later openings
    when_behind : what to do with a full buffer: drop its oldest frame, drop the new one, or let the camera
        wait. By default the oldest is dropped of a camera that is paced, and others wait, which loses nothing
    buffer_frames : held at most, besides the one being grabbed
    grab_timeout_s : without a frame for so long, a camera that is paced has stalled
    open_timeout_s : until it is open and settled
    back_off_s : between two attempts to open it anew, the first time and at most; doubled each time
    give_up_s : of an outage, from its first failure on
    first_index : index of the first frame, where others were counted before
    done : names of frames of files, and of the simulator, that were taken before and are passed over; what is
        buffered joins them. `edge.run.cameras.open_camera` does not even read them if it is given the same set
    clock, wait_for : monotonic time in s; waits for a condition until a predicate holds, at most so many s

    Raises
    ------
    CameraError
        The camera could not be opened at the beginning, or an outage lasted too long.
    """
    if buffer_frames < 1:
        raise ValueError(f"a buffer of {buffer_frames} frames: must be at least 1")
    done = set() if done is None else done
    index, dropped = first_index, 0
    name, shape = "", None
    failing_since: float | None = None
    pause_s = back_off_s[0]
    hanging: list[_Grabber] = []
    while True:
        grabber = _Grabber(
            open_, settings, when_behind, buffer_frames, open_timeout_s, grab_timeout_s, done, clock, wait_for
        )
        taken = 0
        try:
            while True:
                entry = grabber.take(stop)
                if entry is None:
                    return
                frame = entry.frame
                dropped += entry.number - taken
                taken = entry.number + 1
                if grabber.paced:
                    shape = _check(frame, shape, grabber.name)
                    frame = replace(frame, name=f"{grabber.name}#{index}")
                failing_since, pause_s = None, back_off_s[0]
                if isinstance(frame, Frame):
                    late_ns = round((clock() - entry.since) * 1e9)
                    frame = replace(frame, dropped_before=dropped, late_ns=late_ns)
                    dropped = 0
                yield replace(frame, index=index)
                index += 1
        except CameraError as error:
            failure = error
        finally:
            grabber.leave()

        name = grabber.name or name
        if not name:
            raise failure
        settings = grabber.settings
        dropped += grabber.grabbed - taken
        if grabber.opened and not grabber.paced:  # it worked again, though there was nothing to give
            failing_since, pause_s = None, back_off_s[0]
        if failing_since is None:
            failing_since = clock()
            yield FailedFrame(f"{name}#{index}", index, str(failure))
            index += 1
        if clock() - failing_since >= give_up_s:
            raise CameraError(f"{failure}; given up after {give_up_s:g} s") from failure
        hanging = [left for left in [*hanging, grabber] if not left.closed]
        if len(hanging) > MOST_HANGING:
            raise CameraError(
                f"{failure}; it hung {len(hanging)} times: only a restart frees it"
            ) from failure
        _log.warning("%s; opened anew in %g s", failure, pause_s)
        until = clock() + pause_s
        with grabber.condition:
            while clock() < until and not stop.is_set():
                wait_for(grabber.condition, stop.is_set, SLICE_S)
        if stop.is_set():
            return
        pause_s = min(2 * pause_s, back_off_s[1])


def _check(frame: Frame | FailedFrame, shape: tuple[int, ...] | None, name: str) -> tuple[int, ...]:
    """Return a device's frame's shape.

    Raises
    ------
    CameraError
        It is no grey image, or not of the earlier frames' shape.
    """
    if isinstance(frame, FailedFrame):
        raise CameraError(f"{name}: {frame.reason}")
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        raise CameraError(f"{name}: sent what is no grey image")
    if shape is not None and image.shape != shape:
        sizes = (f"{width} x {height} px" for height, width in (image.shape, shape))
        raise CameraError(f"{name}: sent a frame of {' instead of '.join(sizes)}")
    return image.shape


@dataclass(frozen=True)
class _Entry:
    """A frame in the buffer, its number among those that the camera gave, and since when it waits."""

    frame: Frame | FailedFrame
    number: int
    since: float


class _Grabber:
    """One opening of a camera, and the thread that does everything with it; the rest is under `condition`.

    Attributes
    ----------
    name, paced : the camera's, once it is open; before, empty and true
    settings : to lock, then what the camera settled on
    opened : it is open and settled
    grabbed : frames that the camera gave, the dropped ones too
    closed : the thread has closed the camera and ends
    """

    def __init__(
        self,
        open_: Callable[[], Camera],
        settings: CameraSettings | None,
        when_behind: Policy | None,
        buffer_frames: int,
        open_timeout_s: float,
        grab_timeout_s: float,
        done: set[str],
        clock: _Clock,
        wait_for: _WaitFor,
    ) -> None:
        self.condition = threading.Condition()
        self.name, self.paced, self.settings = "", True, settings
        self.opened = self.closed = False
        self.grabbed = 0
        self._open, self._when_behind, self._buffer_frames = open_, when_behind, buffer_frames
        self._open_timeout_s, self._grab_timeout_s = open_timeout_s, grab_timeout_s
        self._done = done
        self._clock, self._wait_for = clock, wait_for
        self._buffer: deque[_Entry] = deque()
        self._alive_at = clock()
        self._ended = self._left = False
        self._error: CameraError | None = None
        # a daemon: the interpreter must not wait for a camera that hangs
        threading.Thread(target=self._run, name="camera", daemon=True).start()

    def take(self, stop: threading.Event) -> _Entry | None:
        """Wait for the next frame; None when the camera has ended or it is time to stop.

        Raises
        ------
        CameraError
            The camera failed, or hangs.
        """
        with self.condition:
            while not stop.is_set():
                if self._buffer:
                    entry = self._buffer.popleft()
                    # while the buffer was full the camera could not show that it lives
                    self._alive_at = self._clock()
                    self.condition.notify_all()
                    return entry
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                limit_s = self._limit_s()
                if self._clock() - self._alive_at > limit_s:
                    what = f"{self.name}: no frame" if self.opened else "the camera did not open and settle"
                    raise CameraTimeoutError(f"{what} for {limit_s:g} s")
                self._wait_for(self.condition, self._has_news, SLICE_S)
            return None

    def leave(self) -> None:
        """Have the camera closed, and wait for that a while."""
        with self.condition:
            self._left = True
            self.condition.notify_all()
            self._wait_for(self.condition, lambda: self.closed, CLOSE_S)

    def _has_news(self) -> bool:
        return bool(self._buffer) or self._error is not None or self._ended

    def _limit_s(self) -> float:
        if not self.opened:
            # beyond its own timeout: it says better what it waits for
            return self._open_timeout_s + self._grab_timeout_s
        return self._grab_timeout_s if self.paced else max(self._grab_timeout_s, FILE_TIMEOUT_S)

    def _run(self) -> None:
        error: CameraError | None = None
        try:
            self._use(self._open())
        except CameraError as failure:
            error = failure
        except MemoryError:
            error = CameraError(f"{self.name or 'the camera'}: no memory for frames of this size")
        except Exception as failure:
            # whatever a driver raises: a thread that ended unseen would have the others wait
            error = CameraError(f"{self.name or 'the camera'}: {type(failure).__name__}: {failure}")
        with self.condition:
            self._error, self.closed = error, True
            self.condition.notify_all()

    def _use(self, camera: Camera) -> None:
        end = self._alive_at + self._open_timeout_s
        try:
            if self.settings is not None:
                camera.apply(self.settings, end - self._clock())
            settings = camera.settle(end - self._clock())
            with self.condition:
                self.name, self.paced, self.settings = camera.name, camera.paced, settings
                self.opened, self._alive_at = True, self._clock()
            while not self._left:
                try:
                    frame = camera.grab(SLICE_S)
                except CameraTimeoutError:
                    if not self.paced:  # nothing new, which is no bad sign
                        self._alive_at = self._clock()
                    continue
                if frame is None:
                    self._ended = True
                    break
                self._put(frame)
        finally:
            camera.close()

    def _put(self, frame: Frame | FailedFrame) -> None:
        policy = self._when_behind or ("drop-oldest" if self.paced else "wait")
        with self.condition:
            if policy == "wait":
                self.condition.wait_for(lambda: self._left or len(self._buffer) < self._buffer_frames)
            if self._left:
                return
            entry = _Entry(frame, self.grabbed, self._clock())
            self._alive_at = entry.since
            if not self.paced:
                if frame.name in self._done:
                    return
                self._done.add(frame.name)
            self.grabbed += 1
            if len(self._buffer) == self._buffer_frames:
                if policy == "drop-newest":
                    return
                self._buffer.popleft()
            self._buffer.append(entry)
            self.condition.notify_all()
