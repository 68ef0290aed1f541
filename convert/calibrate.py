"""What the validation cells tell of an int8 network: margin, temperature and reject thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from convert.logits import Inference, int8_logits
from convert.out_of_distribution import LEAST_CROPS, fit, separation_from_spheres
from convert.settings import Settings
from edge.classify import Model, average_logits, margin, out_of_distribution_score, softmax
from edge.model import OUT_OF_DISTRIBUTION, OutOfDistributionModel, Rejection
from train.confidence import coverage_curve
from train.run import RunCrops

TEMPERATURES = np.geomspace(0.25, 4, 161)
"""Temperatures tried; a best one at either end means that the validation cells are too few or too easy."""
IN_DISTRIBUTION_SHARE = 0.98
"""Largest share of the validation cells that counts as in distribution: losing the others is the price of
rejecting what the network was not trained on."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """An int8 network's answers to the validation cells, and what is set by them.

    Attributes
    ----------
    answers : int64 [n]
        Index of the most probable label of each validation cell.
    """

    inference: Inference
    answers: NDArray[np.int64]
    reject_below: float
    out_of_distribution: OutOfDistributionModel | None = None
    rejection: Rejection | None = None


def calibrate(
    model: Model, crops: RunCrops, inputs: NDArray[np.float32], settings: Settings, views: int, crop_um: float
) -> Calibrated:
    """Calibrate an int8 network on validation cells, whose normalised crops are the inputs [n, s, s, 1].

    Raises ValueError if no threshold reaches the precision asked for.
    """
    if not len(crops.truth):
        return Calibrated(Inference(views, None, 1.0), np.zeros(0, np.int64), settings.reject_below)
    least = None
    if views > 1 and settings.test_time_share < 1:
        least = float(np.quantile(margin(int8_logits(model, inputs)), settings.test_time_share))
    logits = average_logits(partial(int8_logits, model), inputs, views, least)
    inference = Inference(views, least, temperature(logits, crops.truth))
    answers = logits.argmax(axis=1)
    confidence, right = (
        softmax(logits / np.float32(inference.temperature)).max(axis=1),
        answers == crops.truth,
    )
    reject_below = settings.reject_below
    if settings.precision is not None:
        reject_below = max(0.0, reject_threshold(confidence, right, settings.precision))
    calibrated = Calibrated(inference, answers, reject_below)
    if min(len(crops.truth), len(crops.representative)) < LEAST_CROPS:
        return calibrated
    in_training = fit(crops.representative)
    distances = out_of_distribution_score(crops.validation, in_training)
    # whether the answer is right does not matter here: only the crop's appearance does
    everyone = np.ones(len(distances), bool)
    threshold = -reject_threshold(-distances, everyone, 1.0, coverage=IN_DISTRIBUTION_SHARE)
    kept = (distances <= threshold) & (confidence >= reject_below)
    rejection = Rejection(
        score=OUT_OF_DISTRIBUTION,
        threshold=threshold,
        precision=settings.precision or float(right[kept].sum() / max(1, kept.sum())),
        coverage=float(kept.mean()),
        auroc={"simulated spheres": separation_from_spheres(in_training, distances, crops, crop_um)},
        source=f"{len(distances)} validation cells",
    )
    return replace(calibrated, out_of_distribution=in_training, rejection=rejection)


def temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Return the one of `TEMPERATURES` with the least negative log-likelihood on validation cells.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    Parameters
    ----------
    logits : float32 [n, labels]
    truth : int64 [n], n > 0
        Indices of the true labels.
    """
    losses = []
    for t in TEMPERATURES:
        scaled = logits / t
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        losses.append(-float(logarithms[np.arange(len(truth)), truth].sum()))
    return float(TEMPERATURES[int(np.argmin(losses))])


def reject_threshold(
    scores: NDArray[np.float32] | NDArray[np.float64],
    right: NDArray[np.bool_],
    precision: float,
    *,
    coverage: float = 1.0,
) -> float:
    """Return the smallest threshold at which the accepted answers are right as often as asked.

    It is half way between the lowest accepted score and the next lower one, so that a processor's rounding
    moves no cell; -inf if all cells are accepted. The share of right answers is the plain estimate: to demand
    that its lower 95 % limit reach 0.98 would take 149 accepted cells without one mistake, more than small
    validation sets hold.

    Parameters
    ----------
    scores, right : float [n], bool [n]
        Of validation cells: larger for surer answers; whether the answer is the truth.
    precision : float
        Wanted share of right answers among the accepted ones.
    coverage : float
        Largest share of the cells that is accepted. Without it a network that is nearly always right would
        accept everything, including what it was not trained on.

    Raises
    ------
    ValueError
        Without cells, if a share is out of range, or if no threshold reaches the precision.
    """
    if not len(scores):
        raise ValueError("a reject threshold needs validation cells: train with some")
    for name, share in (("precision", precision), ("coverage", coverage)):
        if not 0 < share <= 1:
            raise ValueError(f"the {name} must be above 0 and at most 1, not {share}")
    curve = coverage_curve(scores, right)
    allowed = [k for k, p in enumerate(curve) if p["accuracy"] >= precision and p["coverage"] <= coverage]
    if not allowed:
        raise ValueError(
            f"no threshold makes {precision:.4g} of the accepted answers right on {len(scores)} validation "
            "cells: ask for a lower precision or train a better network"
        )
    last = allowed[-1]
    if last + 1 == len(curve):
        return -math.inf
    return (curve[last]["threshold"] + curve[last + 1]["threshold"]) / 2
