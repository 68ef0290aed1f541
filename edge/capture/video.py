"""``video:FILE``: a recording as a camera; it gives each frame once and then ends."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edge.base import FailedFrame, Frame
from edge.capture.camera import CameraError
from edge.capture.frames import read_frames
from edge.capture.recorded import Recorded


class VideoCamera(Recorded):
    """The frames of a video or a TIFF stack, as fast as they are asked for.

    Parameters
    ----------
    root, done : see `edge.run.cameras.open_camera`
    """

    def __init__(self, file: Path, *, root: Path = Path(), done: Collection[str] = frozenset()) -> None:
        super().__init__(f"video:{file}")
        if not (root / file).is_file():
            raise CameraError(f"{file}: no such file")
        self._frames = read_frames([file], root=root)
        self._done = done

    def grab(self, timeout_s: float) -> Frame | FailedFrame | None:
        """Give the next frame that is not done, None after the last."""
        return next((frame for frame in self._frames if frame.name not in self._done), None)
