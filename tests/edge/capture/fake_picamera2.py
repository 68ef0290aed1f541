"""picamera2 with a sensor, for what libcamera's virtual camera lacks: controls that take effect frames later.

Automatic exposure and white balance approach their goal frame by frame; a control that is set shows in the
metadata `LAG` frames later, rounded to the sensor's rows and steps of gain; rows of the buffer are padded. No
frame comes before it is asked for, so nothing here takes time.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

LAG = 3
ROW_US = 18.9
PADDING = 24
GOAL = {"ExposureTime": 9_000.0, "AnalogueGain": 1.6, "Red": 2.1, "Blue": 1.7}


TUNINGS: Mapping[str, Mapping[str, Any]] = {
    "imx477.json": {
        "version": 2.0,
        "target": "pisp",
        "algorithms": [
            {"rpi.black_level": {"black_level": 4096}},
            {
                "rpi.alsc": {
                    "omega": 1.3,
                    "n_iter": 100,
                    "luminance_lut": [1.5, 1.2, 1.0],
                    "calibrations_Cr": [],
                }
            },
            {"rpi.cac": {"strength": 1.0, "lut_rx": [], "lut_ry": [], "lut_bx": [], "lut_by": []}},
            {"rpi.contrast": {"ce_enable": 1, "gamma_curve": [0, 0, 1024, 5040, 65535, 65535]}},
            {"rpi.sharpen": {"threshold": 0.25, "limit": 1.0, "strength": 1.0}},
        ],
    }
}
"""In the layout of libcamera's files, which are larger."""


class Job:
    def __init__(self, request: Request | None) -> None:
        self.request = request


class Request:
    def __init__(self, camera: Picamera2, metadata: dict[str, Any], grey: int) -> None:
        self.camera = camera
        self.config = {"main": dict(camera.configuration["main"])}
        self.metadata = metadata
        self.grey = grey
        self.released = False
        camera.outstanding += 1

    def get_metadata(self) -> dict[str, Any]:
        return dict(self.metadata)

    def release(self) -> None:
        assert not self.released
        self.released = True
        self.camera.outstanding -= 1


class SensorFormat:
    """Of picamera2's module of the same name."""

    def __init__(self, name: str) -> None:
        self.bit_depth = int(name.partition("_")[0].removeprefix("SRGGB"))


class RawFormats:
    """libcamera's formats of a sensor; asking for them takes no buffers."""

    def __init__(self, modes: tuple[dict[str, Any], ...]) -> None:
        self.modes = modes
        self.pixel_formats = [f"SRGGB{bits}_CSI2P" for bits in sorted({one["bit_depth"] for one in modes})]

    def sizes(self, name: str) -> list[Any]:
        bits = SensorFormat(name).bit_depth
        sizes = [one["size"] for one in self.modes if one["bit_depth"] == bits]
        return [types.SimpleNamespace(width=width, height=height) for width, height in sizes]


class MappedArray:
    def __init__(self, request: Request, name: str, reshape: bool = True, write: bool = True) -> None:
        assert not reshape
        assert not write
        self.request, self.stream = request, request.config[name]

    def __enter__(self) -> MappedArray:
        assert not self.request.released
        (width, height), stride = self.stream["size"], self.stream["stride"]
        buffer = np.full((height * 3 // 2, stride), 255, np.uint8)
        buffer[:height, :width] = self.request.grey
        self.array = buffer.ravel()[: self.request.camera.buffer_bytes]
        return self

    def __exit__(self, *_: object) -> None:
        del self.array


class Picamera2:
    """One sensor; what tests change are the class's attributes."""

    known: tuple[dict[str, Any], ...] = (
        {"Model": "imx477", "Id": "/base/axi/i2c@1/imx477@1a", "Num": 0},
        {"Model": "Webcam", "Id": "/base/scb/pcie@1/usb@0,0-1:1.0-046d", "Num": 1},
    )
    controls: tuple[str, ...] = (
        "AeEnable",
        "AwbEnable",
        "ExposureTime",
        "AnalogueGain",
        "ColourGains",
        "FrameDurationLimits",
        "NoiseReductionMode",
        "Sharpness",
    )
    sensor_resolution = (400, 300)
    sensor_modes: tuple[dict[str, Any], ...] = (
        {"size": (132, 98), "bit_depth": 10},
        {"size": (200, 150), "bit_depth": 12},
        {"size": (400, 300), "bit_depth": 12},
    )
    """As of an IMX477, a tenth in size."""
    states_sensor = True
    formats: Mapping[str, str] = {}
    buffer_bytes: int | None = None
    flicker = 0.0
    flicker_when_locked = 0.0
    highest_gain = 22.26
    lost_controls = 0
    states_modes = False
    stays_automatic = False
    frames_until_silence = 10**9
    filters = 0
    """``ColorFilterArrangement``: 0 is RGGB, 5 monochrome."""
    tunings: Mapping[str, Mapping[str, Any]] = TUNINGS
    read_tuning: Any = None
    """What libcamera read when it last looked for cameras: its own choice is None."""
    opened: ClassVar[list[Picamera2]]
    looks_again = True
    takes_tunings = True
    booted_ns = 0
    looked = False
    """Whether libcamera knows the cameras: it looks once, and again after the last one was closed."""

    def __init__(self, camera_num: int = 0, tuning: Mapping[str, Any] | None = None) -> None:
        self._look(None if tuning is None else json.loads(json.dumps(tuning)))
        if camera_num >= len(self.known) or (self.read_tuning and not self.takes_tunings):
            raise IndexError("list index out of range")
        self.camera_properties = {"Model": self.known[camera_num]["Model"]}
        self.camera_properties |= {"ColorFilterArrangement": self.filters}
        self.camera_controls = dict.fromkeys(self.controls, (0, 1, 0))
        raw = types.SimpleNamespace(formats=RawFormats(self.sensor_modes))
        configuration = types.SimpleNamespace(at=lambda _: raw)
        roles = self.sensor_modes and configuration
        self.camera = types.SimpleNamespace(generate_configuration=lambda _: roles or None)
        self.outstanding = self.frames = 0
        self.started = self.closed = self.flushed = False
        self.pending: list[dict[str, Any]] = [{}] * LAG
        self.set: dict[str, Any] = {}
        self.now = {"ExposureTime": 1_000.0, "AnalogueGain": 1.0, "Red": 1.0, "Blue": 1.0}
        self.opened.append(self)

    @classmethod
    def _look(cls, tuning: Any) -> None:
        if not cls.looked:
            cls.looked, cls.read_tuning = True, tuning

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        cls._look(None)
        return list(cls.known)

    @classmethod
    def load_tuning_file(cls, name: str) -> dict[str, Any]:
        if name not in cls.tunings:
            raise RuntimeError("Tuning file not found")
        loaded: dict[str, Any] = json.loads(json.dumps(cls.tunings[name]))
        return loaded

    def create_video_configuration(self, **options: Any) -> dict[str, Any]:
        return options

    def configure(self, configuration: dict[str, Any]) -> None:
        main = configuration["main"]
        width, height = main["size"]
        form = self.formats.get(main["format"], main["format"])
        self.configuration = {"main": {"size": (width, height), "format": form, "stride": width + PADDING}}
        self.colour_space = configuration["colour_space"]
        self.buffers = configuration["buffer_count"]
        if self.states_sensor:
            self.configuration["sensor"] = self._sensor(configuration["sensor"], (width, height))
        self.set_controls(configuration["controls"])

    def _sensor(self, asked: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
        """Return the nearest mode; wrong bits weigh more than a wrong size, as picamera2 weighs them."""
        (width, height), bits = asked.get("output_size", size), asked.get("bit_depth", 12)

        def unlike(mode: dict[str, Any]) -> float:
            short = [want - has for want, has in zip((width, height), mode["size"], strict=True)]
            return float(500 * abs(bits - mode["bit_depth"]) + sum(max(2 * d, -d / 4) for d in short))

        best = min(self.sensor_modes, key=unlike)
        return {"output_size": best["size"], "bit_depth": best["bit_depth"]}

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        self.started = True

    def set_controls(self, controls: dict[str, Any]) -> None:
        for name in controls:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        if self.started and self.lost_controls:
            self.lost_controls -= 1
            return
        self.set |= controls

    def capture_request(self, wait: bool) -> Job:
        assert not wait
        assert self.started
        assert self.outstanding < 4, "the camera has no buffer left"
        if self.frames >= self.frames_until_silence:
            return Job(None)
        self.frames += 1
        self.pending.append(dict(self.set))
        active = self.pending.pop(0)
        self._follow(active)
        flicker = self.flicker if active.get("AeEnable", True) else self.flicker_when_locked
        wobble = 1 + flicker * (-1) ** self.frames
        metadata: dict[str, Any] = {
            "SensorTimestamp": self.booted_ns + self.frames * 33_333_000,
            "ExposureTime": int(round(self.now["ExposureTime"] * wobble / ROW_US) * ROW_US),
            "AnalogueGain": 256 / round(256 / self.now["AnalogueGain"]),
            "DigitalGain": 1.0,
            "SensorTemperature": 41.0,
            "Lux": 400.0,
            "ScalerCrop": (0, 0, 400, 300),
        }
        if self.states_modes:
            manual = not self.stays_automatic and "ExposureTime" in active
            metadata["ExposureTimeMode"] = metadata["AnalogueGainMode"] = int(manual)
        if "ColourGains" in self.camera_controls:
            metadata["ColourGains"] = (self.now["Red"], self.now["Blue"])
        return Job(Request(self, metadata, self._grey()))

    def _grey(self) -> int:
        """Return the grey level of all pixels; of a constant gamma curve the one that it has."""
        read = (self.read_tuning or TUNINGS["imx477.json"])["algorithms"]
        (points,) = (one["rpi.contrast"]["gamma_curve"] for one in read if "rpi.contrast" in one)
        return points[1] // 257 if len(set(points[1::2])) == 1 else self.frames % 200

    def _follow(self, active: dict[str, Any]) -> None:
        automatic = {
            "ExposureTime": active.get("AeEnable", True) and "ExposureTime" not in active,
            "AnalogueGain": active.get("AeEnable", True) and "AnalogueGain" not in active,
            "Red": active.get("AwbEnable", True),
            "Blue": active.get("AwbEnable", True),
        }
        wanted = dict(active)
        if "ColourGains" in active:
            wanted["Red"], wanted["Blue"] = active["ColourGains"]
        for name, value in self.now.items():
            if automatic[name]:
                self.now[name] = value + 0.3 * (GOAL[name] - value)
            else:
                self.now[name] = wanted.get(name, value)
        self.now["AnalogueGain"] = min(self.now["AnalogueGain"], self.highest_gain)

    def wait(self, job: Job, timeout: float) -> Request:
        if job.request is None:
            raise TimeoutError
        return job.request

    def cancel_all_and_flush(self) -> None:
        self.flushed = True

    def close(self) -> None:
        assert self.flushed or not self.started, "it would wait behind a capture that never comes"
        assert not self.outstanding, "requests are released"
        self.closed = True
        if self.looks_again and all(one.closed for one in self.opened):
            type(self).looked = False


def modules() -> dict[str, types.ModuleType]:
    """What Python finds under these names."""
    libcamera: Any = types.ModuleType("libcamera")
    libcamera.ColorSpace = types.SimpleNamespace(Sycc=lambda: "sYCC")
    mode = types.SimpleNamespace(Off=0)
    libcamera.StreamRole = types.SimpleNamespace(Raw="raw")
    libcamera.controls = types.SimpleNamespace(draft=types.SimpleNamespace(NoiseReductionModeEnum=mode))
    picamera2: Any = types.ModuleType("picamera2")
    picamera2.Picamera2 = type("Picamera2", (Picamera2,), {"opened": []})
    picamera2.MappedArray = MappedArray
    sensor_format: Any = types.ModuleType("picamera2.sensor_format")
    sensor_format.SensorFormat = SensorFormat
    return {"libcamera": libcamera, "picamera2": picamera2, "picamera2.sensor_format": sensor_format}
