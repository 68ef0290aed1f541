"""How far a crop is from the training crops: cells of other kinds and other instruments are far away.

A network's outputs say little about what it was never trained on: it is as sure of spheres and of noise. Six
statistics of the crop, the strength of its detail at four scales and how dark and bright it gets, say more
(`benchmarks.out_of_distribution` compares them) and cost a fraction of the network.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find import grey_quantiles, level
from edge.model import OCTAVES, STATISTICS, OutOfDistributionModel

SIDE_PX = 100
"""Crops are first reduced to this side: the finest detail that counts is about four crop pixels wide."""

_BACKGROUND = 128
_FLOOR_GREY = 0.1
"""Added to a detail before its logarithm; smaller detail is rounding."""


def crop_statistics(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return detail at four scales and the extremes, float64 [n, 6], of crops uint8 [n, side, side].

    The logarithm of the standard deviation of each level of a Laplacian pyramid (Burt and Adelson, IEEE
    Trans. Commun. 31:532, 1983) in the middle half of the crop, where the cell is, and the 1st and 99th
    percentile of the grey values relative to the median.
    """
    rows = np.empty((len(crops), STATISTICS))
    for row, crop in zip(rows, level(crops, _BACKGROUND), strict=True):
        small = np.asarray(cv2.resize(crop, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)
        row[OCTAVES:] = grey_quantiles(small, (0.01, 0.99)) / _BACKGROUND
        fine = small.astype(np.float32)
        for octave in range(OCTAVES):
            coarse = cv2.pyrDown(fine)
            side = fine.shape[0]
            detail = fine - cv2.pyrUp(coarse, dstsize=(side, side))
            middle = slice(side // 4, side - side // 4)
            _, spread = cv2.meanStdDev(detail[middle, middle])
            row[octave] = math.log(float(spread[0, 0]) + _FLOOR_GREY)
            fine = np.asarray(coarse, np.float32)
    return rows


def out_of_distribution_score(crops: NDArray[np.uint8], model: OutOfDistributionModel) -> NDArray[np.float64]:
    """Return the Mahalanobis distance of each crop's statistics from the training crops', float64 [n].

    This is the score of Lee et al. (NeurIPS 2018), with the crop's statistics for features and one Gaussian
    for all classes.
    """
    return distances(crop_statistics(crops), model)


def distances(statistics: NDArray[np.float64], model: OutOfDistributionModel) -> NDArray[np.float64]:
    """Return what `out_of_distribution_score` does, from `crop_statistics`."""
    away = statistics - np.array(model.mean)
    squared = np.einsum("ni,ij,nj->n", away, np.array(model.precision), away)
    distance: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return distance
