"""Accuracy against cost: one network in several sizes.

``python -m benchmarks.compact OUT SET=FOLDER [SET=FOLDER ...]``

Each FOLDER holds finished runs of one data set, all validated on the same cells. Each run is converted to
int8 and classifies its validation cells, averaged over eight views. Its accuracy is compared with that of the
run with the most multiply-accumulates (paired score interval). The milliseconds are for one view, on one
thread of LiteRT on this machine, in batches of eight. OUT gets ``compact.md``, ``compact.csv`` and
``compact.svg``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.build import build
from convert.paired import paired_interval
from convert.settings import Description, Settings
from edge.base import write_atomically
from edge.classify import Classifier
from edge.model import TEST_TIME_VIEWS
from edge.run import INVOKE, time_bundle
from train.networks import multiply_accumulates
from train.report.figure import plots, svg
from train.run import load_run, read_crops
from train.run_config import read_config
from train.table import table_text

COLUMNS = ("set", "network", "MMAC", "parameters", "bundle, MB", "ms per view", "float", "int8")
HEADER = (*COLUMNS, "against the largest, points (95 % interval)")


@dataclass(frozen=True, eq=False)
class Point:
    """One network on one data set.

    Attributes
    ----------
    macs : int
        Multiply-accumulates per crop, as trained.
    ms : float
        Median per view.
    right : bool [n]
        Whether int8 answers each validation cell correctly.
    """

    data: str
    title: str
    macs: int
    parameters: int
    size_bytes: int
    ms: float
    float_accuracy: float
    right: NDArray[np.bool_]


def point(data: str, run: Path) -> Point:
    """Convert a run and measure it."""
    network, _, _ = load_run(run)
    recipe, crops = read_config(run).recipe, read_crops(run)
    description = Description(
        name=run.name,
        version="1",
        pixel_um=None,
        training_name=data,
        intended_use="research use only, not for diagnosis",
        licence="Apache-2.0",
        notice="",
    )
    # every cell gets all views, and the table shows what int8 costs, so no loss is refused
    settings = Settings(test_time_views=TEST_TIME_VIEWS[-1], test_time_share=1.0, max_loss=100.0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "point.tflite"
        bundle = build(run, file, description, settings)
        size_bytes = file.stat().st_size
    answers = Classifier(bundle).logits(crops.validation).argmax(axis=1)
    timings = time_bundle(bundle, "litert", [1])
    width = f" ×{recipe.width:g}" if recipe.width != 1 else ""
    assert bundle.manifest.parity is not None
    return Point(
        data=data,
        title=recipe.network + width,
        macs=sum(multiply_accumulates(network).values()),
        parameters=network.count_params(),
        size_bytes=size_bytes,
        ms=next(t.ms for t in timings if t.work == INVOKE and t.batch > 1),
        float_accuracy=bundle.manifest.parity.float_accuracy,
        right=answers == crops.truth,
    )


def rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return the rows of a data set, whose first point is the largest network; the columns are `HEADER`."""
    made: list[tuple[str, ...]] = []
    for one in points:
        gains = one.right.astype(np.int64) - points[0].right
        low, high = paired_interval(gains)
        made.append(
            (
                one.data,
                one.title,
                f"{one.macs / 1e6:.0f}",
                f"{one.parameters:,}",
                f"{one.size_bytes / 1e6:.2f}",
                f"{one.ms:.2f}",
                f"{one.float_accuracy:.4f}",
                f"{one.right.mean():.4f}",
                "" if one is points[0] else f"{100 * gains.mean():+.2f} ({low:+.2f} to {high:+.2f})",
            )
        )
    return made


def drawn(sets: dict[str, list[Point]]) -> str:
    """Draw accuracy against multiply-accumulates, one panel per data set, as SVG."""
    figure, panels = plots(columns=len(sets), width_in=4.2 * len(sets), height_in=3.4)
    for axes, (name, points) in zip(panels, sets.items(), strict=True):
        axes.plot([one.macs / 1e6 for one in points], [one.right.mean() for one in points], "o")
        for one in points:
            axes.annotate(
                one.title,
                (one.macs / 1e6, float(one.right.mean())),
                (4, 4),
                textcoords="offset points",
                fontsize=7,
            )
        axes.set_xscale("log")
        axes.set_xlim(15, 2000)
        axes.set_xticks([30, 100, 300, 1000], ["30", "100", "300", "1000"], minor=False)
        axes.set_title(name)
        axes.set_xlabel("million multiply-accumulates per crop")
        axes.set_ylabel("accuracy in int8")
    return svg(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compact", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", nargs="+", metavar="SET=FOLDER")
    options = parser.parse_args(arguments)
    sets = {}
    for name, _, folder in (one.partition("=") for one in options.sets):
        runs = sorted(path.parent for path in Path(folder).glob("*/model.keras"))
        if not runs:
            raise SystemExit(f"{folder}: no finished runs")
        points = [point(name, run) for run in runs]
        sets[name] = sorted(points, key=lambda one: -one.macs)
    table = [row for points in sets.values() for row in rows(points)]
    options.out.mkdir(parents=True, exist_ok=True)
    lines = ["| " + " | ".join(row) + " |" for row in (HEADER, ("---",) * len(HEADER), *table)]
    for file, content in (
        ("compact.md", "\n".join(lines) + "\n"),
        ("compact.csv", table_text(HEADER, table)),
        ("compact.svg", drawn(sets)),
    ):
        write_atomically(options.out / file, content.encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
