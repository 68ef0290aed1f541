"""``picamera2``: the cameras of a Raspberry Pi, through libcamera and picamera2."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.capture.camera import CameraError, CameraSettings, CameraTimeoutError
from edge.capture.exposed import exposed
from edge.capture.exposure import is_steady
from edge.capture.pi_cameras import load_picamera2, open_tuned, raw_modes
from edge.capture.pi_errors import explained

BUFFERS = 4
"""Frames in the camera's own memory: one is read while others are exposed."""

DELAY_FRAMES = 4
"""Frames in the sensor's delay of 2 to 3 frames (libcamera 0.7.1, cam_helper.cpp, getDelays): these and those
queued may still show earlier settings."""

STEADY_FRAMES = 10
STEADY = 0.01
"""The automatics have converged when their choice changes by less than `STEADY` over so many frames."""

LOCKED = 0.07
"""Accepted relative difference: a sensor exposes in whole rows, and gain has steps of 1/16 or finer."""

AUTOMATIC = 0
"""``ExposureTimeModeAuto`` and ``AnalogueGainModeAuto`` of libcamera's control_ids_core.yaml."""

NO_TUNING = (
    "no tuning of libcamera is for this camera, so frames may differ in contrast and be corrected for a lens:"
    " sudo apt install --reinstall libcamera-ipa"
)

_GREY_FIRST = ("YUV420", "YVU420", "NV12", "NV21")
_METADATA = {
    "ExposureTime": "exposure_us",
    "AnalogueGain": "gain",
    "DigitalGain": "digital_gain",
    "FrameDuration": "frame_duration_us",
    "SensorTemperature": "sensor_temperature_c",
    "LensPosition": "lens_position_dioptre",
    "Lux": "lux",
}
"""The metadata of libcamera that is kept: control → name with its unit."""


class PiCamera:
    """A Raspberry Pi's camera; see `edge.capture.camera.Camera` for the methods.

    The frame is the grey plane of a YUV 4:2:0 stream: full range, not denoised (a Pi 5 would mix frames), not
    sharpened, and by a tuning that does not adapt to what a frame shows. It is copied, so that the buffer
    goes back to the camera at once.

    Parameters
    ----------
    edit : callable
        Changes the tuning, for a test of whether libcamera reads it.
    """

    paced = True

    def __init__(
        self,
        number: int = 0,
        *,
        name: str = "picamera2",
        size: tuple[int, int] | None = None,
        sensor_bits: int | None = None,
        edit: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
        buffers: int | None = None,
    ) -> None:
        self.name, self._buffers = name, buffers or BUFFERS
        try:
            self._camera, self._tuning = open_tuned(number, name, edit)
        except (RuntimeError, OSError) as error:
            raise CameraError(f"{name}: {explained(error)}") from error
        # a hanging camera would hang the interpreter at its exit; the caller closes this one
        atexit.unregister(self._camera.close)
        self._pending: Any = None
        self._grabbed = 0
        self._locked = CameraSettings()
        try:
            self._start(size, sensor_bits)
        except (RuntimeError, OSError) as error:
            self.close()
            raise CameraError(f"{name}: {explained(error)}") from error
        # also when interrupted: the sensor must be free for the next program
        except BaseException:
            self.close()
            raise

    def _start(self, size: tuple[int, int] | None, sensor_bits: int | None) -> None:
        size = size or self._camera.sensor_resolution
        mode = self._configure(size, sensor_bits)
        if sensor_bits is None and mode[0] != size:
            # picamera2 weighs bits more than size: frames may be a larger mode's, scaled to wider pixels
            # (0.3.36, picamera2.py, score_mode; libcamera 0.7.1, pipeline_base.cpp, findBestFormat)
            depths = [bits for of_mode, bits in raw_modes(self._camera) if of_mode == size]
            if depths:
                self._configure(size, max(depths))
        if sensor_bits is not None and mode != (size, sensor_bits):
            (width, height), bits = mode
            raise CameraError(
                f"{self.name}: gives the sensor's mode of {width} x {height} px at {bits} bit instead of"
                f" {size[0]} x {size[1]} at {sensor_bits}; leuko camera list shows its modes"
            )
        stream = self._camera.camera_configuration()["main"]
        if stream["format"] not in _GREY_FIRST:
            raise CameraError(f"{self.name}: gives {stream['format']}, whose first plane is not grey")
        if tuple(stream["size"]) != tuple(size):
            width, height = stream["size"]
            raise CameraError(f"{self.name}: gives {width} x {height} px instead of {size[0]} x {size[1]}")
        self._camera.start()

    def _configure(
        self, size: tuple[int, int], sensor_bits: int | None
    ) -> tuple[tuple[int, int], int | None]:
        """Ask for frames of a size, from the sensor's mode of that size if it has those bits.

        Return size and bits of the mode that is used; where a camera states none, those that were asked for.
        """
        import libcamera  # type: ignore[import-not-found]  # a Raspberry Pi's system packages have it

        controls = {
            "NoiseReductionMode": libcamera.controls.draft.NoiseReductionModeEnum.Off,
            "FrameDurationLimits": (33_333, 1_000_000),
            "Sharpness": 0.0,  # none (libcamera 0.7.1, src/ipa/rpi/controller/rpi/sharpen.cpp)
        }
        asked = {"output_size": size, "bit_depth": sensor_bits} if sensor_bits else {}
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"format": "YUV420", "size": size},
                raw=None,
                sensor=asked,
                colour_space=libcamera.ColorSpace.Sycc(),
                buffer_count=self._buffers,
                controls=self._supported(controls),
                display=None,
                encode=None,
            )
        )
        used = self._camera.camera_configuration().get("sensor") or {}
        width, height = used.get("output_size", size)
        return (width, height), used.get("bit_depth", sensor_bits)

    def settle(self, timeout_s: float) -> CameraSettings:
        """Let libcamera's automatics converge, then lock their choice; nothing if all is locked already."""
        if self._is_all_locked():
            return self._locked
        end = time.monotonic() + timeout_s
        history: list[CameraSettings] = []
        while not _converged(history):
            late = "its exposure and white balance do not settle" if history else "no frame comes"
            history.append(_settings(self._metadata(end, late)))
        settled = replace(history[-1], tuning=self._tuning.name if self._tuning else None)
        self.apply(settled, end - time.monotonic())
        return settled

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Lock exposure, gain and white balance."""
        now = self._tuning.name if self._tuning else "none"
        if settings.tuning not in (None, now):
            raise CameraError(
                f"{self.name}: the count began with libcamera's tuning {settings.tuning}, and now it is"
                f" {now}: begin another count"
            )
        start = time.monotonic()
        end, again = start + timeout_s, start + timeout_s / 2
        self._set(settings)
        late = "it does not take its exposure, gain or white balance"
        for _ in range(self._buffers + DELAY_FRAMES):
            self._metadata(end, late)
        while apart := _apart(self._metadata(end, late), settings):
            late = f"it does not take {', '.join(apart)}"
            if time.monotonic() > again:
                # picamera2 puts controls into the next request that is queued, and there they may be replaced
                # (0.3.36, request.py, release: request.reuse() with the controls that are set then)
                self._set(settings)
                again = end
        self._locked = settings

    def _set(self, settings: CameraSettings) -> None:
        controls: dict[str, Any] = {}
        # with only one of the two given, libcamera keeps choosing the other
        if settings.exposure_us is not None:
            controls["ExposureTime"] = settings.exposure_us
        if settings.gain is not None:
            controls["AnalogueGain"] = settings.gain
        if len(controls) == 2:
            controls["AeEnable"] = False
        if settings.colour_gains is not None:
            controls |= {"AwbEnable": False, "ColourGains": settings.colour_gains}
        self._camera.set_controls(self._supported(controls))

    def _is_all_locked(self) -> bool:
        locked = self._locked
        is_white = locked.colour_gains is not None or "ColourGains" not in self._camera.camera_controls
        return None not in (locked.exposure_us, locked.gain) and is_white

    def limits(self, control: str) -> tuple[float, float, float]:
        """Return the least, the largest and the usual value of one of libcamera's controls."""
        least, most, usual = self._camera.camera_controls[control]
        return least, most, usual

    def grab(self, timeout_s: float) -> Frame:
        """Return the next frame."""
        request = self._request(timeout_s)
        try:
            metadata = request.get_metadata()
            image = _grey_plane(request)
        finally:
            request.release()
        time_ns, clock_ns = exposed(time.CLOCK_BOOTTIME, metadata.get("SensorTimestamp"))
        index, self._grabbed = self._grabbed, self._grabbed + 1
        tuning = {} if self._tuning is None else {"tuning": self._tuning.name}
        return Frame(
            image,
            f"{self.name}#{index}",
            index,
            time_ns,
            _kept(metadata) | tuning,
            notes=() if tuning else (NO_TUNING,),
            clock_ns=clock_ns,
        )

    def close(self) -> None:
        """Stop the camera, whatever it is still capturing."""
        # closing would wait for a capture that may never come
        self._camera.cancel_all_and_flush()
        self._camera.close()

    def _request(self, timeout_s: float) -> Any:
        """Return a completed request; one that is late is waited for the next time."""
        if self._pending is None:
            self._pending = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(self._pending, timeout=timeout_s)
        except TimeoutError:
            raise CameraTimeoutError(f"{self.name}: no frame for {timeout_s:g} s") from None
        except RuntimeError as error:
            raise CameraError(f"{self.name}: {explained(error)}") from error
        self._pending = None
        return request

    def _metadata(self, end: float, otherwise: str) -> Mapping[str, Any]:
        """Return the metadata of the next frame, until `end` on the monotonic clock at the latest."""
        left_s = end - time.monotonic()
        try:
            if left_s <= 0:
                raise CameraTimeoutError
            request = self._request(left_s)
        except CameraTimeoutError as error:
            raise CameraTimeoutError(f"{self.name}: {otherwise}") from error
        metadata: Mapping[str, Any] = request.get_metadata()
        request.release()
        return metadata

    def _supported(self, controls: Mapping[str, Any]) -> dict[str, Any]:
        """Return the controls that the camera has: a monochrome one has no white balance."""
        return {name: value for name, value in controls.items() if name in self._camera.camera_controls}


def _grey_plane(request: Any) -> NDArray[np.uint8]:
    """Return a copy of the first plane [h, w] of a request's buffer, without the padding of its rows."""
    stream = request.config["main"]
    width, height = stream["size"]
    with load_picamera2().MappedArray(request, "main", reshape=False, write=False) as buffer:
        plane = buffer.array[: stream["stride"] * height]
        if plane.size < stream["stride"] * height:
            raise CameraError(f"the camera gave {plane.size} bytes instead of {width} x {height} px")
        return np.array(plane.reshape(height, -1)[:, :width])


def _settings(metadata: Mapping[str, Any]) -> CameraSettings:
    exposure_us, gain, colour = (metadata.get(k) for k in ("ExposureTime", "AnalogueGain", "ColourGains"))
    return CameraSettings(exposure_us, gain, None if colour is None else (colour[0], colour[1]))


def _numbers(settings: CameraSettings) -> list[float]:
    """Return what must be steady: exposure times gain, and the colour gains; 1 if unknown."""
    return [(settings.exposure_us or 1) * (settings.gain or 1), *(settings.colour_gains or (1, 1))]


def _converged(history: list[CameraSettings]) -> bool:
    columns = zip(*map(_numbers, history[-STEADY_FRAMES:]), strict=True)
    return bool(history) and all(is_steady(list(c), last=STEADY_FRAMES, tolerance=STEADY) for c in columns)


def _apart(metadata: Mapping[str, Any], asked: CameraSettings) -> list[str]:
    """Return what a frame was not taken with, each with what was asked and what it has."""
    now = _settings(metadata)
    rows = [
        ("exposure", "µs", asked.exposure_us, now.exposure_us, "ExposureTimeMode"),
        ("gain", "", asked.gain, now.gain, "AnalogueGainMode"),
    ]
    pairs = zip(("red", "blue"), asked.colour_gains or (), now.colour_gains or (), strict=False)
    rows += [(f"{colour} gain", "", then, value, "") for colour, then, value in pairs]
    apart = []
    for name, unit, then, value, mode in rows:
        if then is None:
            continue
        # libcamera states the mode from 0.5 on (src/ipa/rpi/common/ipa_base.cpp)
        if metadata.get(mode) == AUTOMATIC:
            apart.append(f"{name} {then:.6g} {unit}".strip() + " (it is still automatic)")
        elif value is not None and abs(value - then) > LOCKED * then:
            apart.append(f"{name} {then:.6g} {unit}".strip() + f" (it has {value:.6g})")
    return apart


def _kept(metadata: Mapping[str, Any]) -> dict[str, float | str]:
    kept: dict[str, float | str] = {
        name: metadata[control] for control, name in _METADATA.items() if control in metadata
    }
    if "ColourGains" in metadata:
        kept["colour_gain_red"], kept["colour_gain_blue"] = metadata["ColourGains"][:2]
    return kept
