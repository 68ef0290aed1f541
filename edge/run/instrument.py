"""What a count is carried out with: the bundle, and the calibration of the microscope."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.calibration import Calibration, default_calibration_path, read_calibration, read_flat_field_gain
from edge.model import Bundle, load_bundle, shipped_bundles


@dataclass(frozen=True, eq=False)
class Instrument:
    """A bundle and a calibration, loaded.

    Attributes
    ----------
    calibration : Calibration
        An empty one where there is none.
    calibration_sha256 : str or None
        SHA-256 of the calibration's content; None where there is none.
    flat_field_gain : float32 [h, w] or None
        From the calibration's flat field.
    """

    bundle: Bundle
    calibration: Calibration = Calibration()
    calibration_sha256: str | None = None
    flat_field_gain: NDArray[np.float32] | None = None

    @classmethod
    def load(cls, bundle: str, calibration: str | None, root: Path = Path()) -> Instrument:
        """Load a bundle, by shipped name or file, and a calibration, if named; files start from `root`.

        Raises
        ------
        BundleError, CalibrationFileError
            If one of them cannot be used.
        """
        loaded = load_bundle(bundle if bundle in shipped_bundles() else root / bundle)
        if calibration is None:
            return cls(loaded)
        path = root / calibration
        read = read_calibration(path)
        gain = read_flat_field_gain(path.parent, read.flat_field) if read.flat_field else None
        return cls(loaded, read, read.sha256, gain)

    @property
    def calibrated(self) -> bool:
        """Whether the calibration states what a frame's pixel is."""
        return self.calibration.pixel is not None

    @property
    def pixel_um(self) -> float:
        """Side of a frame's pixel in the specimen: the calibration's, else the bundle's."""
        pixel = self.calibration.pixel
        return self.bundle.manifest.pixel_um if pixel is None else pixel.pixel_um

    def size_px(self, *, calibrated_pixel: bool) -> tuple[int, int] | None:
        """Return the width and height that a frame must have, see `Calibration.size_px`."""
        return self.calibration.size_px(calibrated_pixel=calibrated_pixel)


def camera_calibration(given: str | None, camera: str) -> str | None:
    """Return the calibration for a camera's frames: the given one, else this device's if it has one.

    A simulated camera is no device's.
    """
    path = default_calibration_path()
    own = given is None and path.exists() and kind_of(camera) != "simulate"
    return str(path) if own else given


def kind_of(camera: str) -> str:
    """Return the kind of a camera by its name: ``v4l2`` of ``v4l2:0``."""
    return camera.partition(":")[0]
