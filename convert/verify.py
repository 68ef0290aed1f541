"""A bundle compared with the training run that it was made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.build import TrainedRun
from convert.fold import folded
from convert.logits import Inference
from convert.noise import costs, similarity_db
from convert.parity import Comparison, compare, loses_more, refusal, summary_lines
from convert.settings import Settings
from edge.model import Bundle
from train.data import read_data
from train.fit import normalised
from train.run import read_config

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
class Cells:
    """Labelled crops to compare on.

    Attributes
    ----------
    crops : uint8 [n, s, s]
    truth : int64 [n]
    names : tuple of str
        Of each cell.
    groups : sequence of str or None
        Frame or patient of each cell.
    source : str
        Where they are from.
    """

    crops: NDArray[np.uint8]
    truth: NDArray[np.int64]
    names: tuple[str, ...]
    groups: Sequence[str] | None
    source: str


@dataclass(frozen=True, eq=False)
class Verification:
    """A bundle compared with its run.

    Attributes
    ----------
    costs : dict of str to float
        Of each layer alone in int8, see `convert.noise.costs`.
    labels : tuple of str
        In output order.
    title : str
        Names the bundle and what it was compared on.
    """

    comparison: Comparison
    costs: dict[str, float]
    cells: Cells
    labels: tuple[str, ...]
    title: str

    @property
    def summary_lines(self) -> list[str]:
        """Two lines for the terminal."""
        return summary_lines(self.comparison.parity)

    @property
    def refusals(self) -> list[str]:
        """Why the bundle must not be trusted; empty if it may."""
        parity, limit = self.comparison.parity, Settings.max_loss
        return [refusal(parity, limit, self.costs)] if loses_more(parity, limit) else []

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

    Raises
    ------
    ValueError
        If the run or the data cannot be used, or the bundle was not made from this run.
    """
    trained = TrainedRun.load(run)
    refuse_other_run(bundle, trained)
    cells = validation_cells(trained) if data is None else labelled_cells(trained, data)
    manifest = bundle.manifest
    inputs = normalised(cells.crops, trained.normalisation)
    rewritten = folded(trained.network, normalised(trained.crops.representative, trained.normalisation))
    inference = Inference(manifest.test_time_views, manifest.margin, manifest.temperature)
    compared = compare(
        trained.network, rewritten, bundle.flatbuffer, inputs, cells.truth, inference, cells.groups
    )
    some = inputs[np.linspace(0, len(inputs) - 1, min(len(inputs), _COST_CROPS)).round().astype(int)]
    title = f"{manifest.name} {manifest.version} on {cells.source}, {len(cells.truth):,} cells"
    return Verification(compared, costs(rewritten, compared.layers, some), cells, trained.labels, title)


def refuse_other_run(bundle: Bundle, trained: TrainedRun) -> None:
    """Raise ValueError if a bundle was not made from this run."""
    manifest, run = bundle.manifest, trained.folder
    stated = manifest.labels, manifest.crop_px, manifest.normalisation, manifest.training.sha256
    training_sha256 = read_config(run)["training"]["sha256"]
    if (trained.labels, trained.side_px, trained.normalisation, training_sha256) != stated:
        raise ValueError(
            f"{run}: its labels or training crops are not the bundle's: name the run it was made from"
        )
    representative = trained.crops.representative
    few = normalised(representative[:: -(-len(representative) // _COMPARED)], trained.normalisation)
    if similarity_db(trained.network, bundle.flatbuffer, few) < LEAST_SIMILARITY_DB:
        raise ValueError(
            f"{run}: its network answers differently: name the run that the bundle was made from"
        )


def validation_cells(trained: TrainedRun) -> Cells:
    """Return the validation cells that a run kept; ValueError if it kept none."""
    crops, run = trained.crops, trained.folder
    if not len(crops.truth):
        raise ValueError(f"{run} kept no validation cells: pass DATA after it")
    names = tuple(f"validation cell {k}" for k in range(len(crops.truth)))
    return Cells(crops.validation, crops.truth, names, None, f"{run.name}'s validation cells")


def labelled_cells(trained: TrainedRun, data: Path) -> Cells:
    """Read labelled crops; ValueError if they cannot be used."""
    found = read_data(data, trained.labels, trained.side_px)
    return Cells(found.crops, found.truth, found.names, found.groups, str(data))
