"""Answers of a trained run or of a bundle to labelled crops."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.classify import average_probabilities
from train.data import Dataset, read_data

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

BATCH = 64
"""Crops between two steps of the progress."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers to labelled crops.

    Attributes
    ----------
    dataset : the crops and their truth, n of them
    probabilities : float32 [n, labels]
    model : its kind, name and SHA-256
    views : mirrored and turned views of a crop over which the probabilities were averaged
    reject_below : the bundle's threshold, None for a run
    trained_on : how many of the crops the model is known to have been trained on
    pixel_um : side of a pixel of the crops that the model was made for, None where it does not say
    notice : what the bundle has to say with every output
    """

    dataset: Dataset
    probabilities: NDArray[np.float32]
    model: dict[str, str]
    views: int = 1
    reject_below: float | None = None
    trained_on: int = 0
    pixel_um: float | None = None
    notice: str = ""

    @property
    def answers(self) -> NDArray[np.int64]:
        """The most probable label of each crop, int64 [n]."""
        answers: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return answers

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of each answer, float32 [n]."""
        confidence: NDArray[np.float32] = self.probabilities.max(axis=1)
        return confidence

    @property
    def mistakes(self) -> NDArray[np.int64]:
        """Indices of the wrong answers, the most confident one first."""
        wrong = np.flatnonzero(self.answers != self.dataset.truth)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def open_model(run_or_bundle: str, views: int | None = None) -> tuple[Classify, tuple[str, ...], int, int]:
    """Open a run folder (which needs Keras) or a bundle, by path or shipped name (which does not).

    Parameters
    ----------
    run_or_bundle
        Which.
    views
        Over which its answers are averaged; None for what the run's recipe or the bundle says.

    Returns
    -------
    The function from crops uint8 [n, s, s] to probabilities float32 [n, labels], the labels, s in px, and the
    number of views.
    """
    run = Path(run_or_bundle)
    if run.is_dir():
        from train.fit import probabilities
        from train.run import load_run, views_of

        model, labels, normalisation = load_run(run)
        number = views_of(run) if views is None else views

        def classify(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            return average_probabilities(
                lambda view: probabilities(model, view, normalisation), crops, number
            )

        return classify, labels, int(model.input_shape[1]), number

    from edge.classify import Classifier
    from edge.model import load_bundle

    bundle = load_bundle(run_or_bundle)
    manifest = (
        bundle.manifest if views is None else replace(bundle.manifest, test_time_views=views, margin=None)
    )
    classifier = Classifier(replace(bundle, manifest=manifest))
    return classifier.probabilities, manifest.labels, manifest.crop_px, manifest.test_time_views


def predict(
    run_or_bundle: str,
    data: str | Path,
    *,
    views: int | None = None,
    on_cells: Callable[[int, int], None] = lambda done, cells: None,
) -> Predictions:
    """Let a run or a bundle answer the labelled crops at `data`, whose labels must be the model's.

    Parameters
    ----------
    run_or_bundle
        A run folder, a bundle's path or the name of a shipped bundle.
    data
        As for `train.data.read_data`; classes of the model may lack crops.
    views
        See `open_model`.
    on_cells
        Called with the cells done and their number.

    Raises
    ------
    ValueError
        If the run, the bundle or the data cannot be used, the data has a label that the model lacks, or an
        answer is not finite.
    """
    classify, labels, crop_px, views = open_model(run_or_bundle, views)
    dataset = read_data(data, labels, crop_px)
    cells = len(dataset.truth)
    parts = []
    for start in range(0, cells, BATCH):
        parts.append(classify(dataset.crops[start : start + BATCH]))
        on_cells(min(start + BATCH, cells), cells)
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise ValueError(f"{run_or_bundle} answers with probabilities that are no numbers: train it anew")

    run = Path(run_or_bundle)
    if run.is_dir():
        from train.run import read_config

        with (run / "model.keras").open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Predictions(
            dataset=dataset,
            probabilities=probabilities,
            model={"kind": "run", "name": run.resolve().name, "sha256": sha256},
            views=views,
            trained_on=_trained_on(run, dataset),
            pixel_um=read_config(run).get("pixel_um"),
        )
    from edge.model import load_bundle

    bundle = load_bundle(run_or_bundle)
    manifest = bundle.manifest
    return Predictions(
        dataset=dataset,
        probabilities=probabilities,
        model={"kind": "bundle", "name": f"{manifest.name} {manifest.version}", "sha256": bundle.sha256},
        views=views,
        reject_below=manifest.reject_below,
        trained_on=cells if dataset.sha256 == manifest.training.sha256 else 0,
        pixel_um=manifest.pixel_um,
        notice=manifest.notice,
    )


def _trained_on(run: Path, dataset: Dataset) -> int:
    """How many of these crops the run was trained on, by its split and, to be sure, the hash of its crops."""
    from train.run import read_config

    table = run / "split.csv"
    if not table.is_file():
        return 0
    with table.open(newline="", encoding="utf-8") as file:
        names = [row["path"] for row in csv.DictReader(file) if row["part"] == "training"]
    place = {name: index for index, name in enumerate(dataset.names)}
    if not place.keys() >= set(names):
        return 0
    training = dataset.take(np.array([place[name] for name in names], np.int64))
    return len(names) if training.sha256 == read_config(run)["training"]["sha256"] else 0
