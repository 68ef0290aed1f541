"""Fractions corrected for misclassification alone, against raw ones: simulated samples of five mixtures.

Frames go through the whole chain, but the correction has the confusion matrix only: false cells, repeats and
clumps are not in it, as they are in what `leuko count` prints. ``python -m benchmarks.coverage --only
corrected`` has those.

``python -m benchmarks.corrected_fractions [--samples 40] [--frames 2] [--cache FILE] [--json]``

The samples are drawn and classified once; ``--cache`` keeps them, one line of JSON per sample, and a run
that was stopped resumes from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.classify import Classifier
from edge.count import CountedFrame, Estimate, estimate_prevalence, estimate_proportion
from edge.model import Manifest, load_bundle
from edge.run import Analysis, count_frames
from edge.simulate import Optics, Scene, simulate_frame
from train.boxes import corners, match_boxes

MIXTURES = {
    "typical": (60.0, 30.0, 10.0),
    "granulocytes": (88.0, 9.0, 3.0),
    "lymphocytes": (15.0, 80.0, 5.0),
    "monocytes": (20.0, 20.0, 60.0),
    "no monocyte": (65.0, 35.0, 0.0),
}
"""Shares of granulocytes, lymphocytes and monocytes, in percent."""

LEUKOCYTES = ("granulocyte", "lymphocyte", "monocyte")
# more crowded than the frames of `leuko simulate`, and mostly leukocytes, so that fewer frames suffice
crowded = partial(Scene, leukocytes=50.0, erythrocytes=4.0, debris=2.0)
SAMPLE_SEED, VALIDATION_SEED = 910_000, 920_000
VALIDATION = "validation"

Sample = dict[str, Any]
"""One sample's cells: ``truth`` and ``answer``, label indices, −1 for nothing there and for a particle that
was not found; ``probability`` of the answer."""


@lru_cache(maxsize=1)
def _classifier(bundle: str) -> Classifier:
    return Classifier(load_bundle(bundle))


def draw(task: tuple[str, str, int, int]) -> Sample:
    """Simulate and classify one sample, given as bundle, name of the mixture, seed and frames."""
    bundle, mixture, seed, frames = task
    classifier = _classifier(bundle)
    manifest = classifier.bundle.manifest
    shares = MIXTURES.get(mixture, (1.0, 1.0, 1.0))
    scene = crowded(mix=tuple(zip(LEUKOCYTES, shares, strict=True)))
    simulated = [simulate_frame(seed, index, scene=scene) for index in range(frames)]
    results = count_frames(
        [Frame(frame.image, f"{seed}#{k}", k, 0) for k, frame in enumerate(simulated)],
        classifier,
        Analysis(pixel_um=Optics().pixel_um, reject_below=manifest.reject_below),
    )
    truth: list[int] = []
    answer: list[int] = []
    probability: list[float] = []
    for frame, result in zip(simulated, results, strict=True):
        assert isinstance(result, CountedFrame)
        real = [manifest.labels.index(cell.label) for cell in frame.truth]
        best = result.probabilities.argmax(1) if len(result.cells) else np.zeros(0, int)
        pairs = match_boxes(
            corners(result.cells),
            corners(particle.cell for particle in frame.truth),
            0.3,
        )
        matched = {i: real[j] for i, j in pairs}
        missed = sorted(set(range(len(real))) - {j for _, j in pairs})
        truth += [matched.get(i, -1) for i in range(len(best))] + [real[j] for j in missed]
        answer += [*best.tolist(), *[-1] * len(missed)]
        probability += [*result.probabilities.max(1, initial=0).round(4).tolist(), *[0.0] * len(missed)]
    return {
        "mixture": mixture,
        "seed": seed,
        "frames": frames,
        "truth": truth,
        "answer": answer,
        "probability": probability,
    }


def samples(bundle: str, count: int, frames: int, processes: int, cache: Path | None) -> Iterator[Sample]:
    """Yield every planned sample, those in the cache first."""
    plan = [(VALIDATION, VALIDATION_SEED + n, 2) for n in range(12)] + [
        (name, SAMPLE_SEED + 1000 * k + n, frames) for n in range(count) for k, name in enumerate(MIXTURES)
    ]
    known = {}
    if cache is not None and cache.exists():
        for line in cache.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            known[sample["mixture"], sample["seed"], sample["frames"]] = sample
    yield from (known[key] for key in plan if key in known)
    missing = [(bundle, *key) for key in plan if key not in known]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for sample in pool.imap(draw, missing):
            if cache is not None:
                with cache.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(sample) + "\n")
            yield sample


def confusion(drawn: Iterable[Sample], labels: int, reject_below: float) -> NDArray[np.int64]:
    """Return the confusion of the validation frames; the last column holds cells not found or rejected."""
    matrix = np.zeros((labels, labels + 1), np.int64)
    for sample in drawn:
        truth, answer, probability = (np.array(sample[name]) for name in ("truth", "answer", "probability"))
        answered = np.where(probability >= reject_below, answer, labels)
        real = truth >= 0
        np.add.at(matrix, (truth[real], answered[real]), 1)
    return matrix


def score(drawn: Sequence[Sample], manifest: Manifest) -> dict[str, Any]:
    """Compare raw fractions and those corrected by the manifest's matrix and by the chain's own.

    Errors are in points, against the mixture that the cells were drawn from and against the cells that came
    of it; the intervals are for the mixture.
    """
    labels, reject_below = len(manifest.labels), manifest.reject_below
    counted = np.array([label in manifest.counted for label in manifest.labels])
    chain = confusion((sample for sample in drawn if sample["mixture"] == VALIDATION), labels, reject_below)
    rows: dict[str, dict[str, list[list[NDArray[np.float64]]]]] = {}
    for sample in drawn:
        if sample["mixture"] == VALIDATION:
            continue
        truth, answer, probability = (np.array(sample[name]) for name in ("truth", "answer", "probability"))
        shares = dict(zip(LEUKOCYTES, MIXTURES[sample["mixture"]], strict=True))
        mixture = np.array([shares[label] for label in manifest.labels if label in manifest.counted]) / 100
        real = np.bincount(truth[truth >= 0], minlength=labels)[counted]
        found = np.bincount(answer[answer >= 0], minlength=labels)
        kept = np.bincount(answer[probability >= reject_below], minlength=labels)
        ways: dict[str, Sequence[Estimate]] = {
            "raw": [estimate_proportion(k, int(kept[counted].sum())) for k in kept[counted].tolist()],
            "corrected": estimate_prevalence(found, np.array(manifest.confusion), counted).shares,
            "corrected, matrix of the chain": estimate_prevalence(kept, chain, counted).shares,
        }
        for way, estimates in ways.items():
            value, low, high = np.array([(one.value, one.low, one.high) for one in estimates], float).T
            rows.setdefault(way, {}).setdefault(sample["mixture"], []).append(
                [
                    100 * np.abs(value - mixture),
                    100 * np.abs(value - real / real.sum()),
                    (low <= mixture + 1e-9) & (mixture <= high + 1e-9),
                    100 * (high - low),
                ]
            )
    names = ("error", "error_of_these_cells", "covered", "width")
    result: dict[str, Any] = {"samples": sum(map(len, rows["raw"].values())), "chain": chain.tolist()}
    for way, mixtures in rows.items():
        whole = {"all": [row for part in mixtures.values() for row in part], **mixtures}
        result[way] = {
            mixture: dict(zip(names, np.array(part, float).mean((0, 2)).round(4).tolist(), strict=True))
            for mixture, part in whole.items()
        }
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corrected_fractions", description=__doc__)
    parser.add_argument("--samples", type=int, default=40, help="samples per mixture")
    parser.add_argument("--frames", type=int, default=2, help="frames per sample, about 50 leukocytes each")
    parser.add_argument("--bundle", default="phantom3")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    drawn = list(samples(options.bundle, options.samples, options.frames, options.processes, options.cache))
    result = score(drawn, load_bundle(options.bundle).manifest)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['samples']} samples; points; intervals are for the mixture drawn from")
    print("corrected by the confusion matrix alone, without false cells, repeats and clumps")
    print(f"{'':31} {'mixture':13} {'error':>7} {'(cells)':>7} {'covered':>8} {'width':>7}")
    for way in ("raw", "corrected", "corrected, matrix of the chain"):
        for mixture, row in result[way].items():
            print(
                f"{way:31} {mixture:13} {row['error']:7.2f} {row['error_of_these_cells']:7.2f} "
                f"{row['covered']:8.3f} {row['width']:7.2f}"
            )


if __name__ == "__main__":
    main()
