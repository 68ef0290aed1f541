"""What is known of the boards, the cameras and the releases of Raspberry Pi OS that a profile may name."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True)
class Board:
    """A Raspberry Pi.

    Attributes
    ----------
    description : as it is sold
    connectors : parameters of a camera's overlay that choose a connector; none on a board with one camera
    memory_mb : of the largest version
    """

    description: str
    connectors: tuple[str, ...]
    memory_mb: int


@dataclass(frozen=True)
class Mode:
    """What a sensor reads out: width and height in px, bits of a sample, px it adds up per side."""

    width_px: int
    height_px: int
    bit_depth: int
    binning: int = 1

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px} px at {self.bit_depth} bit"


@dataclass(frozen=True)
class Sensor:
    """A camera.

    Attributes
    ----------
    description : as it is sold
    camera : kind of camera of `edge.capture.camera` that reads it
    overlay : device tree overlay that drives it; empty where none is needed
    parameters : of that overlay, apart from the board's connectors
    pitch_um : side of a pixel on the sensor; None where it depends on the model
    modes : as libcamera lists them, the whole resolution last; none where they are not known
    gain : range on the sensor; None where it is the driver's own number
    devices : kinds of device nodes that the kernel lists in /proc/devices and the camera needs
    """

    description: str
    camera: str
    overlay: str = ""
    parameters: tuple[str, ...] = ()
    pitch_um: float | None = None
    modes: tuple[Mode, ...] = ()
    gain: tuple[float, float] | None = None
    devices: tuple[str, ...] = ()

    def mode(self, width_px: int, height_px: int, bit_depth: int) -> Mode | None:
        """The mode of that size and depth; None where there is none, or none is known."""
        asked = (width_px, height_px, bit_depth)
        found = (one for one in self.modes if (one.width_px, one.height_px, one.bit_depth) == asked)
        return next(found, None)


@dataclass(frozen=True)
class Release:
    """A release of Raspberry Pi OS.

    Attributes
    ----------
    boot : folder of the boot partition, from the root
    python : version of its Python
    masked : units that would go on writing to a read-only root
    """

    boot: str
    python: str
    masked: tuple[str, ...]


BOARDS = {
    "pi4": Board("Raspberry Pi 4 Model B", (), 8192),
    "pi5": Board("Raspberry Pi 5", ("cam0", "cam1"), 16384),
    "zero2w": Board("Raspberry Pi Zero 2 W", (), 512),
}

_CSI_DEVICES = ("video4linux", "media", "dma_heap")
_COMMON = ("rotation", "orientation", "media-controller", "always-on")
_UPDATES = ("apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "dpkg-db-backup.timer")

SENSORS = {
    "imx477": Sensor(
        "HQ Camera, Sony IMX477",
        "picamera2",
        "imx477",
        (*_COMMON, "link-frequency"),
        1.55,
        (Mode(1332, 990, 10, 2), Mode(2028, 1080, 12, 2), Mode(2028, 1520, 12, 2), Mode(4056, 3040, 12)),
        (1.0, 22.26),
        _CSI_DEVICES,
    ),
    "imx296": Sensor(
        "Global Shutter Camera, Sony IMX296",
        "picamera2",
        "imx296",
        (*_COMMON, "clock-frequency"),
        3.45,
        (Mode(1456, 1088, 10),),
        (1.0, 251.2),
        _CSI_DEVICES,
    ),
    "imx708": Sensor(
        "Camera Module 3, Sony IMX708",
        "picamera2",
        "imx708",
        (*_COMMON, "link-frequency", "vcm"),
        1.4,
        (Mode(1536, 864, 10, 2), Mode(2304, 1296, 10, 2), Mode(4608, 2592, 10)),
        (1.12, 16.0),
        _CSI_DEVICES,
    ),
    "usb": Sensor("USB camera", "v4l2", devices=("video4linux",)),
    # what edge.simulate.camera gives: a 40x objective and pixels of 0.125 µm in the specimen
    "simulated": Sensor("simulated frames, without a camera", "simulate", "", (), 5.0, (Mode(820, 616, 8),)),
}

RELEASES = {
    "bookworm": Release("boot/firmware", "3.11", (*_UPDATES, "dphys-swapfile.service")),
    "trixie": Release("boot/firmware", "3.13", _UPDATES),
}
