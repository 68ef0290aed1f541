"""Whether a calibration holds for the frames of a camera."""

from __future__ import annotations

from dataclasses import replace

from edge.base import Frame
from edge.capture import CameraError
from edge.run.config import CountConfig
from edge.run.instrument import Instrument

NO_TUNING_STATED = (
    "the calibration does not say with which tuning of the camera its flat field was measured, which may not"
    " be this one: run leuko calibrate flatfield with --camera on this device"
)


def fitting(
    frame: Frame, config: CountConfig, instrument: Instrument, size_px: tuple[int, int] | None
) -> Frame:
    """Return a camera's frame for which the calibration holds, noted where it does not say; or raise.

    Of files some may be another camera's; of a camera every frame would be refused.
    """
    if size_px not in (None, frame.image.shape[::-1]):
        height, width = frame.image.shape
        sized = " x ".join(map(str, size_px or ()))
        raise CameraError(
            f"{frame.name}: {width} x {height} px, and calibration {config.calibration} is for frames of "
            f"{sized} px: choose that --size, calibrate again at this one, or name another --calibration"
        )
    flat, tuning = instrument.calibration.flat_field, frame.settings.get("tuning")
    if flat is None or tuning in (None, flat.tuning):
        return frame
    if flat.tuning:
        raise CameraError(
            f"{frame.name}: made with libcamera's tuning {tuning}, and the flat field of calibration "
            f"{config.calibration} with {flat.tuning}: run leuko calibrate flatfield on blank frames of this "
            "camera, or name another --calibration"
        )
    return replace(frame, notes=(*frame.notes, NO_TUNING_STATED))
