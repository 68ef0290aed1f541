"""The device profile: one TOML file that describes an instrument, version 1.

Every key is declared once, with its range and meaning. A new profile, its check and the documentation derive
from these declarations. What a calibration measures stays in the calibration's own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from edge.base import LiveOptions, Policy, SessionConfig, StopLimits, declare, redeclare
from firmware_config.hardware import BOARDS, RELEASES, SENSORS

VERSION = 1

HOME = "/var/lib/leuko"
"""Folder of the count service's state on the device."""

Value = str | int | float | bool

_LINE: Mapping[str, Any] = {
    "pattern": r"[^\\]*",
    "max_length": 80,
    "form": "one line, at most 80 characters, no backslash",
}
"""What one line of a unit file can hold: a backslash at its end would join it to the next."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """The computer."""

    board: str = declare("Raspberry Pi model", choices=tuple(BOARDS))
    ram_mb: int | None = declare(
        "Memory of this version of the board, MB (1 GB is 1024); by default that of the smallest version",
        512,
        16_384,
        default=None,
    )
    release: str = declare("Release of Raspberry Pi OS Lite, 64 bit", choices=tuple(RELEASES))


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The camera and its exposure."""

    sensor: str = declare("Camera model", choices=tuple(SENSORS))
    overlay: str = declare(
        "Device tree overlay and its parameters; empty for none",
        pattern=r"([a-z0-9-]+(,[a-z0-9-]+(=[A-Za-z0-9_]+)?)*)?",
        form="an overlay and its parameters, separated by commas",
        default="",
    )
    number: int = declare(
        "Number of the camera in leuko camera list; seed of the simulator", 0, 63, default=0
    )
    width_px: int = declare("Width of the sensor mode", 16, 20_000)
    height_px: int = declare("Height of the sensor mode", 16, 20_000)
    bit_depth: int = declare("Bits per sample of the sensor mode", 8, 16)
    pitch_um: float | None = declare(
        "Side of a pixel on the sensor, µm; needed for USB cameras only", 0.3, 50, default=None
    )
    exposure_us: int | None = redeclare(LiveOptions, "exposure_us", 20, 1_000_000)
    gain: float | None = redeclare(LiveOptions, "gain", 0.01, 1000)
    buffer_frames: int = redeclare(LiveOptions, "buffer_frames")
    camera_buffers: int | None = redeclare(LiveOptions, "camera_buffers")
    when_behind: Policy | None = redeclare(LiveOptions, "when_behind")


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The microscope. What was measured is in the calibration."""

    objective: str = declare("Objective, in your own words", **_LINE)
    magnification: float = declare("Magnification from specimen to sensor, adapters included", 0.1, 200)
    chamber: str = declare("Counting chamber, in your own words", **_LINE)
    motion: str = declare(
        "Relation of consecutive frames: separate fields, a scan whose frames overlap, or cells that flow by",
        choices=("fields", "scan", "flow"),
        default="fields",
    )
    calibration: str | None = declare(
        "File that leuko calibrate writes on the device: pixel size, illumination, depth, quality limits; by "
        "default the pixel size is computed from the sensor and the magnification",
        characters="[A-Za-z0-9_./+-]",  # they need no quoting in a unit's command
        max_length=200,
        pattern="/.*",
        form="an absolute path of letters, digits and _ . / + -",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The model."""

    file: str = declare(
        "Shipped name, or a .tflite file relative to the profile's folder",
        max_length=200,
        form="a name or a path",
    )
    sha256: str = declare(
        "SHA-256 of the bundle, as leuko bundle show prints it",
        pattern="[0-9A-Fa-f]{64}",
        form="64 hexadecimal digits",
    )


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """What ends a count, whichever comes first."""

    until_cells: int | None = redeclare(StopLimits, "until_cells", 1, 1_000_000)
    until_halfwidth: float | None = redeclare(StopLimits, "until_halfwidth", 0.001, 0.5)
    until_seconds: float | None = redeclare(StopLimits, "until_seconds", 1, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What is written, and where."""

    keep_crops: bool = redeclare(SessionConfig, "keep_crops")
    journal_mb: int = declare("Largest size of the journal, MB", 8, 4096, default=64)
    read_only_root: bool = declare(
        "Write to the data partition only and forget everything else at power-off", default=False
    )
    data_partition: str | None = declare(
        f"ext4 partition, mounted on {HOME}",
        pattern=r"(LABEL|PARTLABEL|UUID|PARTUUID)=[A-Za-z0-9_-]{1,40}",
        form="LABEL=, PARTLABEL=, UUID= or PARTUUID= and a name",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Console:
    """The page that an operator opens in a browser."""

    enabled: bool = declare("Serve the console; this version has none and refuses true", default=False)
    interface: str = declare(
        "Network interface that serves it; lo for this device only",
        pattern=r"[a-z][a-z0-9._-]{0,14}",
        form="an interface's name",
        default="lo",
    )
    port: int = declare("TCP port", 1024, 65_535, default=8080)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The count as a service."""

    start_at_boot: bool = declare("Start or resume the count when the device starts", default=True)
    threads: int | None = declare("Frames processed at a time; by default one per core", 1, 64, default=None)
    memory_mb: int = declare("Largest memory of the service, MiB", 128, 16_384, default=400)
    give_up_s: float = redeclare(LiveOptions, "give_up_s", 1, 3600)
    watchdog_s: int = declare("Seconds without a frame after which it restarts", 10, 3600, default=90)
    restart_s: int = declare("Seconds to wait before a restart", 1, 600, default=5)


@dataclass(frozen=True, kw_only=True)
class Watchdog:
    """The timer in the chip that resets a device whose kernel hangs."""

    # current images ship 60 s (raspberrypi-sys-mods, 40-rpi-enable-watchdog.conf); the chip counts 15 s, and
    # the kernel pings it for longer times (drivers/watchdog/bcm2835_wdt.c); see also systemd-system.conf(5)
    hardware_s: int = declare("Seconds until the reset; 0 turns it off", 0, 120, default=60)


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """An instrument."""

    device: Device
    camera: Camera
    optics: Optics
    bundle: Bundle
    plan: StopRule
    storage: Storage
    console: Console
    service: Service
    watchdog: Watchdog

    @property
    def pixel_um(self) -> float | None:
        """Side of a pixel in the specimen by pitch and magnification; None if the pitch is unknown."""
        camera, sensor = self.camera, SENSORS[self.camera.sensor]
        mode = sensor.mode(camera.width_px, camera.height_px, camera.bit_depth)
        pitch_um = sensor.pitch_um or camera.pitch_um
        if pitch_um is None:
            return None
        return pitch_um * (mode.binning if mode else 1) / self.optics.magnification


SECTIONS: Mapping[str, type[Any]] = get_type_hints(DeviceProfile)
"""Name → what it declares, in order."""
