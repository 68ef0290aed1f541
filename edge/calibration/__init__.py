"""Calibration of the microscope: pixel size, flat field, volume, and the file that keeps them."""

from edge.calibration.file import (
    DEPTHS_UM,
    Calibration,
    CalibrationFileError,
    PixelCalibration,
    Uncertainty,
    VolumeCalibration,
    default_calibration_path,
    read_calibration,
    write_calibration,
)
from edge.calibration.flat_field import (
    FlatFieldError,
    estimate_illumination,
    read_flat_field_gain,
    write_flat_field,
)
from edge.calibration.lines import CalibrationError, Spacing
from edge.calibration.pixel_size import estimate_pixel_size, measure_spacings
from edge.calibration.volume import UnknownVolumeError, field_volume

__all__ = [
    "DEPTHS_UM",
    "Calibration",
    "CalibrationError",
    "CalibrationFileError",
    "FlatFieldError",
    "PixelCalibration",
    "Spacing",
    "Uncertainty",
    "UnknownVolumeError",
    "VolumeCalibration",
    "default_calibration_path",
    "estimate_illumination",
    "estimate_pixel_size",
    "field_volume",
    "measure_spacings",
    "read_calibration",
    "read_flat_field_gain",
    "write_calibration",
    "write_flat_field",
]
