"""A bundle compared with the training run that it was made from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.build import TrainedRun
from convert.fold import folded
from convert.logits import Inference
from convert.loss import Loss, loss_of, loss_words
from convert.noise import costs, similarity_db
from convert.parity import Comparison, compare, refusal, summary_lines
from convert.settings import Settings
from edge.base import quantity
from edge.model import Bundle
from train.data import Dataset, read_data

WORST = 24
"""Cells listed and shown, those whose probabilities differ most."""
LEAST_SIMILARITY_DB = 15
"""Logits of a bundle and of its own run differ by rounding, 36 to 42 dB in every run tried; those of another
network, trained on the same crops or distilled from its answers, reached 11 dB at most, although 96 % of the
answers agreed."""
_COMPARED = 32
"""Crops on which the similarity is measured: the two cases are far apart."""
_COST_CROPS = 16


@dataclass(frozen=True, eq=False)
class Verification:
    """A bundle compared with its run.

    The costs are those of each layer alone in int8, see `convert.noise.costs`.
    """

    comparison: Comparison
    costs: dict[str, float]
    cells: Dataset
    title: str

    @property
    def summary_lines(self) -> list[str]:
        """Lines for the terminal."""
        return [*summary_lines(self.comparison.parity), self.loss_words]

    @property
    def loss_words(self) -> str:
        """What the cells tell of the accuracy that int8 loses."""
        return loss_words(self.comparison.parity, Settings.max_loss)

    @property
    def refusals(self) -> list[str]:
        """Why the bundle must not be trusted; empty if it may."""
        parity, limit = self.comparison.parity, Settings.max_loss
        return [refusal(parity, limit, self.costs)] if loss_of(parity, limit) is Loss.SHOWN else []

    @property
    def worst(self) -> list[int]:
        """Indices of the cells whose probabilities differ most, the worst first."""
        order: list[int] = np.argsort(-self.comparison.distances, kind="stable")[:WORST].tolist()
        return order

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object; infinite ratios are null."""

        def finite(value: float) -> float | None:
            return value if math.isfinite(value) else None

        compared = self.comparison
        return {
            "parity": asdict(compared.parity),
            "rewriting": asdict(compared.rewriting),
            "loss": loss_of(compared.parity, Settings.max_loss),
            "layers": [
                {"name": layer.name, "sqnr_db": finite(layer.sqnr_db), "alone_db": finite(alone)}
                for layer, alone in zip(compared.layers, self.costs.values(), strict=True)
            ],
            "worst": [
                {"cell": self.cells.names[k], "distance": float(compared.distances[k])} for k in self.worst
            ],
        }


def verify(bundle: Bundle, run: Path, data: Path | None = None) -> Verification:
    """Compare a bundle with the run that it was made from, on labelled crops or the run's validation cells.

    Raises ValueError if the run or the data cannot be used, or the bundle was not made from this run.
    """
    trained = TrainedRun.load(run)
    refuse_other_run(bundle, trained)
    cells = validation_cells(trained) if data is None else read_data(data, trained.labels, trained.side_px)
    manifest, inputs = bundle.manifest, trained.inputs(cells.crops)
    rewritten = folded(trained.network, trained.inputs(trained.crops.representative))
    inference = Inference(manifest.test_time_views, manifest.margin, manifest.temperature)
    compared = compare(
        trained.network, rewritten, bundle.flatbuffer, inputs, cells.truth, inference, cells.groups
    )
    some = inputs[np.linspace(0, len(inputs) - 1, min(len(inputs), _COST_CROPS)).round().astype(int)]
    source = f"{run.name}'s validation cells" if data is None else data
    title = f"{manifest.name} {manifest.version} on {source}, {quantity(len(cells.truth), 'cell')}"
    return Verification(compared, costs(rewritten, compared.layers, some), cells, title)


def refuse_other_run(bundle: Bundle, trained: TrainedRun) -> None:
    """Raise ValueError if a bundle was not made from this run."""
    manifest, run = bundle.manifest, trained.folder
    stated = manifest.labels, manifest.crop_px, manifest.normalisation, manifest.training.sha256
    training_sha256 = trained.config.training.sha256
    if (trained.labels, trained.side_px, trained.normalisation, training_sha256) != stated:
        raise ValueError(
            f"{run}: its labels or training crops are not the bundle's: name the run it was made from"
        )
    representative = trained.crops.representative
    few = trained.inputs(representative[:: -(-len(representative) // _COMPARED)])
    if similarity_db(trained.network, bundle.flatbuffer, few) < LEAST_SIMILARITY_DB:
        raise ValueError(
            f"{run}: its network answers differently: name the run that the bundle was made from"
        )


def validation_cells(trained: TrainedRun) -> Dataset:
    """Return the validation cells that a run kept, with their groups; ValueError if it kept none."""
    crops = trained.crops
    if not len(crops.truth):
        raise ValueError(f"{trained.folder} kept no validation cells: pass DATA after it")
    names = tuple(f"validation cell {k}" for k in range(len(crops.truth)))
    return Dataset(crops.validation, crops.truth, trained.labels, names, crops.groups)
