"""Classify labelled crops with a trained run or a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.classify import Classifier
from edge.model import load_bundle
from train.data import Dataset, read_data
from train.table import SplitCrop, read_table

BATCH = 64
"""Crops per step of the progress bar."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of labelled crops.

    Attributes
    ----------
    probabilities : float32 [n, labels]
        Averaged over the `test_time_views` of each crop of `dataset`.
    model : dict[str, str]
        ``kind`` (run or bundle), ``name`` and ``sha256`` of the file.
    reject_below : float or None
        The bundle's threshold; a run has none.
    trained_on : int
        How many of the crops the model is known to have been trained on.
    pixel_um : float or None
        Side of a pixel of the model's own crops, if it is known.
    notice : str
        The bundle's own notice.
    tied : int
        Crops left out because their readers settle on no label.
    """

    dataset: Dataset
    probabilities: NDArray[np.float32]
    model: dict[str, str]
    test_time_views: int = 1
    reject_below: float | None = None
    trained_on: int = 0
    pixel_um: float | None = None
    notice: str = ""
    tied: int = 0

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
        """Indices of the wrong answers, the most confident first."""
        wrong = np.flatnonzero(self.answers != self.dataset.truth)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def predict(
    run_or_bundle: str,
    data: str | Path,
    *,
    test_time_views: int | None = None,
    on_cells: Callable[[int, int], None] = lambda done, cells: None,
) -> Predictions:
    """Classify the labelled crops at `data`, whose labels must be the model's.

    Parameters
    ----------
    run_or_bundle : str
        A run folder (which needs Keras), a bundle's path or the name of a shipped bundle.
    data : str or Path
        See `train.data.read_data`. Classes of the model may lack crops.
    test_time_views : int or None
        By default those of the run's recipe or of the bundle.
    on_cells : Callable
        Called with the number of classified crops and of all crops.

    Raises
    ------
    ValueError
        If the run, the bundle or the data cannot be used, the data has a label that the model lacks, or a
        probability is not finite.
    """
    predict_with = _predict_with_run if Path(run_or_bundle).is_dir() else _predict_with_bundle
    predictions = predict_with(run_or_bundle, data, test_time_views, on_cells)
    if not np.isfinite(predictions.probabilities).all():
        raise ValueError(f"{run_or_bundle} gives probabilities that are not numbers: train it again")
    return _settled(predictions)


def _settled(predictions: Predictions) -> Predictions:
    """Leave out the crops on whose label the readers do not settle."""
    tied = predictions.dataset.tied
    if not tied.any():
        return predictions
    if tied.all():
        raise ValueError("the readers settle on no label of any crop: there is nothing to score")
    return replace(
        predictions,
        dataset=predictions.dataset.settled(),
        probabilities=predictions.probabilities[~tied],
        trained_on=min(predictions.trained_on, int((~tied).sum())),
        tied=int(tied.sum()),
    )


def _predict_with_run(
    run: str, data: str | Path, test_time_views: int | None, on_cells: Callable[[int, int], None]
) -> Predictions:
    # these need Keras, which the base install lacks
    from train.fit import probabilities
    from train.run import NETWORK, load_run
    from train.run_config import read_config

    folder = Path(run)
    model, labels, normalisation = load_run(folder)
    config = read_config(folder)
    views = config.recipe.test_time_views if test_time_views is None else test_time_views
    dataset = read_data(data, labels, config.crop_px)
    with (folder / NETWORK).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Predictions(
        dataset=dataset,
        probabilities=_in_batches(
            lambda crops: probabilities(model, crops, normalisation, views), dataset.crops, on_cells
        ),
        model={"kind": "run", "name": folder.resolve().name, "sha256": sha256},
        test_time_views=views,
        trained_on=_trained_on(folder / "split.csv", config.training.sha256, dataset),
        pixel_um=config.pixel_um,
    )


def _predict_with_bundle(
    name: str, data: str | Path, test_time_views: int | None, on_cells: Callable[[int, int], None]
) -> Predictions:
    bundle = load_bundle(name)
    manifest = bundle.manifest
    if test_time_views is not None:
        manifest = replace(manifest, test_time_views=test_time_views, margin=None)
    classifier = Classifier(replace(bundle, manifest=manifest))
    dataset = read_data(data, manifest.labels, manifest.crop_px)
    return Predictions(
        dataset=dataset,
        probabilities=_in_batches(classifier.probabilities, dataset.crops, on_cells),
        model={"kind": "bundle", "name": f"{manifest.name} {manifest.version}", "sha256": bundle.sha256},
        test_time_views=manifest.test_time_views,
        reject_below=manifest.reject_below,
        trained_on=len(dataset.truth) if dataset.sha256 == manifest.training.sha256 else 0,
        pixel_um=manifest.pixel_um,
        notice=manifest.notice,
    )


def _in_batches(
    classify: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    crops: NDArray[np.uint8],
    on_cells: Callable[[int, int], None],
) -> NDArray[np.float32]:
    """Return the probabilities of crops, float32 [n, labels], reporting each batch."""
    parts = []
    for start in range(0, len(crops), BATCH):
        parts.append(classify(crops[start : start + BATCH]))
        on_cells(min(start + BATCH, len(crops)), len(crops))
    return np.concatenate(parts)


def _trained_on(split: Path, training_sha256: str, dataset: Dataset) -> int:
    """Return how many of these crops a run was trained on, by its split and the hash of their pixels."""
    if not split.is_file():
        return 0
    names = [row.path for row in read_table(split, SplitCrop).values() if row.part == "training"]
    place = {name: index for index, name in enumerate(dataset.names)}
    if not place.keys() >= set(names):
        return 0
    training = dataset.take(np.array([place[name] for name in names], np.int64))
    return len(names) if training.sha256 == training_sha256 else 0
