"""``watch:FOLDER``: files that another program writes into a folder, each read once when it is complete."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.base import FailedFrame, Frame, frame_name, is_frame_file, natural_order
from edge.capture.camera import CameraError, CameraTimeoutError
from edge.capture.frames import read_frames
from edge.capture.recorded import Recorded

POLL_S = 0.5
"""Time between two looks at the folder; where nothing waits, at least as long as a look took: of 300,000
files that were read one would follow another."""
STILL_S = 1.0
"""Time without a change of size and date after which a file counts as complete."""
PATIENCE_S = 10.0
"""Time after which an unreadable file counts as damaged; before, its writer may have paused."""

_Stamp = tuple[int, int, int]
"""Inode, size in bytes and modification time in ns of a file; they change when it is written."""


@dataclass
class _Waiting:
    """A file that may be incomplete, unchanged since a time in s, and its frames given so far."""

    stamp: _Stamp
    since: float
    failed: bool = False
    given: set[str] = field(default_factory=set)


class FolderCamera(Recorded):
    """The present and future images and videos of a folder, without its subfolders.

    A file is read when its size and date stop changing; what was read is discarded if they change meanwhile.
    A file that cannot be read is tried again for `PATIENCE_S`. Each name is taken once: a program that slowly
    writes a format without an end mark should write elsewhere and rename into the folder. If the folder
    vanishes, that is a `CameraError`. See `edge.run.open_camera` for `root`, `done` and `read`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        root: Path = Path(),
        done: Collection[str] = frozenset(),
        read: Callable[..., Iterator[Frame | FailedFrame]] = read_frames,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(f"watch:{folder}")
        self._folder, self._root = folder, root
        self._done, self._read_frames = done, read
        self._clock, self._wait = clock, wait
        self._waiting: dict[str, _Waiting] = {}
        self._finished: set[str] = set()
        self._ready: deque[str] = deque()
        self._frames: Iterator[Frame | FailedFrame] = iter(())
        self._poll()

    def grab(self, timeout_s: float) -> Frame | FailedFrame | None:
        """Return the next frame of a complete file; a folder never ends."""
        end = self._clock() + timeout_s
        while True:
            frame = next(self._frames, None)
            if frame is not None:
                return frame
            now = self._clock()
            if self._ready:
                self._frames = self._read(self._ready.popleft())
            elif now >= self._next_poll:
                self._poll()
            elif now >= end:
                raise CameraTimeoutError(f"{self._folder}: no new file")
            else:
                self._wait(min(self._next_poll, end) - now)

    def _poll(self) -> None:
        """List the files, and those that have stopped changing."""
        now = self._clock()
        seen: dict[str, _Waiting] = {}
        within = "" if self._folder == Path() else os.path.join(self._folder, "")  # noqa: PTH118
        try:
            with os.scandir(self._root / self._folder) as entries:
                for entry in entries:
                    path = within + entry.name
                    if not is_frame_file(entry.name) or (name := frame_name(path)) in self._finished:
                        continue
                    stamp = None if name in self._done else self._stamp(path)
                    if stamp is None:
                        continue
                    known = self._waiting.get(path) or _Waiting(stamp, now)
                    seen[path] = known if known.stamp == stamp else _Waiting(stamp, now, given=known.given)
        except OSError as error:
            raise CameraError(f"{self._folder}: {(error.strerror or str(error)).lower()}") from error
        self._waiting = seen
        looked = self._clock()
        self._next_poll = looked + (POLL_S if seen else max(POLL_S, looked - now))
        still = (
            path
            for path, file in seen.items()
            if now - file.since >= (PATIENCE_S if file.failed else STILL_S)
        )
        self._ready = deque(sorted(still, key=natural_order))

    def _read(self, path: str) -> Iterator[Frame | FailedFrame]:
        """Yield the frames of a file; end early, to read it again later, if it proves incomplete."""
        file = self._waiting[path]
        for frame in self._read_frames([path], root=self._root):
            if frame.name in self._done or frame.name in file.given:
                continue
            if self._stamp(path) != file.stamp:
                return
            if isinstance(frame, FailedFrame) and self._clock() - file.since < PATIENCE_S:
                file.failed = True
                return
            file.given.add(frame.name)
            yield frame
        self._finished.add(frame_name(path))
        del self._waiting[path]

    def _stamp(self, path: str) -> _Stamp | None:
        """Return the stamp of a path; None if it is not a regular file, or no longer there."""
        try:
            status = os.stat(os.path.join(self._root, path))  # noqa: PTH116, PTH118 (of each file, at each look)
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
