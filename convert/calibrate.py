"""What the validation cells tell of an int8 network: margin, temperature and reject thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from convert.logits import Inference, int8_logits
from convert.out_of_distribution import LEAST_CROPS, fit, separation_from_spheres
from convert.settings import Settings
from convert.thresholds import guaranteed_threshold, least_precision, reject_threshold
from edge.classify import Model, average_logits, margin, out_of_distribution_score, softmax
from edge.model import OUT_OF_DISTRIBUTION, OutOfDistributionModel, Rejection
from train.dependence import independent_share
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
    in_distribution : bool [n]
        Whether the cell gets an answer on a device.
    """

    inference: Inference
    answers: NDArray[np.int64]
    in_distribution: NDArray[np.bool_]
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
        return Calibrated(
            Inference(views, None, 1.0), np.zeros(0, np.int64), np.zeros(0, bool), settings.reject_below
        )
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
    everyone = np.ones(len(answers), bool)
    if min(len(crops.truth), len(crops.representative)) < LEAST_CROPS:
        reject_below, _ = _reject_below(confidence, right, everyone, crops.groups, settings)
        return Calibrated(inference, answers, everyone, reject_below)
    in_training = fit(crops.representative)
    distances = out_of_distribution_score(crops.validation, in_training)
    # whether the answer is right does not matter here: only the crop's appearance does
    threshold = -reject_threshold(-distances, everyone, 1.0, coverage=IN_DISTRIBUTION_SHARE)
    known = distances <= threshold
    reject_below, least = _reject_below(confidence, right, known, crops.groups, settings)
    kept = known & (confidence >= reject_below)
    rejection = Rejection(
        score=OUT_OF_DISTRIBUTION,
        threshold=threshold,
        precision=float(right[kept].sum() / max(1, kept.sum())),
        coverage=float(kept.mean()),
        auroc={"simulated spheres": separation_from_spheres(in_training, distances, crops, crop_um)},
        source=f"{len(distances)} validation cells",
        least_precision=least,
    )
    return Calibrated(inference, answers, known, reject_below, in_training, rejection)


def _reject_below(
    confidence: NDArray[np.float32],
    right: NDArray[np.bool_],
    known: NDArray[np.bool_],
    groups: Sequence[str],
    settings: Settings,
) -> tuple[float, float]:
    """Return the probability below which known cells are rejected, and the limit of the others' precision."""
    if not known.any():
        return settings.reject_below, 0.0
    scores, hits = confidence[known], right[known]
    independent = independent_share(hits, np.asarray(groups)[known])
    chosen = settings.precision is not None or settings.precision_guaranteed is not None
    below = settings.reject_below
    if settings.precision_guaranteed is not None:
        below = guaranteed_threshold(scores, hits, settings.precision_guaranteed, independent)
    elif settings.precision is not None:
        below = reject_threshold(scores, hits, settings.precision)
    below = max(0.0, below)
    return below, least_precision(scores, hits, below, independent, chosen=chosen)


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
