"""How far are the counted fractions of fresh simulated samples from the truth?

``python -m benchmarks.fractions [--samples 40] [--cells 400] [--seed 900000] [--bundle phantom3] [--json]``
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from edge.base import Frame
from edge.classify import Classifier
from edge.count import CountedFrame, Tally, tally_decisions
from edge.model import load_bundle
from edge.run import Analysis, count_frames
from edge.simulate import Optics, Scene, simulate_frame


def sample(classifier: Classifier, seed: int, cells: int) -> tuple[Tally, Counter[str]]:
    """Count frames of one simulated sample until it holds `cells` leukocytes; return the truth too."""
    manifest = classifier.bundle.manifest
    # mixtures differ from sample to sample as patients do; Dirichlet around 60 : 30 : 10
    shares = np.random.default_rng(seed).dirichlet((12, 6, 2))
    scene = Scene(mix=tuple(zip(manifest.counted, map(float, shares), strict=True)))
    truth: Counter[str] = Counter()

    def frames() -> Iterator[Frame]:
        index = 0
        while sum(truth[label] for label in manifest.counted) < cells:
            simulated = simulate_frame(seed, index, scene=scene)
            truth.update(cell.label for cell in simulated.truth)
            yield Frame(simulated.image, f"{seed}#{index}", index, 0)
            index += 1

    results = count_frames(
        frames(),
        classifier,
        Analysis(pixel_um=Optics().pixel_um, reject_below=manifest.reject_below),
    )
    counted = [result for result in results if isinstance(result, CountedFrame)]
    decisions = [decision for result in counted for decision in result.decisions]
    return tally_decisions(manifest.labels, manifest.counted, decisions, len(counted), []), truth


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fractions", description=__doc__)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--cells", type=int, default=400, help="leukocytes per sample")
    parser.add_argument("--seed", type=int, default=900_000, help="seed of the first sample")
    parser.add_argument("--bundle", default="phantom3")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    classifier = Classifier(load_bundle(options.bundle))
    counted = classifier.bundle.manifest.counted
    errors: list[list[float]] = []
    covered = rejected = found = true = 0
    for seed in range(options.seed, options.seed + options.samples):
        total, truth = sample(classifier, seed, options.cells)
        leukocytes = sum(truth[label] for label in counted)
        row = []
        for label, fraction in total.fractions.items():
            share = truth[label] / leukocytes
            row.append(abs((fraction.value or 0.0) - share))
            covered += fraction.low <= share <= fraction.high
        errors.append(row)
        rejected += total.rejected
        found += total.leukocytes
        true += leukocytes
    table = 100 * np.array(errors)
    result = {
        "samples": options.samples,
        "cells": options.cells,
        "mean_absolute_error_points": float(table.mean()),
        "by_label": dict(zip(counted, table.mean(axis=0).round(3).tolist(), strict=True)),
        "worst_points": float(table.max()),
        "leukocytes_true": true,
        "leukocytes_counted": found,
        "rejected": rejected,
        "truth_in_interval": covered / table.size,
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")


if __name__ == "__main__":
    main()
