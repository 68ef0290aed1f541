"""Find the cells of a frame, cut them out, and measure the frame's quality."""

from edge.find.crops import (
    SCALE_TOLERANCE,
    LateCrops,
    Normalisation,
    crop_cells,
    crop_scale,
    grey_quantiles,
    level,
)
from edge.find.fingerprint import Fingerprint, fingerprint, largest_first
from edge.find.flat_field import Map, divide_flat_field, flat_field_gain
from edge.find.focus import FOCUS_PIXEL_UM, focus
from edge.find.quality import Quality, QualityLimits, breaches, light, measure_quality
from edge.find.reduction import block_mean, reduced, working_factor
from edge.find.segmentation import (
    DEFAULT_PIXEL_UM,
    HALO_UM,
    NEAR_GATE,
    Gates,
    Segmentation,
    segment,
    segment_frame,
)
from edge.find.visibility import unseen

__all__ = [
    "DEFAULT_PIXEL_UM",
    "FOCUS_PIXEL_UM",
    "HALO_UM",
    "NEAR_GATE",
    "SCALE_TOLERANCE",
    "Fingerprint",
    "Gates",
    "LateCrops",
    "Map",
    "Normalisation",
    "Quality",
    "QualityLimits",
    "Segmentation",
    "block_mean",
    "breaches",
    "crop_cells",
    "crop_scale",
    "divide_flat_field",
    "fingerprint",
    "flat_field_gain",
    "focus",
    "grey_quantiles",
    "largest_first",
    "level",
    "light",
    "measure_quality",
    "reduced",
    "segment",
    "segment_frame",
    "unseen",
    "working_factor",
]
