"""The results of a study's finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.fit import normalised
from train.metrics import Scores
from train.run import Epoch, finished, load_run, read_crops, read_history, read_scores
from train.run_config import read_config
from train.study.runs import Cost, StudyRun, StudySettings

WITHOUT_FUSION = "ablation3"


@dataclass(frozen=True)
class Result:
    """A finished run, with the cost of its network and the scores on the validation set."""

    run: StudyRun
    cost: Cost
    history: tuple[Epoch, ...]
    scores: Scores

    @property
    def mean_accuracy(self) -> float:
        """Validation accuracy averaged over the epochs, by which the paper compares networks."""
        return float(np.mean(self.curve("validation_accuracy")))

    @property
    def seconds(self) -> float:
        """Time of all epochs, validation included."""
        return float(self.curve("seconds").sum())

    def score(self, measure: str, label: str) -> float | None:
        """Return ``precision``, ``recall`` or ``f1`` of a class; None where it is undefined."""
        by_label: dict[str, float | None] = self.scores[measure]  # type: ignore[literal-required]  # a key of Scores
        return by_label[label]

    def curve(self, column: str) -> NDArray[np.float64]:
        """Return one column of the history, float64 [epochs]."""
        return np.array([getattr(row, column) for row in self.history])


@dataclass(frozen=True, eq=False)
class Study:
    """A study, perhaps unfinished.

    Attributes
    ----------
    runs, results : Sequence
        All planned runs, and the finished ones.
    training, validation : Mapping[str, int]
        Crops per label.
    maps : Mapping[str, float32 [labels, channels, h, w]]
        By title, the `last_maps` of the networks with and without fusion; empty unless both are finished.
    """

    name: str
    runs: Sequence[StudyRun]
    results: Sequence[Result]
    training: Mapping[str, int]
    validation: Mapping[str, int]
    note: str
    maps: Mapping[str, NDArray[np.float32]]


def read_study(settings: StudySettings, cost: Mapping[str, Cost], note: str) -> Study:
    """Read what the study's folder holds; `cost` is by network."""
    config = read_config(settings.out)
    runs = settings.runs()
    results = [
        Result(run, cost[run.network], tuple(read_history(run.folder)), scores)
        for run in runs
        if finished(run.folder) and (scores := read_scores(run.folder)) is not None
    ]
    folders = {(result.run.network, result.run.seed): result.run.folder for result in results}
    both = [seed for network, seed in folders if network == WITHOUT_FUSION and ("fusion", seed) in folders]
    maps = {
        f"{title}, seed {seed}": last_maps(folders[network, seed])
        for seed in both[:1]
        for network, title in (("fusion", "fusion"), (WITHOUT_FUSION, f"{WITHOUT_FUSION} (without fusion)"))
    }
    return Study(
        name=settings.name,
        runs=runs,
        results=results,
        training=config.training.counts,
        validation=config.validation.counts if config.validation else {},
        note=note,
        maps=maps,
    )


def last_maps(folder: Path, channels: int = 16) -> NDArray[np.float32]:
    """Compute the first maps before vectorization of one validation crop per label.

    The network must have a layer named ``flatten``; a narrow one may have fewer channels.

    Returns
    -------
    float32 [labels, channels, h, w]
        Of the first validation crop of each label; zeros for a label without one.
    """
    model, labels, normalisation = load_run(folder)
    kept = read_crops(folder)
    maps = keras.Model(model.input, model.get_layer("flatten").input)
    height, width, deep = maps.output.shape[1:]
    found = np.zeros((len(labels), min(channels, deep), height, width), np.float32)
    present, first = np.unique(kept.truth, return_index=True)
    values = np.asarray(maps(normalised(kept.validation[first], normalisation)))
    found[present] = np.moveaxis(values, -1, 1)[:, : found.shape[1]]
    return found


def by_network(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Group results by network, in the order of their first appearance."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.run.network, []).append(result)
    return groups


def defined_scores(results: Iterable[Result], measure: str, label: str) -> list[float]:
    """Return a score of a class from each run in which it is defined."""
    found = (result.score(measure, label) for result in results)
    return [value for value in found if value is not None]
