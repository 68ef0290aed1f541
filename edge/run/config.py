"""The count's configuration: all that is decided before the first frame.

Each field states its description, range, default and command-line option once. The options of ``leuko count``
and ``leuko camera``, the parameters in a session's header, the comparison when a session is resumed, and the
device profile's keys derive from these fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.base import ANY_CHARACTER, PIXELS_UM, LiveOptions, SessionConfig, declare
from edge.capture import CameraSettings, PlaneChoice
from edge.count import StopRule
from edge.find import Gates

FROM_CALIBRATION = "from the calibration"
"""The value of `CountConfig.pixel_from` for a calibrated pixel size, which is for frames of one size."""

_ANY_TEXT: dict[str, Any] = {"characters": ANY_CHARACTER, "max_length": 100_000}  # as in file names
_SHORT_TEXT = _ANY_TEXT | {"max_length": 200}


@dataclass(frozen=True, kw_only=True)
class CameraConfig(LiveOptions):
    """A camera instead of files."""

    name: str = declare(
        "Camera instead of SOURCE: picamera2, v4l2:N, watch:FOLDER, video:FILE or simulate;"
        " leuko camera list names those of this machine",
        option="--camera",
        **_ANY_TEXT,
    )
    size: tuple[int, int] | None = declare(
        "Frame size in px; by default the largest", 1, default=None, form="WIDTHxHEIGHT"
    )
    sensor_bits: int | None = declare(
        "Bits per sample of a Raspberry Pi sensor's mode, which must be of that size; by default the most",
        8,
        16,
        default=None,
    )

    wait: bool = declare(
        "Wait for a camera that is not there yet, instead of ending with an error",
        default=False,
        option="--wait-for-camera",
    )

    @property
    def settings(self) -> CameraSettings:
        """What to lock before the camera settles the rest."""
        return CameraSettings(self.exposure_us, self.gain)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What the results depend on, apart from the frames, the bundle and the calibration."""

    pixel_um: float = declare(
        "Side of a frame's pixel in the specimen, µm; by default the calibration's, else the files', else"
        " the bundle's",
        *PIXELS_UM,
    )
    reject_below: float = declare(
        "Best probability below which a cell is rejected; by default the bundle's", 0, 1
    )
    bit_depth: int = declare("Bits in use of a 16-bit sample", 9, 16, default=16)
    each_once: Literal["scan", "flow"] | None = declare(
        "Count a cell that several frames show once: frames of a scan that overlap, or cells that flow by",
        default=None,
    )
    count_repeats: bool = declare(
        "Also count frames that show the same field again; by default they are listed, and not counted",
        default=False,
    )
    planes: PlaneChoice = declare("Which pages of an image file stand for a field", default=PlaneChoice())
    gates: Gates = declare("Which bodies are cells", default=Gates())


@dataclass(frozen=True, kw_only=True)
class CountConfig:
    """What is counted, how, and until when."""

    sources: tuple[str, ...] = declare("Files, folders and globs; of a camera its name", **_ANY_TEXT)
    folder: str = declare("Folder that relative names start from", **_ANY_TEXT)
    files: tuple[str, ...] | None = declare(
        "Files that the sources name at the beginning; null for a camera", **_ANY_TEXT
    )
    report: str | None = declare("Folder of the report, if there is one", default=None, **_ANY_TEXT)
    camera: CameraConfig | None = declare("A camera instead of files", default=None)
    bundle: str = declare(
        "Model: a shipped name or a .tflite file; by default the one that device.toml names", **_ANY_TEXT
    )
    calibration: str | None = declare(
        "Calibration of the microscope: pixel size, flat field, volume, quality limits; by default a camera"
        " uses this device's, and files none",
        default=None,
        form="FILE",
        **_ANY_TEXT,
    )
    pixel_from: str = declare("Where the pixel size is from, in words")
    analysis: Analysis = declare("What the results depend on")
    max_megapixels: float | None = declare(
        "Megapixels above which an image is not decoded; by default as many as memory holds, at most 50",
        0,
        low_open=True,
        default=None,
    )
    stop_rule: StopRule = declare("What ends the count", default=StopRule())
    sample_id: str = declare(
        "Name of the sample, kept in the session", default="", option="--sample", **_SHORT_TEXT
    )
    operator: str = declare("Name of the operator, kept in the session", default="", **_SHORT_TEXT)
    session: SessionConfig = declare("What is kept", default=SessionConfig())

    @property
    def calibrated_pixel(self) -> bool:
        """Whether the pixel size is the calibration's."""
        return self.pixel_from == FROM_CALIBRATION

    @property
    def root(self) -> Path:
        """Folder that relative names start from."""
        return Path(self.folder)
