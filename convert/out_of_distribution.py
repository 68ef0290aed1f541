"""The out-of-distribution model, fitted to training crops, and what its score is tried on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.classify import crop_statistics, out_of_distribution_score
from edge.count import area_under_roc
from edge.find import crop_cells, crop_scale
from edge.model import OutOfDistributionModel
from edge.simulate import Optics, Scene, image
from train.run import RunCrops

LEAST_CROPS = 20
"""Fewest crops that determine the Gaussian's 27 numbers."""
SPHERES = 100
"""Simulated spheres on which the score is tried."""
LEAST_FIELD_UM, LARGEST_FIELD_UM = 1, 100
"""Range of a simulated field's side, apart from a margin."""

_RIDGE = 1e-4
"""Added to the covariance's diagonal, so that a statistic that hardly varies in training does not decide
alone."""


def fit(crops: NDArray[np.uint8]) -> OutOfDistributionModel:
    """Fit the Gaussian of the statistics of training crops uint8 [n, side, side].

    Raises ValueError with fewer than `LEAST_CROPS` crops.
    """
    if len(crops) < LEAST_CROPS:
        raise ValueError(f"an out-of-distribution model needs at least {LEAST_CROPS} crops, not {len(crops)}")
    statistics = crop_statistics(crops)
    covariance = np.cov(statistics.T) + _RIDGE * np.eye(statistics.shape[1])
    precision = np.linalg.inv(covariance)
    return OutOfDistributionModel(
        tuple(statistics.mean(axis=0).tolist()), tuple(map(tuple, precision.tolist()))
    )


def separation_from_spheres(
    in_training: OutOfDistributionModel, distances: NDArray[np.float64], crops: RunCrops, crop_um: float
) -> float:
    """Return the area under the ROC curve of the score: simulated spheres against validation cells.

    Parameters
    ----------
    distances : float64 [n]
        Scores of the validation cells.
    """
    side = crops.representative.shape[1]
    scores = out_of_distribution_score(spheres(crop_um, side, SPHERES, seed=0), in_training)
    return area_under_roc(scores, distances)


def spheres(crop_um: float, size_px: int, count: int, seed: int) -> NDArray[np.uint8]:
    """Simulate crops of silica or polystyrene spheres of 4 to 12 µm, uint8 [count, size_px, size_px]."""
    optics, scene = Optics(), Scene()
    rng = np.random.default_rng(seed)
    # a wider crop repeats the field: a slide holds many spheres, and a field of millimetres fits no memory
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
