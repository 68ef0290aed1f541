"""What ``leuko verify B RUN`` adds: a bundle against the run it was made of, in words and as a page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.fold import folded
from convert.parity import (
    MAX_LOSS_POINTS,
    Comparison,
    compare,
    costs,
    likeness_db,
    loses_more,
    refusal,
    words,
)
from edge.base import write_atomically
from edge.model import Bundle
from train.data import read_data
from train.fit import normalised
from train.report.figure import plots, svg
from train.report.page import Picture, gallery, page, paragraph, table
from train.run import load_run, read_config, read_crops

WORST = 24
"""Pictures of cells whose probabilities differ most."""
LEAST_LIKENESS_DB = 15
"""Logits of a bundle and of its own run differ by rounding, 36 to 42 dB in every run tried; those of another
network, trained on the same crops or distilled from its answers, came to 11 dB at most, though 96 % of the
answers agreed."""
_COMPARED = 32
"""Crops that tell: the two cases lie far apart."""


@dataclass(frozen=True, eq=False)
class Verified:
    """A bundle compared with its run.

    Attributes
    ----------
    comparison : see `convert.parity.Comparison`
    costs : of each layer alone in int8, see `convert.parity.costs`
    crops : uint8 [n, s, s], the cells
    names : of each cell
    labels : in output order
    title : of the bundle and what it was compared on
    """

    comparison: Comparison
    costs: dict[str, float]
    crops: NDArray[np.uint8]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    title: str

    @property
    def words(self) -> list[str]:
        """Two lines for the terminal."""
        return words(self.comparison.parity)

    @property
    def refusal(self) -> str | None:
        """Why the bundle must not be trusted, in one line, or None."""
        parity = self.comparison.parity
        if not loses_more(parity, MAX_LOSS_POINTS):
            return None
        return refusal(parity, MAX_LOSS_POINTS, self.costs)

    @property
    def worst(self) -> list[int]:
        """Indices of the cells whose probabilities differ most, the worst first."""
        order: list[int] = np.argsort(-self.comparison.distances, kind="stable")[:WORST].tolist()
        return order

    def as_json(self) -> dict[str, Any]:
        """State it as one object; decibels without noise are null."""

        def finite(value: float) -> float | None:
            return value if np.isfinite(value) else None

        compared = self.comparison
        return {
            "parity": asdict(compared.parity),
            "rewriting": asdict(compared.rewriting),
            "layers": [
                {"name": layer.name, "sqnr_db": finite(layer.sqnr_db), "alone_db": finite(alone)}
                for layer, alone in zip(compared.layers, self.costs.values(), strict=True)
            ],
            "worst": [{"cell": self.names[k], "distance": float(compared.distances[k])} for k in self.worst],
        }


def verify(bundle: Bundle, run: Path, data: Path | None = None) -> Verified:
    """Compare a bundle with the run that it was made of, on labelled crops or on the run's validation cells.

    Raises
    ------
    ValueError
        If the run or the data cannot be used, or the bundle was not made of this run.
    """
    network, labels, normalisation = load_run(run)
    manifest = bundle.manifest
    kept = read_crops(run)
    side = kept.representative.shape[1]
    trained = labels, side, normalisation, read_config(run)["training"]["sha256"]
    if trained != (manifest.labels, manifest.crop_px, manifest.normalisation, manifest.training.sha256):
        raise ValueError(
            f"{run}: its labels or training crops are not the bundle's: name the run it was made of"
        )
    every = -(-len(kept.representative) // _COMPARED)
    few = normalised(kept.representative[::every], normalisation)
    if likeness_db(network, bundle.flatbuffer, few) < LEAST_LIKENESS_DB:
        raise ValueError(f"{run}: its network answers otherwise: name the run that the bundle was made of")
    if data is None:
        crops, truth = kept.validation, kept.truth
        names, groups = tuple(f"validation cell {k}" for k in range(len(truth))), None
        if not len(truth):
            raise ValueError(f"{run} kept no validation cells: give DATA behind it")
    else:
        found = read_data(data, labels, side)
        crops, truth, names, groups = found.crops, found.truth, found.names, found.groups
    inputs = normalised(crops, normalisation)
    rewritten = folded(network, normalised(kept.representative, normalisation))
    compared = compare(
        network,
        rewritten,
        bundle.flatbuffer,
        inputs,
        truth,
        manifest.temperature,
        groups=groups,
        views=manifest.test_time_views,
        doubt=manifest.margin,
    )
    some = inputs[np.linspace(0, len(inputs) - 1, min(len(inputs), 16)).round().astype(int)]
    cost = costs(rewritten, compared.layers, some)
    where = f"{run.name}'s validation cells" if data is None else str(data)
    title = f"{manifest.name} {manifest.version} on {where}, {len(truth):,} cells"
    return Verified(compared, cost, crops, names, labels, title)


def write(out: Path, verified: Verified) -> None:
    """Write ``parity.html`` and ``parity.json`` into the folder `out`.

    Raises
    ------
    OSError
        If one cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "parity.json", (json.dumps(verified.as_json(), indent=2) + "\n").encode())
    write_atomically(out / "parity.html", _page(verified).encode())


def _page(verified: Verified) -> str:
    compared = verified.comparison
    parity, rewriting = compared.parity, compared.rewriting
    rows = [
        ("Keras, float32", f"{parity.float_accuracy:.4f}", "", "", ""),
        *(
            (
                name,
                f"{found.int8_accuracy:.4f}",
                f"{found.low:+.2f} to {found.high:+.2f}",
                f"{100 * found.agreement:.1f} %",
                f"{found.largest_probability_difference:.2g}",
            )
            for name, found in (("flatbuffer, float32", rewriting), ("flatbuffer, int8", parity))
        ),
    ]
    header = ("", "accuracy", "difference, points", "same answer", "largest probability difference")
    figure, (axes,) = plots(height_in=0.28 * len(compared.layers) + 0.9)
    names = [layer.name for layer in compared.layers]
    piled = [layer.sqnr_db for layer in compared.layers]
    axes.plot(piled, names, "o-", label="output, all before in int8 too")
    axes.plot(list(verified.costs.values()), names, "s--", label="logits, this layer alone in int8")
    axes.invert_yaxis()
    axes.set_xlabel("signal to quantisation noise, dB")
    figure.legend(loc="outside upper center", ncols=2)
    noise = [
        (layer.name, f"{layer.sqnr_db:.1f}", f"{alone:.1f}", f"{layer.scale:.3g}")
        for layer, alone in zip(compared.layers, verified.costs.values(), strict=True)
    ]
    pictures = [
        Picture(
            verified.crops[k],
            f"{verified.labels[compared.truth[k]]}: "
            f"{_answer(verified, compared.trained[k])} → {_answer(verified, compared.int8[k])}",
            verified.names[k],
        )
        for k in verified.worst
    ]
    sections = [
        ("Answers", table(header, rows) + paragraph("Intervals: paired bootstrap, 95 %.", small=True)),
        (
            "Noise a layer",
            svg(figure)
            + table(("layer", "output, dB", "alone, logits, dB", "step"), noise)
            + paragraph("6 dB are one bit. The layer whose second number is lowest costs most.", small=True),
        ),
        (
            "Cells whose probabilities differ most",
            paragraph("Truth: answer in float → answer in int8.") + gallery(pictures, large=True),
        ),
    ]
    notices = [verified.refusal] if verified.refusal else []
    return page("Parity of float and int8", verified.title, sections, notices)


def _answer(verified: Verified, probabilities: NDArray[np.float32]) -> str:
    return f"{verified.labels[int(probabilities.argmax())]} {probabilities.max():.2f}"
