"""Out-of-distribution cells: which score separates them from cells of the trained kinds?

``python -m benchmarks.out_of_distribution KNOWN --training DATA [--bundle B] [--shared S] [--backgrounds C]
[--run R]``

KNOWN and DATA hold labelled crops of the bundle's kinds: a part never trained on, and what it was trained on.
S holds real images of other things (hsc, beads, pbc) and C crops of empty places; without them the foreign
crops are simulated. With a run R, scores of its last hidden layer are measured too. Each score has the area
under its ROC curve and, after it, the share of foreign crops that pass where 95 % of KNOWN do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.out_of_distribution import fit, spheres
from edge.base import Frame
from edge.capture import read_frames
from edge.classify import Classifier, out_of_distribution_score
from edge.count import area_under_roc
from edge.find import Gates, crop_cells, crop_scale, segment
from edge.model import load_bundle
from edge.simulate import Optics, Scene, simulate_frame
from train.data import Dataset, read_data

Crops = NDArray[np.uint8]
Reals = NDArray[np.float64]
Score = Callable[[Crops], Reals]

HSC_UM, BEADS_UM = 0.60, 0.45
"""Pixel sizes that nobody stated, chosen so that these cells and spheres are as large as a leukocyte: the
harder case, for the gates of the segmentation drop what is much smaller."""


def simulated(crop_um: float, size_px: int, scene: Scene, frames: int, seed: int) -> Crops:
    """Crops around whole simulated particles, uint8 [n, size_px, size_px]."""
    pixel_um = Optics().pixel_um
    scale = crop_scale(pixel_um, crop_um / size_px)
    parts = []
    for index in range(frames):
        frame = simulate_frame(seed, index, scene=scene)
        cells = [particle.cell for particle in frame.truth if not particle.cell.border]
        parts.append(crop_cells(frame.image, cells, size_px=size_px, scale=scale))
    return np.concatenate(parts)


def segmented(frames: Path, pixel_um: float, crop_um: float, size_px: int, limit: int) -> Crops:
    """Crops of what the segmentation finds in frames of another instrument, `limit` of them, evenly."""
    parts = []
    for frame in read_frames([str(frames)]):
        if isinstance(frame, Frame):
            cells = segment(frame.image, pixel_um=pixel_um, gates=Gates(keep_border=False))
            scale = crop_scale(pixel_um, crop_um / size_px)
            parts.append(crop_cells(frame.image, cells, size_px=size_px, scale=scale))
    crops = np.concatenate(parts)
    return np.asarray(crops[np.unique(np.linspace(0, len(crops) - 1, limit).astype(int))])


def photographs(folder: Path, size_px: int, limit: int) -> Crops:
    """Pictures of one cell each in grey, made square and of the crops' size, evenly chosen from a folder."""
    files = sorted(folder.rglob("*.jpg"))
    crops = []
    for k in np.unique(np.linspace(0, len(files) - 1, limit).astype(int)):
        grey = cv2.imread(str(files[k]), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        side = min(grey.shape)
        top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
        whole = np.asarray(grey[top : top + side, left : left + side], np.uint8)
        crops.append(cv2.resize(whole, (size_px, size_px), interpolation=cv2.INTER_AREA))
    return np.asarray(crops, np.uint8)


def foreign_crops(
    crop_um: float, size_px: int, shared: Path | None, backgrounds: Path | None, limit: int
) -> Iterator[tuple[str, Crops]]:
    """Kinds of crops that no hemocytometer training set holds, by name."""
    empty = {"leukocytes": 0.0, "erythrocytes": 0.0, "debris": 0.0, "separate": True}
    for name, change in (
        ("simulated debris", {"debris": 50.0}),
        ("simulated leukocytes", {"leukocytes": 25.0}),
    ):
        scene = Scene(**{**empty, **change})  # type: ignore[arg-type]
        frames = max(1, round(limit / sum(change.values())))
        yield name, simulated(crop_um, size_px, scene, frames, seed=77)
    yield "simulated spheres", spheres(crop_um, size_px, limit, seed=78)
    if shared is not None:
        yield "beads", segmented(shared / "beads", BEADS_UM, crop_um, size_px, limit)
        yield "hsc", segmented(shared / "hsc", HSC_UM, crop_um, size_px, limit)
        yield "pbc", photographs(shared / "pbc", size_px, limit)
    if backgrounds is not None:
        files = sorted(backgrounds.glob("*.png"))
        chosen = np.unique(np.linspace(0, len(files) - 1, limit).astype(int))
        crops = [cv2.imread(str(files[k]), cv2.IMREAD_GRAYSCALE) for k in chosen]
        yield "empty places", np.asarray(crops, np.uint8)


def of_logits(classifier: Classifier) -> dict[str, Score]:
    """Scores that a bundle's own output gives."""

    def probabilities(crops: Crops) -> Reals:
        return classifier.probabilities(crops).astype(np.float64)

    def margin(p: Reals) -> Reals:
        ordered = np.sort(p, axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2])

    def entropy(p: Reals) -> Reals:
        return np.asarray((p * np.log(p + 1e-12)).sum(axis=1))

    def energy(z: Reals) -> Reals:
        top = z.max(axis=1)
        return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(axis=1)))

    return {
        "probability": lambda crops: probabilities(crops).max(axis=1),
        "margin": lambda crops: margin(probabilities(crops)),
        "entropy": lambda crops: entropy(probabilities(crops)),
        "energy (Liu 2020)": lambda crops: energy(classifier.logits(crops).astype(np.float64)),
        "maximum logit": lambda crops: classifier.logits(crops).max(axis=1).astype(np.float64),
    }


def of_vectors(vectors: Callable[[Crops], Reals], training: Dataset, name: str) -> dict[str, Score]:
    """Scores by distance from the training crops' vectors: to class means (two ways) and to neighbours."""
    seen = vectors(training.crops)
    means = np.stack([seen[training.truth == k].mean(axis=0) for k in np.unique(training.truth)])
    inside = seen - means[training.truth]
    covariance = np.cov(inside.T)
    # shrunk by a twentieth: there are fewer crops than a full covariance needs
    ridge = 0.05 * np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv(0.95 * covariance + ridge * np.eye(len(covariance)))

    def unit(x: Reals) -> Reals:
        return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9))

    def mahalanobis(crops: Crops) -> Reals:
        away = vectors(crops)[:, None] - means
        return np.asarray(-np.einsum("nci,ij,ncj->nc", away, inverse, away).min(axis=1))

    return {
        f"{name}: Mahalanobis (Lee 2018)": mahalanobis,
        f"{name}: cosine to class means": lambda crops: (unit(vectors(crops)) @ unit(means).T).max(axis=1),
        f"{name}: fifth neighbour (Sun 2022)": lambda crops: np.sort(unit(vectors(crops)) @ unit(seen).T)[
            :, -5
        ],
    }


def hidden(run: Path) -> Callable[[Crops], Reals]:
    """Return the function from crops to the outputs of a run's last hidden layer, float64 [n, m]."""
    import keras

    from train.fit import normalised
    from train.run import load_run

    model, _, normalisation = load_run(run)
    inner = keras.Model(model.input, model.get_layer("as_map").input)

    def vectors(crops: Crops) -> Reals:
        starts = range(0, len(crops), 32)
        parts = [inner.predict_on_batch(normalised(crops[i : i + 32], normalisation)) for i in starts]
        return np.concatenate([np.asarray(part, np.float64) for part in parts])

    return vectors


def passing(known: Reals, strange: Reals, kept: float = 0.95) -> float:
    """Share of foreign crops that score at least what a share `kept` of the known cells reaches."""
    return float((strange >= np.quantile(known, 1 - kept)).mean())


def compare(
    scores: Mapping[str, Score], known: Dataset, right: NDArray[np.bool_], kinds: Mapping[str, Crops]
) -> dict[str, dict[str, tuple[float, float]]]:
    """AUROC and passing share of each score and kind; ``mistakes`` are the known cells named wrongly."""
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for name, score in scores.items():
        usual = score(known.crops)
        row = {"mistakes": (area_under_roc(usual[right], usual[~right]), passing(usual, usual[~right]))}
        for kind, crops in kinds.items():
            strange = score(crops)
            row[kind] = (area_under_roc(usual, strange), passing(usual, strange))
        table[name] = row
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.out_of_distribution", description=__doc__)
    parser.add_argument("known", type=Path)
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--bundle", default="hemocytometer")
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--limit", type=int, default=200, help="crops of a kind")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    classifier = Classifier(load_bundle(options.bundle))
    manifest = classifier.bundle.manifest
    known = read_data(options.known, manifest.labels, manifest.crop_px)
    training = read_data(options.training, manifest.labels, manifest.crop_px)
    place = manifest.crop_um, manifest.crop_px, options.shared, options.backgrounds, options.limit
    scores = of_logits(classifier)
    scores |= of_vectors(lambda crops: classifier.logits(crops).astype(np.float64), training, "logits")
    if options.run is not None:
        scores |= of_vectors(hidden(options.run), training, "hidden layer")
    scores["typicality"] = partial(out_of_distribution_score, model=fit(training.crops))
    right = classifier.probabilities(known.crops).argmax(axis=1) == known.truth
    table = compare(scores, known, right, dict(foreign_crops(*place)))
    if options.json:
        print(json.dumps(table))
        return
    kinds = list(table["probability"])
    print("| score | " + " | ".join(kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for name, row in table.items():
        cells = (f"{area:.3f} {through:.2f}" for area, through in row.values())
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
