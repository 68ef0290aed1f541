"""The boards, cameras and releases of Raspberry Pi OS that a profile may name."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


CORES = 4
"""Of every board here: the "processors" page of Raspberry Pi's documentation."""


@dataclass(frozen=True)
class Board:
    """A Raspberry Pi.

    Attributes
    ----------
    connectors : tuple of str
        Overlay parameters that choose a camera connector; empty if it has only one.
    versions_mb : tuple of int
        Memory of its versions as they are sold (1 GB is 1024), the smallest first.
    contiguous_mb : int or None
        Contiguous memory that is free for a camera, MB of 1e6 bytes; None if its camera needs none.
    buffers : int or None
        Frames in the camera's memory that a new profile asks for; None for the usual number.
    """

    description: str
    connectors: tuple[str, ...]
    versions_mb: tuple[int, ...]
    contiguous_mb: int | None = None
    buffers: int | None = None


@dataclass(frozen=True)
class Mode:
    """What a sensor reads out; it adds up binning × binning pixels."""

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
    camera : str
        Kind of camera in ``leuko count --camera`` that reads it.
    overlay, parameters : str, tuple of str
        Device tree overlay that drives it, and its parameters apart from the board's connectors.
    pitch_um, gain : float or None, (float, float) or None
        Side of a pixel on the sensor and range of the sensor gain; None if they depend on the model.
    modes : tuple of Mode
        As libcamera lists them, the full resolution last; empty if unknown.
    devices : tuple of str
        Kinds of device nodes, as in /proc/devices, that it needs.
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
        """Return the mode of that size and depth; None if there is none, or none is known."""
        size = (width_px, height_px, bit_depth)
        return next((m for m in self.modes if (m.width_px, m.height_px, m.bit_depth) == size), None)


@dataclass(frozen=True)
class Release:
    """A release of Raspberry Pi OS: boot partition's folder, versions, what a read-only root needs.

    Attributes
    ----------
    masked : tuple of str
        Units that would write to the root.
    swap : str or None
        File that configures rpi-swap, where swap is its work: Trixie's.
    """

    boot: str
    python: str
    systemd: int
    masked: tuple[str, ...]
    swap: str | None = None


# Versions: "New-style revision codes in use" of Raspberry Pi's documentation (revision-codes.adoc, 0456a78).
# Contiguous memory: CmaFree as people report it. Of a Pi 5 camera and ISP have IOMMUs (raspberrypi/linux,
# bcm2712-rpi-5-b.dts and raspberrypi,pispbe.yaml), and picamera2's frames are from the system heap
# (60-dma-heap.rules, quoted in picamera2 issue 1130).
BOARDS = {
    # 256 MiB as on the Zero 2 W (raspberrypi/linux, cma-overlay.dts) with twice the memory: its better report
    "pi3": Board("Raspberry Pi 3 Model B or B+", (), (1024,), contiguous_mb=155, buffers=2),
    # 441,276 of 524,288 kB: picamera2 issue 972
    "pi4": Board("Raspberry Pi 4 Model B", (), (1024, 2048, 4096, 8192), contiguous_mb=451),
    "pi5": Board("Raspberry Pi 5", ("cam0", "cam1"), (1024, 2048, 4096, 8192, 16384)),
    # 82,800 or 151,876 of 262,144 kB: picamera2 issue 1358
    "zero2w": Board("Raspberry Pi Zero 2 W", (), (512,), contiguous_mb=84, buffers=2),
}

_CSI_DEVICES = ("video4linux", "media", "dma_heap")
_COMMON = ("rotation", "orientation", "media-controller", "always-on")
_UPDATES = ("apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "dpkg-db-backup.timer")
# it writes /etc; systemd-timesyncd keeps the time on the data partition
_CLOCK = ("fake-hwclock.service", "fake-hwclock-save.service", "fake-hwclock-save.timer")

# overlays with their parameters: Raspberry Pi's kernel 6.12, arch/arm/boot/dts/overlays/README; modes: the
# tables of drivers/media/i2c/imx477.c, imx296.c and imx708.c there; gains: the drivers' limits through
# libcamera 0.7.1, src/ipa/rpi/cam_helper; pitches: Raspberry Pi documentation, camera hardware
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
        # gain code 239 at most, though the sensor has 480: src/ipa/rpi/cam_helper/cam_helper_imx296.cpp
        (1.0, 15.66),
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
    # as edge.simulate.camera: a 40x objective and pixels of 0.125 µm in the specimen
    "simulated": Sensor("simulated frames, without a camera", "simulate", "", (), 5.0, (Mode(820, 616, 8),)),
}

RELEASES = {
    "bookworm": Release("boot/firmware", "3.11", 252, (*_UPDATES, *_CLOCK, "dphys-swapfile.service")),
    "trixie": Release(
        "boot/firmware",
        "3.13",
        257,
        (*_UPDATES, *_CLOCK, "rpi-remove-swap-file.service"),
        swap="etc/rpi/swap.conf.d/leuko.conf",
    ),
}
