"""What is counted, with what, and how: what is decided before the first frame, and kept with the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.calibration import Calibration, read_calibration, read_flat_field_gain
from edge.capture import CameraSettings, Policy, list_files
from edge.count import StopRule
from edge.model import Bundle, Manifest, load_bundle
from edge.session import Header

MAX_PIXEL_FACTOR = 1.4
"""From how many times a bundle's pixel, or from what part of it, a frame's pixel is remarked upon: objectives
are further apart, 40× and 60× at the least, and calibrations agree to a few percent."""


def odd_pixel(pixel_um: float, bundle: Manifest) -> str:
    """Say so if frames have another magnification than a bundle was trained at; empty if they have not."""
    factor = pixel_um / bundle.pixel_um
    if 1 / MAX_PIXEL_FACTOR <= factor <= MAX_PIXEL_FACTOR:
        return ""
    return (
        f"a pixel of {pixel_um:.4g} µm is {factor:.2g} times that of bundle {bundle.name} "
        f"({bundle.pixel_um:.4g} µm): check the calibration, and whether the bundle is for this objective"
    )


@dataclass(frozen=True, eq=False)
class Instrument:
    """What a job is carried out with.

    Attributes
    ----------
    bundle : names the cells
    calibration : how the microscope and its camera were calibrated, if they were
    gain : undoes the illumination, from the calibration's flat field
    """

    bundle: Bundle
    calibration: Calibration | None = None
    gain: NDArray[np.float32] | None = None

    @classmethod
    def load(cls, bundle: str, calibration: str | None) -> Instrument:
        """Load a bundle, by name or file, and a calibration, if one is named.

        Raises
        ------
        BundleError, ProfileError
            With one line, if one of them cannot be used.
        """
        loaded = load_bundle(bundle)
        if calibration is None:
            return cls(loaded)
        path = Path(calibration)
        read = read_calibration(path)
        gain = read_flat_field_gain(path.parent, read.flat_field) if read.flat_field else None
        return cls(loaded, read, gain)

    @property
    def calibrated(self) -> bool:
        """The calibration says what a frame's pixel is."""
        return self.calibration is not None and self.calibration.pixel is not None

    @property
    def pixel_um(self) -> float:
        """Side of a frame's pixel in the specimen, unless told: the calibration's, else the bundle's."""
        calibrated = self.calibration and self.calibration.pixel
        return calibrated.pixel_um if calibrated else self.bundle.manifest.pixel_um

    def size_px(self, *, calibrated_pixel: bool) -> tuple[int, int] | None:
        """Width and height that a frame must have; None if any will do.

        Parameters
        ----------
        calibrated_pixel : the pixel size is the calibration's, which holds for frames of one size
        """
        calibration = self.calibration or Calibration()
        sized = calibration.pixel if calibrated_pixel else calibration.flat_field
        return None if sized is None else (sized.width_px, sized.height_px)


@dataclass(frozen=True)
class CameraConfig:
    """A camera instead of files.

    Attributes
    ----------
    name, size : see `edge.run.cameras.open_camera`
    exposure_us, gain : to lock; the camera settles by itself where both are None
    buffer_frames, when_behind, give_up_s : see `edge.capture.live.live_frames`
    """

    name: str
    size: tuple[int, int] | None = None
    exposure_us: int | None = None
    gain: float | None = None
    buffer_frames: int = 4
    when_behind: Policy | None = None
    give_up_s: float = 60.0

    @property
    def settings(self) -> CameraSettings | None:
        """What to lock; None to let it settle."""
        asked = CameraSettings(self.exposure_us, self.gain)
        return None if asked == CameraSettings() else asked


@dataclass(frozen=True)
class CountConfig:
    """What is counted, how, and until when: all that is decided before the first frame.

    Attributes
    ----------
    bundle : shipped name or file
    calibration : file, or None without one
    sources : files, folders, globs (see `edge.capture.frames.list_files`); of a camera its name
    camera : instead of files
    pixel_um : side of a frame's pixel in the specimen
    calibrated_pixel : it is the calibration's, which holds for frames of one size
    reject_below : a cell whose best probability is smaller is rejected
    segmentation : keyword options of `edge.find.segmentation.segment`
    bit_depth, max_megapixels : see `edge.capture.frames.read_encoded`
    each_once : how cells seen in several frames are told, "scan" or "flow"; None for separate fields
    keep_crops : a session keeps what the network saw
    plan : what ends the count before the last frame
    """

    bundle: str
    calibration: str | None
    sources: tuple[str, ...]
    camera: CameraConfig | None
    pixel_um: float
    calibrated_pixel: bool
    reject_below: float
    segmentation: Mapping[str, Any]
    bit_depth: int
    max_megapixels: float
    each_once: Literal["scan", "flow"] | None
    keep_crops: bool
    plan: StopRule

    @property
    def parameters(self) -> dict[str, Any]:
        """What the results depend on, apart from frames and bundle, as JSON can hold it."""
        return {
            "pixel_um": self.pixel_um,
            "reject_below": self.reject_below,
            "bit_depth": self.bit_depth,
            "segmentation": dict(self.segmentation),
            "each_once": self.each_once,
        }

    def count_files(self) -> int | None:
        """Count the files that the sources name now; None of a camera, which has none."""
        return None if self.camera else len(list_files(self.sources))

    def header(self, instrument: Instrument, sample_id: str, operator: str) -> Header:
        """State it as a session keeps it; `job_of` reads it back."""
        bundle, calibration = instrument.bundle, instrument.calibration
        manifest = bundle.manifest
        return Header(
            sample_id=sample_id,
            operator=operator,
            bundle=f"{manifest.name} {manifest.version}",
            bundle_sha256=bundle.sha256,
            labels=manifest.labels,
            counted=manifest.counted,
            calibration_sha256=calibration.sha256 if calibration else None,
            parameters=self.parameters
            | {
                "bundle": self.bundle,
                "calibration": self.calibration,
                "calibrated_pixel": self.calibrated_pixel,
                "camera": self.camera and asdict(self.camera),
                "max_megapixels": self.max_megapixels,
                "keep_crops": self.keep_crops,
                "folder": str(Path.cwd()),
                "files": self.count_files(),
            },
            stop_rule=self.plan.stated(),
            sources=self.sources,
            software=f"leuko-edge {__version__}",
            started=datetime.now(UTC),
        )


def job_of(header: Header) -> CountConfig:
    """Read back what a session's header says was to be counted."""
    said = dict(header.parameters)
    del said["folder"], said["files"]
    camera = said.pop("camera")
    return CountConfig(
        sources=header.sources,
        camera=camera and CameraConfig(**camera | {"size": camera["size"] and tuple(camera["size"])}),
        plan=StopRule(**header.stop_rule),
        **said,
    )
