"""What cameras have in common whose frames were taken before: nothing can be set on them."""

from __future__ import annotations

from dataclasses import dataclass

from edge.capture.camera import CameraError, CameraSettings


@dataclass
class Recorded:
    """Frames that exist already; see `edge.capture.camera.Camera` for the methods."""

    name: str
    paced = False

    def settle(self, timeout_s: float) -> CameraSettings:
        """Recorded frames are as they are: nothing to wait for."""
        return CameraSettings()

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Refuse, as nothing can be set."""
        if settings != CameraSettings():
            raise CameraError(f"{self.name}: exposure, gain and white balance cannot be set on files")

    def close(self) -> None:
        """Nothing is held."""
