"""One opening of a camera, and the thread that opens it, grabs its frames and closes it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.base import FailedFrame, Frame, Policy
from edge.capture.camera import Camera, CameraError, CameraSettings, CameraTimeoutError

SLICE_S = 0.1
"""Longest wait between two checks of whether to stop."""

CLOSE_S = 0.7
"""Longest wait for a camera to close."""

OPENING_FRAMES = 56
"""Twice the frames that pass while settings are locked and the automatics converge; see `PiCamera`."""

FILE_TIMEOUT_S = 60.0
"""Time after which reading a file, or simulating a frame, counts as hanging."""


@dataclass(frozen=True)
class LiveSettings:
    """How the frames of a camera are taken.

    Attributes
    ----------
    lock : CameraSettings
        Settings to lock before the camera settles the others.
    when_behind : Policy or None
        What to do when the buffer is full: drop its oldest frame, drop the new frame, or let the camera wait.
        By default a paced camera drops the oldest frame; others wait, which loses nothing.
    buffer_frames : int
        Most frames held, besides the one being grabbed.
    grab_timeout_s : float
        Time without a frame after which a paced camera has stalled.
    open_timeout_s : float
        Time for a camera to open and settle at a short exposure; see `opening_s`.
    back_off_s : (float, float)
        First and longest pause before the camera is opened again; each pause is twice the one before.
    give_up_s : float
        Longest outage, counted from its first failure.
    wait : bool
        Whether to wait for a camera that is not there at the beginning.
    """

    lock: CameraSettings = field(default_factory=CameraSettings)
    when_behind: Policy | None = None
    buffer_frames: int = 4
    grab_timeout_s: float = 5.0
    open_timeout_s: float = 30.0
    back_off_s: tuple[float, float] = (0.5, 8.0)
    give_up_s: float = 60.0
    wait: bool = False

    @property
    def opening_s(self) -> float:
        """Time for a camera to open and settle at the exposure that is locked."""
        return self.open_timeout_s + OPENING_FRAMES * (self.lock.exposure_us or 0) / 1e6

    def __post_init__(self) -> None:
        if self.buffer_frames < 1:
            raise ValueError(f"a buffer of {self.buffer_frames} frames: must be at least 1")


@dataclass(frozen=True)
class Clock:
    """Monotonic time in s, and a wait for a condition until a predicate holds or so many s have passed."""

    now: Callable[[], float] = time.monotonic
    wait_for: Callable[[threading.Condition, Callable[[], bool], float], bool] = threading.Condition.wait_for


@dataclass(frozen=True)
class Taken:
    """A frame, the frames dropped since the one taken before it, and its time in the buffer."""

    frame: Frame | FailedFrame
    dropped_before: int
    late_ns: int


@dataclass(frozen=True)
class _Entry:
    """A frame in the buffer, its number among the camera's frames, and the time of its arrival in s."""

    frame: Frame | FailedFrame
    number: int
    arrived: float


class Grabber:
    """One opening of a camera. Its thread alone calls the camera; `condition` guards everything shared.

    Attributes
    ----------
    name, paced
        The camera's once it is open; before, empty and true.
    locked : CameraSettings
        Settings to lock, and once the camera has settled, those that it settled on.
    opened : bool
        Whether the camera is open and has settled.
    closed : bool
        Whether the thread has closed the camera and ends.
    """

    def __init__(
        self, open_: Callable[[], Camera], settings: LiveSettings, done: set[str], clock: Clock
    ) -> None:
        self.condition = threading.Condition()
        self.name, self.paced, self.locked = "", True, settings.lock
        self.opened = self.closed = False
        self._open, self._settings, self._done, self._clock = open_, settings, done, clock
        self._buffer: deque[_Entry] = deque()
        self._grabbed = self._taken = 0
        self._alive_at = clock.now()
        self._ended = self._left = False
        self._error: CameraError | None = None
        # a daemon: the interpreter must not wait for a camera that hangs
        threading.Thread(target=self._run, name="camera", daemon=True).start()

    @property
    def untaken(self) -> int:
        """Frames that the camera gave and nobody took."""
        return self._grabbed - self._taken

    def take(self, stop: threading.Event) -> Taken | None:
        """Wait for the next frame and return it; None when the camera has ended or `stop` is set.

        Raises
        ------
        CameraError
            If the camera failed or hangs.
        """
        with self.condition:
            while not stop.is_set():
                if self._buffer:
                    return self._pop()
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                self._check_alive()
                self._clock.wait_for(self.condition, self._has_news, SLICE_S)
            return None

    def leave(self) -> None:
        """Ask the thread to close the camera, and wait `CLOSE_S` at most."""
        with self.condition:
            self._left = True
            self.condition.notify_all()
            self._clock.wait_for(self.condition, lambda: self.closed, CLOSE_S)

    def _pop(self) -> Taken:
        entry = self._buffer.popleft()
        dropped, self._taken = entry.number - self._taken, entry.number + 1
        # while the buffer was full the camera could not show that it is alive
        self._alive_at = self._clock.now()
        self.condition.notify_all()
        return Taken(entry.frame, dropped, round((self._alive_at - entry.arrived) * 1e9))

    def _check_alive(self) -> None:
        settings = self._settings
        if not self.opened:
            # the camera's own timeout comes first: its message says more
            limit_s, what = (
                settings.opening_s + settings.grab_timeout_s,
                "the camera did not open and settle",
            )
        else:
            limit_s, what = settings.grab_timeout_s, f"{self.name}: no frame"
            if not self.paced:
                limit_s = max(limit_s, FILE_TIMEOUT_S)
        if self._clock.now() - self._alive_at > limit_s:
            raise CameraTimeoutError(f"{what} for {limit_s:g} s")

    def _has_news(self) -> bool:
        return bool(self._buffer) or self._error is not None or self._ended

    def _run(self) -> None:
        """Use the camera until it fails, ends or is left; this is the thread."""
        error: CameraError | None = None
        try:
            self._use(self._open())
        except CameraError as failure:
            error = failure
        except MemoryError:
            error = CameraError(f"{self.name or 'the camera'}: no memory for frames of this size")
        except Exception as failure:
            # a driver may raise anything; if the thread ended silently, others would wait for it
            error = CameraError(f"{self.name or 'the camera'}: {type(failure).__name__}: {failure}")
        with self.condition:
            self._error, self.closed = error, True
            self.condition.notify_all()

    def _use(self, camera: Camera) -> None:
        try:
            self._settle(camera)
            while not self._left:
                try:
                    frame = camera.grab(SLICE_S)
                except CameraTimeoutError:
                    if not self.paced:  # no new file is not a stall
                        self._alive_at = self._clock.now()
                    continue
                if frame is None:
                    self._ended = True
                    break
                self._put(frame)
        finally:
            camera.close()

    def _settle(self, camera: Camera) -> None:
        end = self._alive_at + self._settings.opening_s
        if self.locked != CameraSettings():
            camera.apply(self.locked, end - self._clock.now())
        settled = camera.settle(end - self._clock.now())
        with self.condition:
            self.name, self.paced, self.locked = camera.name, camera.paced, settled
            self.opened, self._alive_at = True, self._clock.now()

    def _put(self, frame: Frame | FailedFrame) -> None:
        """Buffer a frame, or drop one when the buffer is full."""
        policy = self._settings.when_behind or ("drop-oldest" if self.paced else "wait")
        size = self._settings.buffer_frames
        with self.condition:
            if policy == "wait":
                self.condition.wait_for(lambda: self._left or len(self._buffer) < size)
            if self._left:
                return
            self._alive_at = self._clock.now()
            if not self.paced:
                if frame.name in self._done:
                    return
                self._done.add(frame.name)
            entry = _Entry(frame, self._grabbed, self._alive_at)
            self._grabbed += 1
            if len(self._buffer) == size:
                if policy == "drop-newest":
                    return
                self._buffer.popleft()
            self._buffer.append(entry)
            self.condition.notify_all()
