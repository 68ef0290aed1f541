"""Cameras whose frames are files: nothing can be set on them. ``video:FILE`` gives each frame once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.base import FailedFrame, Frame
from edge.capture.camera import CameraError, CameraSettings
from edge.capture.frames import read_frames


@dataclass
class Recorded:
    """Frames that exist already; see `edge.capture.camera.Camera` for the methods."""

    name: str
    paced = False

    def settle(self, timeout_s: float) -> CameraSettings:
        """Return no settings: recorded frames need no waiting."""
        return CameraSettings()

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Refuse any setting."""
        if settings != CameraSettings():
            raise CameraError(f"{self.name}: exposure, gain and white balance cannot be set on files")

    def close(self) -> None:
        """Nothing is held."""


class VideoCamera(Recorded):
    """The frames of a video or a TIFF stack, as fast as they are asked for; see `edge.run.open_camera`."""

    def __init__(
        self,
        file: Path,
        *,
        root: Path = Path(),
        done: Collection[str] = frozenset(),
        read: Callable[..., Iterator[Frame | FailedFrame]] = read_frames,
    ) -> None:
        super().__init__(f"video:{file}")
        if not (root / file).is_file():
            raise CameraError(f"{file}: no such file")
        self._frames = read([file], root=root)
        self._done = done

    def grab(self, timeout_s: float) -> Frame | FailedFrame | None:
        """Return the next frame that is not done, None after the last."""
        return next((frame for frame in self._frames if frame.name not in self._done), None)
