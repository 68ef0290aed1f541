"""The runs of a study, and how they are fitted on the same split."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import keras

from train.data import Dataset, read_data, split
from train.fit import CHECKPOINT, FitObserver, fit
from train.networks import build_network, multiply_accumulates
from train.recipe import NETWORK_INPUT_PX, PEERS, Recipe, TrainingJob
from train.run import open_run, read_history
from train.study import STUDIES

SPLIT_SEED = 0
"""Seed of the one split that all runs of a study share."""

Sets = Callable[[int], tuple[Dataset, Dataset]]
"""From the side of the crops, px, to the training and the validation set."""


@dataclass(frozen=True)
class StudySettings:
    """What a study (of `train.study.STUDIES`) compares, and with how many seeds per network.

    Attributes
    ----------
    recipe : Recipe
        Of every network; its width applies to the networks that have one.
    peer_px : int or None
        Side of the crops for VGG-16 and ResNet-50; None for 224 px, for which they were made.
    """

    name: str
    out: Path
    recipe: Recipe
    seeds: int
    peer_px: int | None = None

    def runs(self) -> list[StudyRun]:
        """List the runs seed by seed, so that an unfinished study compares all networks too."""
        return [
            StudyRun(name, seed, self._adapted(name), self.out / "runs" / f"{name}-s{seed}")
            for seed in range(self.seeds)
            for name in STUDIES[self.name]
        ]

    def _adapted(self, network: str) -> Recipe:
        return replace(
            self.recipe,
            network=network,
            width=1.0 if network in PEERS else self.recipe.width,
            crop_px=self.peer_px if self.peer_px and network in ("vgg16", "resnet50") else 0,
        )


@dataclass(frozen=True)
class StudyRun:
    """One network fitted with one seed, in a run folder of its own."""

    network: str
    seed: int
    recipe: Recipe
    folder: Path

    @property
    def title(self) -> str:
        """The network's name, with ``×WIDTH`` or px where its authors' settings are changed."""
        width = f" ×{self.recipe.width:g}" if self.recipe.width != 1 else ""
        smaller = self.recipe.side_px != NETWORK_INPUT_PX[self.network]
        return self.network + width + (f" {self.recipe.side_px} px" if smaller else "")


@dataclass(frozen=True)
class Cost:
    """Parameters of a network, and multiply-accumulates per crop."""

    parameters: int
    macs: int


def read_sets(data: Path, validation: Path | None) -> Sets:
    """Return a reader of both sets at any crop side; a split, if one is made, is the same at every side."""

    @lru_cache(maxsize=2)
    def sets(size_px: int) -> tuple[Dataset, Dataset]:
        training = read_data(data, size_px=size_px)
        if validation is None:
            return split(training, seed=SPLIT_SEED)
        return training, read_data(validation, training.labels, size_px).settled()

    return sets


def open_study(settings: StudySettings, sets: Sets) -> None:
    """Begin the study's folder, or check that the one there was begun with the same settings and data.

    Raises
    ------
    ValueError
        If it was begun with others; the number of seeds may differ.
    """
    job = TrainingJob(*sets(NETWORK_INPUT_PX[STUDIES[settings.name][0]]), settings.recipe, SPLIT_SEED)
    more = {"peer_px": settings.peer_px} if settings.name == "peers" else {}
    open_run(settings.out, job, study=settings.name, **more)


def costs(runs: Iterable[StudyRun], labels: int) -> dict[str, Cost]:
    """Return the cost of each network among the runs."""
    found: dict[str, Cost] = {}
    for run in runs:
        if run.network not in found:
            model = build_network(run.recipe, labels)
            found[run.network] = Cost(model.count_params(), sum(multiply_accumulates(model).values()))
    keras.utils.clear_session()
    return found


def seconds_left(runs: Sequence[StudyRun], cost: Mapping[str, Cost]) -> list[float]:
    """Estimate the seconds that each run still takes, once any epoch of the runs is done.

    A network not yet timed is judged by its multiply-accumulates.
    """
    histories = [read_history(run.folder) for run in runs]
    timed: defaultdict[str, list[float]] = defaultdict(list)
    for run, history in zip(runs, histories, strict=True):
        timed[run.network] += [row.seconds for row in history]
    # the median: the first epoch of a run also compiles
    medians = {name: statistics.median(seconds) for name, seconds in timed.items() if seconds}
    per_mac = sum(medians.values()) / sum(cost[name].macs for name in medians)
    return [
        medians.get(run.network, per_mac * cost[run.network].macs) * (run.recipe.epochs - len(history))
        for run, history in zip(runs, histories, strict=True)
    ]


def fit_run(run: StudyRun, sets: Sets, observer: FitObserver) -> None:
    """Fit one run or resume it; only check a finished one. See `train.fit.fit`."""
    keras.utils.clear_session()  # a study builds many networks in one process
    fit(TrainingJob(*sets(run.recipe.side_px), run.recipe, run.seed), run.folder, observer)
    # the optimizer's state, twice the model's size, serves only to resume
    (run.folder / CHECKPOINT).unlink(missing_ok=True)
