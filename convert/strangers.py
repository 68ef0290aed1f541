"""Things that no bundle was trained on, to measure how well a rejection score keeps them out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import crop_cells, crop_scale
from edge.simulate import Optics, Scene, image

LEAST_FIELD_UM, LARGEST_FIELD_UM = 1, 100
"""Crops outside have no field of their own size."""


def spheres(crop_um: float, size_px: int, count: int, seed: int) -> NDArray[np.uint8]:
    """Crops of silica or polystyrene spheres of 4 to 12 µm on the slide, uint8 [n, size_px, size_px]."""
    optics, scene = Optics(), Scene()
    rng = np.random.default_rng(seed)
    # of a wider crop the field is repeated: a slide holds many spheres, a workstation no field of millimetres
    field_um = 1.5 * min(max(crop_um, LEAST_FIELD_UM), LARGEST_FIELD_UM)
    side = cv2.getOptimalDFTSize(round(field_um / optics.pixel_um))
    y, x = (np.mgrid[:side, :side] - side / 2) * optics.pixel_um
    middle = Cell(side // 2, side // 2, 1, 1, 0.0, False, False)
    crops = np.empty((count, size_px, size_px), np.uint8)
    for crop in crops:
        radius = rng.uniform(2, 6)
        path = (rng.choice([1.43, 1.59]) - optics.medium_index) * 2
        path = path * np.sqrt(np.maximum(radius**2 - x**2 - y**2, 0))
        phase = (optics.wavenumber * path).astype(np.float32)[None]
        focus_um = rng.normal(*scene.focus_um)
        light = image(phase, np.zeros_like(phase), [radius], focus_um, optics)
        noise = rng.normal(0, np.sqrt(scene.brightness * 255 / scene.full_well_e), light.shape)
        grey = np.clip(np.rint(scene.brightness * light + noise), 0, 255).astype(np.uint8)
        scale = crop_scale(optics.pixel_um, crop_um / size_px)
        crop[:] = crop_cells(grey, [middle], size_px=size_px, scale=scale)[0]
    return crops


def auroc(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """Chance that a known cell scores higher than a stranger, ties half (Mann and Whitney)."""
    difference = known[:, None] - strange[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
