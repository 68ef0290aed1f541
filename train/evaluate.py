"""Scores of a trained run or of a bundle on labelled crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data import read_data
from train.metrics import Scores, score

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def open_model(run_or_bundle: str) -> tuple[Classify, tuple[str, ...], int]:
    """Open a run folder (which needs Keras) or a bundle, by path or shipped name (which does not).

    Returns
    -------
    The function from crops uint8 [n, s, s] to probabilities float32 [n, labels], the labels, and s in px.
    """
    run = Path(run_or_bundle)
    if run.is_dir():
        from train.fit import probabilities
        from train.run import load_run

        model, labels, normalisation = load_run(run)
        return lambda crops: probabilities(model, crops, normalisation), labels, int(model.input_shape[1])

    from edge.bundle import load
    from edge.classify import Classifier

    classifier = Classifier(load(run_or_bundle))
    manifest = classifier.bundle.manifest
    return classifier.probabilities, manifest.labels, manifest.crop_px


def evaluate(run_or_bundle: str, data: str | Path) -> Scores:
    """Score a run or a bundle on the labelled crops at `data`, whose labels must be the model's.

    Raises
    ------
    ValueError
        If the run, the bundle or the data cannot be used, or the data has a label that the model lacks.
    """
    classify, labels, crop_px = open_model(run_or_bundle)
    dataset = read_data(data, labels, crop_px)
    return score(dataset.truth, classify(dataset.crops).argmax(axis=1), labels)
