"""What the finished runs of a study say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from train.fit import normalised
from train.metrics import Scores
from train.run import finished, load_run, read_config, read_crops, read_history, read_scores
from train.study.runs import Cost, StudyRun

WITHOUT_FUSION = "ablation3"


@dataclass(frozen=True)
class Result:
    """What a finished run says.

    Attributes
    ----------
    run : which
    cost : of its network
    history : a row an epoch, see `train.fit.fit`
    scores : of the finished model on the validation set
    """

    run: StudyRun
    cost: Cost
    history: tuple[dict[str, float], ...]
    scores: Scores

    @property
    def mean_accuracy(self) -> float:
        """Validation accuracy, averaged over the epochs: what the paper compares networks by."""
        return float(np.mean(self.curve("validation_accuracy")))

    @property
    def seconds(self) -> float:
        """Time spent on all epochs, validation included."""
        return float(self.curve("seconds").sum())

    def score(self, measure: str, label: str) -> float | None:
        """``precision``, ``recall`` or ``f1`` of a class, None where it is undefined."""
        by_label: dict[str, float | None] = self.scores[measure]  # type: ignore[literal-required]
        return by_label[label]

    def curve(self, column: str) -> NDArray[np.float64]:
        """One column of the history, float64 [epochs]."""
        return np.array([row[column] for row in self.history])


@dataclass(frozen=True, eq=False)
class Study:
    """A study as far as it has got.

    Attributes
    ----------
    name : ablation or peers
    runs : all that are planned
    results : of the finished ones
    training, validation : crops a label
    note : what the operator wants said with it, or empty
    maps : title → float32 [labels, channels, h, w], what the networks with and without fusion vectorise, see
        `last_maps`; empty where one of them is missing
    """

    name: str
    runs: Sequence[StudyRun]
    results: Sequence[Result]
    training: Mapping[str, int]
    validation: Mapping[str, int]
    note: str
    maps: Mapping[str, NDArray[np.float32]]


def read_study(name: str, out: Path, runs: Sequence[StudyRun], cost: Mapping[str, Cost], note: str) -> Study:
    """Read what a study's folder holds of these runs; `cost` is a network's."""
    config = read_config(out)
    results = read_results(runs, cost)
    folders = {(result.run.network, result.run.seed): result.run.folder for result in results}
    both = [seed for network, seed in folders if network == WITHOUT_FUSION and ("fusion", seed) in folders]
    maps = {}
    if both:
        maps = {
            f"fusion, seed {both[0]}": last_maps(folders["fusion", both[0]]),
            f"{WITHOUT_FUSION} (without fusion), seed {both[0]}": last_maps(folders[WITHOUT_FUSION, both[0]]),
        }
    return Study(
        name=name,
        runs=runs,
        results=results,
        training=config["training"]["counts"],
        validation=config["validation"]["counts"],
        note=note,
        maps=maps,
    )


def read_results(runs: Iterable[StudyRun], cost: Mapping[str, Cost]) -> list[Result]:
    """Read what the finished ones among the runs say."""
    results = []
    for run in runs:
        scores = read_scores(run.folder) if finished(run.folder) else None
        if scores is not None:
            history = tuple(read_history(run.folder / "history.csv"))
            results.append(Result(run, cost[run.network], history, scores))
    return results


def last_maps(folder: Path, channels: int = 16) -> NDArray[np.float32]:
    """Compute the first maps that a finished run's network vectorises, of one validation crop a label.

    Parameters
    ----------
    folder
        Finished run of a network with a layer named ``flatten``.
    channels
        How many; a narrow network may have fewer.

    Returns
    -------
    float32 [labels, channels, h, w]
        Of the first validation crop of each label, in label order; zeros for a label without one.
    """
    model, labels, normalisation = load_run(folder)
    kept = read_crops(folder)
    maps = keras.Model(model.input, model.get_layer("flatten").input)
    height, width, deep = maps.output.shape[1:]
    found = np.zeros((len(labels), min(channels, deep), height, width), np.float32)
    present, first = np.unique(kept.truth, return_index=True)
    answers = np.asarray(maps(normalised(kept.validation[first], normalisation)))
    found[present] = np.moveaxis(answers, -1, 1)[:, : found.shape[1]]
    return found


def by_network(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Group results by network, in the order of their first appearance."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.run.network, []).append(result)
    return groups


def known(results: Iterable[Result], measure: str, label: str) -> list[float]:
    """A score of a class in each of the runs where it is defined."""
    found = (result.score(measure, label) for result in results)
    return [value for value in found if value is not None]
