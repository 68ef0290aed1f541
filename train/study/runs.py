"""The runs of a study: which there are, and how they are fitted on the same split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import keras

from train.data import Dataset, read_data, split
from train.fit import fit
from train.networks import NETWORKS, multiply_accumulates
from train.recipe import Recipe
from train.run import open_run, read_history, settings_of
from train.study import STUDIES

SPLIT_SEED = 0
"""Of the one split that all runs of a study share."""

Sets = Callable[[int], tuple[Dataset, Dataset]]
"""From the side of the crops, px, to training and validation set."""


@dataclass(frozen=True)
class StudyRun:
    """One network fitted with one seed, in a run folder of its own."""

    network: str
    seed: int
    recipe: Recipe
    folder: Path

    @property
    def crop_px(self) -> int:
        """Side of the crops, px."""
        return self.recipe.crop_px or NETWORKS[self.network].input_px

    @property
    def title(self) -> str:
        """The network's name, with what sets it apart from its authors' settings: ``×WIDTH`` or px."""
        width = f" ×{self.recipe.width:g}" if self.recipe.width != 1 else ""
        smaller = self.crop_px != NETWORKS[self.network].input_px
        return self.network + width + (f" {self.crop_px} px" if smaller else "")


@dataclass(frozen=True)
class Cost:
    """Parameters of a network, and multiply-accumulates of one crop."""

    parameters: int
    macs: int


def planned(study: str, out: Path, recipe: Recipe, seeds: int, peer_px: int | None) -> list[StudyRun]:
    """List the runs of a study, seed by seed, so that an unfinished one compares all networks too.

    Parameters
    ----------
    study
        A key of `train.study.STUDIES`.
    out
        The study's folder; run folders are ``runs/NETWORK-sSEED`` in it.
    recipe
        Of every network; its width is that of the networks which have one.
    seeds
        Number of seeds, from 0.
    peer_px
        Side of the crops for VGG-16 and ResNet-50, or None for the 224 px that they were made for.
    """

    def adapted(name: str) -> Recipe:
        network = NETWORKS[name]
        return replace(
            recipe,
            network=name,
            width=recipe.width if network.has_width else 1.0,
            crop_px=peer_px if peer_px and name in ("vgg16", "resnet50") else 0,
        )

    return [
        StudyRun(name, seed, adapted(name), out / "runs" / f"{name}-s{seed}")
        for seed in range(seeds)
        for name in STUDIES[study]
    ]


def read_sets(data: Path, validation: Path | None) -> Sets:
    """Return a reader of both sets at any size; the split, if one is made, is the same at every size."""

    @lru_cache(maxsize=2)
    def sets(size_px: int) -> tuple[Dataset, Dataset]:
        training = read_data(data, size_px=size_px)
        if validation is None:
            return split(training, seed=SPLIT_SEED)
        return training, read_data(validation, training.labels, size_px)

    return sets


def open_study(study: str, out: Path, recipe: Recipe, peer_px: int | None, sets: Sets) -> None:
    """Begin the study's folder, or check that the one there was begun with the same settings and data.

    Raises
    ------
    ValueError
        If it was not. More seeds are no other setting.
    """
    training, validation = sets(NETWORKS[STUDIES[study][0]].input_px)
    settings = settings_of(training, validation, recipe, SPLIT_SEED) | {"study": study}
    if study == "peers":
        settings["peer_px"] = peer_px
    open_run(out, settings, training, validation)


def costs(runs: Iterable[StudyRun], labels: int) -> dict[str, Cost]:
    """Count parameters and multiply-accumulates of each network among the runs."""
    found: dict[str, Cost] = {}
    for run in runs:
        if run.network not in found:
            model = NETWORKS[run.network].build(labels, input_px=run.crop_px, width=run.recipe.width)
            found[run.network] = Cost(model.count_params(), sum(multiply_accumulates(model).values()))
    keras.utils.clear_session()
    return found


def epochs_done(run: StudyRun) -> list[dict[str, float]]:
    """Read the history of a run that may not have begun."""
    table = run.folder / "history.csv"
    return read_history(table) if table.is_file() else []


def conduct(
    run: StudyRun,
    sets: Sets,
    on_step: Callable[[int, int, int], None],
    on_epoch: Callable[[dict[str, float]], None],
) -> None:
    """Fit one run, from where it was left; a finished one is only checked. See `train.fit.fit`."""
    training, validation = sets(run.crop_px)
    keras.utils.clear_session()  # a study builds many networks in one process
    fit(training, validation, run.folder, run.recipe, run.seed, on_step=on_step, on_epoch=on_epoch)
    # the optimizer's state, twice the model's size, only serves to resume
    (run.folder / "checkpoint.keras").unlink(missing_ok=True)
