"""Frames from a camera without end: buffered, dropped whole when counting is slower, resumed after outages.

A camera may hang, stall, vanish or send something that is not a frame. None of this blocks or ends the
consumer: the camera is closed, or left alone with its thread if closing hangs, and opened again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np

from edge.base import FailedFrame, Frame
from edge.capture.camera import Camera, CameraAbsentError, CameraError
from edge.capture.grabber import SLICE_S, Clock, Grabber, LiveSettings, Taken

MOST_HANGING = 3
"""Most threads that may hang; after that only a new process helps."""

WAIT_S = 4.0
"""Pause before a camera that is not there yet is looked for again: less than half of any watchdog's time."""

_log = logging.getLogger(__name__)


def live_frames(
    open_: Callable[[], Camera],
    *,
    stop: threading.Event,
    settings: LiveSettings | None = None,
    first_index: int = 0,
    done: set[str] | None = None,
    clock: Clock | None = None,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Generator[Frame | FailedFrame, None, None]:
    """Yield the frames of a camera in order, until it ends or `stop` is set.

    A camera that has once opened and settled survives its failures: each outage is yielded as one
    `FailedFrame`, and the camera is opened again, with the settings that it first settled on, until frames
    come. A camera that never opened raises a CameraError at once, because its name may be wrong, unless it is
    absent and to be waited for; so does an outage that lasts too long.

    Parameters
    ----------
    open_ : callable
        Opens the camera, in the grabbing thread.
    stop : threading.Event
        Ends the frames within a second, whatever the camera does; buffered frames are then discarded.
    done : set of str
        Names of frames of files, and of the simulator, that are passed over; buffered frames join them.
        `edge.run.open_camera` does not even read them if it gets the same set.
    on_wait : callable
        Takes why the camera is absent, again every few seconds.
    """
    settings, clock = settings or LiveSettings(), clock or Clock()
    done = set() if done is None else done
    frames, outage = _Frames(first_index), _Outage(settings, clock)
    hanging: list[Grabber] = []
    name = ""
    while True:
        grabber = Grabber(open_, settings, done, clock)
        try:
            while (taken := grabber.take(stop)) is not None:
                frame = frames.add(taken, grabber)
                outage.end()
                yield frame
            return
        except CameraError as error:
            failure = error
        finally:
            grabber.leave()

        name = grabber.name or name
        if not name:
            if not (settings.wait and isinstance(failure, CameraAbsentError)):
                raise failure
            on_wait(str(failure))
            if not _pause(WAIT_S, clock, stop):
                return
            continue
        settings = replace(settings, lock=grabber.locked)
        frames.dropped += grabber.untaken
        if grabber.opened and not grabber.paced:  # it worked again, although it had nothing to give
            outage.end()
        if outage.begin():
            yield frames.add_failure(name, failure)
        hanging = [left for left in [*hanging, grabber] if not left.closed]
        outage.check(failure, len(hanging))
        if not outage.back_off(failure, stop):
            return


class _Frames:
    """Numbers the frames handed on, counts those dropped between them, and checks those of a device."""

    def __init__(self, first_index: int) -> None:
        self.dropped = 0
        self._index = first_index
        self._shape: tuple[int, ...] | None = None

    def add(self, taken: Taken, grabber: Grabber) -> Frame | FailedFrame:
        """Return a frame with its index, drops and delay, and from a device with its name.

        Raises
        ------
        CameraError
            If a device sent something that is not a frame.
        """
        self.dropped += taken.dropped_before
        frame = taken.frame
        if grabber.paced:
            self._check(frame, grabber.name)
            frame = replace(frame, name=f"{grabber.name}#{self._index}")
        if isinstance(frame, Frame):
            frame = replace(frame, dropped_before=self.dropped, late_ns=taken.late_ns)
            self.dropped = 0
        self._index += 1
        return replace(frame, index=self._index - 1)

    def add_failure(self, name: str, failure: CameraError) -> FailedFrame:
        """Return the frame that stands for an outage."""
        self._index += 1
        return FailedFrame(f"{name}#{self._index - 1}", self._index - 1, str(failure))

    def _check(self, frame: Frame | FailedFrame, name: str) -> None:
        """Refuse what is not a grey image of the size of the frames before it."""
        if isinstance(frame, FailedFrame):
            raise CameraError(f"{name}: {frame.reason}")
        image = frame.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
            raise CameraError(f"{name}: sent something that is not a grey image")
        if self._shape not in (None, image.shape):
            sizes = (f"{width} x {height} px" for height, width in (image.shape, self._shape or ()))
            raise CameraError(f"{name}: sent a frame of {' instead of '.join(sizes)}")
        self._shape = image.shape


class _Outage:
    """Time since a camera failed, and the growing pauses between attempts to open it."""

    def __init__(self, settings: LiveSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.end()

    def end(self) -> None:
        """Note that the camera works."""
        self._since: float | None = None
        self._pause_s = self._settings.back_off_s[0]

    def begin(self) -> bool:
        """Note a failure; return whether it is the first one of an outage."""
        if self._since is not None:
            return False
        self._since = self._clock.now()
        return True

    def check(self, failure: CameraError, hanging: int) -> None:
        """Raise a CameraError if the outage has lasted too long, or too many threads hang."""
        limit_s = self._settings.give_up_s
        if self._since is not None and self._clock.now() - self._since >= limit_s:
            raise CameraError(f"{failure}; given up after {limit_s:g} s") from failure
        if hanging > MOST_HANGING:
            raise CameraError(f"{failure}; it hung {hanging} times: only a restart frees it") from failure

    def back_off(self, failure: CameraError, stop: threading.Event) -> bool:
        """Pause before the next attempt; return False if `stop` was set meanwhile."""
        _log.warning("%s; opening it again in %g s", failure, self._pause_s)
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, self._settings.back_off_s[1])
        return _pause(pause_s, self._clock, stop)


def _pause(seconds: float, clock: Clock, stop: threading.Event) -> bool:
    """Wait; return False if `stop` was set meanwhile."""
    until, condition = clock.now() + seconds, threading.Condition()
    with condition:
        while clock.now() < until and not stop.is_set():
            clock.wait_for(condition, stop.is_set, SLICE_S)
    return not stop.is_set()
