"""The manifest of a bundle, as JSON with one spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge.base import PIXELS_UM, SchemaError, declare, labels_problem, read, shown
from edge.find import Normalisation

SCHEMA = 5
UPGRADED_SCHEMA = 4
"""The schema of the last release, which ``leuko bundle upgrade`` reads."""

OCTAVES = 4
STATISTICS = OCTAVES + 2
TEST_TIME_VIEWS = (1, 8)
"""The crop alone, or both mirror images in all four quarter turns."""

PROBABILITY = "probability"
OUT_OF_DISTRIBUTION = "out_of_distribution"
"""The rejection scores; `PROBABILITY` is the one that `Manifest.reject_below` holds for."""

_SIZE_LIMIT_BYTES = 1 << 20
_COUNT_LIMIT = 2**53 - 1
"""Every reader of JSON holds counts up to it exactly."""


def _count(description: str) -> Any:
    return declare(description, 0, _COUNT_LIMIT)


def _share(description: str) -> Any:
    return declare(description, 0, 1)


def _sha256(description: str) -> Any:
    return declare(description, pattern="[0-9a-f]{64}", form="64 hexadecimal digits")


@dataclass(frozen=True)
class OutOfDistributionModel:
    """The Gaussian of the training crops' statistics, see `edge.classify.out_of_distribution`."""

    mean: tuple[float, ...] = declare("mean of each statistic", -1e12, 1e12)
    precision: tuple[tuple[float, ...], ...] = declare(
        "inverse of their covariance, one row per statistic", -1e12, 1e12
    )


@dataclass(frozen=True)
class Quantisation:
    """Affine quantisation of a tensor: real value = scale · (int8 − zero_point)."""

    scale: float = declare("real value of one int8 step", 0, 1e9, low_open=True)
    zero_point: int = declare("int8 value of real 0", -128, 127)


@dataclass(frozen=True)
class TrainingData:
    """What the network was trained on."""

    name: str = declare("name of the training data")
    sha256: str = _sha256("SHA-256 over its crops and labels")


@dataclass(frozen=True)
class RepresentativeSet:
    """The crops from which the quantiser took its ranges."""

    crops: int = _count("number of crops")
    sha256: str = _sha256("SHA-256 over them")


@dataclass(frozen=True)
class Parity:
    """The int8 network compared with the trained float one, on the run's validation crops."""

    cells: int = _count("cells compared")
    float_accuracy: float = _share("accuracy of the float network")
    int8_accuracy: float = _share("accuracy of the int8 network")
    low: float = declare("lower end of the 95 % paired score interval of int8 − float", -100, 100)
    high: float = declare("its upper end, in percentage points as the lower one", -100, 100)
    agreement: float = _share("share of cells to which both give the same label")
    largest_probability_difference: float = _share("largest difference for any label of any cell")


@dataclass(frozen=True)
class Rejection:
    """How the rejection threshold was chosen, and how well it rejects cells of other kinds."""

    score: str = declare(f"what is thresholded: {PROBABILITY} (the largest) or {OUT_OF_DISTRIBUTION}")
    threshold: float = declare(
        "cells with a smaller probability, or larger distance, are rejected", -1e9, 1e9
    )
    precision: float = _share("share of right answers found among the validation cells kept")
    coverage: float = _share("share of the validation cells kept")
    auroc: Mapping[str, float] = _share("kind of cell outside the training data, and the score's AUROC")
    source: str = declare("cells on which it was chosen and measured")
    least_precision: float | None = declare(
        "one-sided 95 % limit of that share among new cells, given how the threshold was chosen",
        0,
        1,
        default=None,
    )


@dataclass(frozen=True)
class Answers:
    """What the validation cells were called as deployed, with the out-of-distribution gate."""

    cells: tuple[tuple[int, ...], ...] = _count(
        "validation cells, rows are the truth in label order, columns the labels that they got, however"
        " sure, and last none: out of distribution"
    )
    missed: tuple[int, ...] = _count("further cells of each label, in the frames, that were not found")
    false: tuple[int, ...] = _count("bodies found in the frames where no cell is, by label given, then none")
    frames: int = _count("annotated frames that were counted; 0 for crops, where nothing can be missed")
    source: str = declare("name of the cells or frames")

    @property
    def validated(self) -> int:
        """Number of validation cells."""
        return sum(map(sum, self.cells)) + sum(self.missed)


@dataclass(frozen=True)
class Readers:
    """What several people who read the validation cells agree on."""

    cells: int = _count("validation cells that several people read")
    agreed: int = _count("cells among them that all of their readers call the same")
    right: int = _count("cells among those that the bundle calls so too, before rejection")
    kappa: float | None = declare(
        "Fleiss' kappa over the cells that several people read; null where all cells have one label",
        -1,
        1,
        default=None,
    )


@dataclass(frozen=True)
class Manifest:
    """What a bundle states about itself."""

    name: str = declare("name of the bundle")
    version: str = declare("version of the bundle")
    labels: tuple[str, ...] = declare("labels in output order")
    counted: tuple[str, ...] = declare('labels of the differential; any other is "not a leukocyte"')
    crop_px: int = declare("side of the square input crop", 8, 1024, unit="px")
    crop_um: float = declare(
        "side of the crop in the specimen", 8 * PIXELS_UM[0], 1024 * PIXELS_UM[1], unit="µm"
    )
    normalisation: Normalisation = declare("how a crop becomes the input")
    input: Quantisation = declare("quantisation of the input")
    output: Quantisation = declare("quantisation of the output, which holds logits")
    sha256: str = _sha256("SHA-256 of the flatbuffer alone")
    test_time_views: int = declare("mirrored and turned views whose logits are averaged", 1, 8)
    margin: float | None = declare(
        "lead of the best logit from which a crop's first view decides alone; null: all views always", 0, 1e9
    )
    temperature: float = declare("divides the logits before softmax (Guo et al., ICML 2017)", 0.01, 100)
    reject_below: float = declare(
        "a cell whose best probability is smaller is rejected", 0, 1, high_open=True
    )
    confusion: tuple[tuple[int, ...], ...] = _count(
        "validation confusion matrix in cells before rejection, rows are the truth, in label order"
    )
    training: TrainingData = declare("what the network was trained on")
    intended_use: str = declare("intended use, in words")
    licence: str = declare("licence")
    notice: str = declare("notice shown with every output, or nothing", default="")
    representative: RepresentativeSet | None = None
    parity: Parity | None = None
    rejection: Rejection | None = None
    out_of_distribution: OutOfDistributionModel | None = None
    answers: Answers | None = None
    readers: Readers | None = None
    schema: int = SCHEMA

    @property
    def pixel_um(self) -> float:
        """Side of a crop's pixel in the specimen."""
        return self.crop_um / self.crop_px


def encode(manifest: Manifest) -> bytes:
    """Write a manifest as JSON, whole numbers in float fields as floats.

    Raises
    ------
    ValueError
        With one line, if `decode` would refuse it.
    """
    stated = asdict(_checked(asdict(manifest)))
    # as bundles were written before there were these keys
    for name in ("answers", "readers"):
        if stated[name] is None:
            del stated[name]
    if stated["rejection"] and stated["rejection"]["least_precision"] is None:
        del stated["rejection"]["least_precision"]
    return json.dumps(stated, indent=2).encode()


def decode(data: bytes) -> Manifest:
    """Read a manifest that `encode` wrote.

    Raises
    ------
    ValueError
        With one line, if it is anything else. Other spellings of the same manifest are accepted: where
        the bytes matter, compare with `encode`.
    """
    if len(data) > _SIZE_LIMIT_BYTES:
        raise ValueError("manifest.json is larger than any manifest")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("manifest.json is not JSON") from error
    if not isinstance(raw, dict) or type(raw.get("schema")) is not int:
        raise ValueError("manifest.json states no schema version")
    return _checked(raw)


def _checked(raw: Mapping[str, Any]) -> Manifest:
    if raw["schema"] == UPGRADED_SCHEMA:
        raise ValueError(
            f"made by an earlier release (manifest schema {UPGRADED_SCHEMA}): convert it with "
            "leuko bundle upgrade OLD.tflite --out NEW.tflite"
        )
    if raw["schema"] < SCHEMA:
        raise ValueError("made by a much earlier release: convert its training run again")
    if raw["schema"] > SCHEMA:
        newer = shown(raw["schema"])
        raise ValueError(f"made for a newer leuko-edge (schema {newer}, this one reads {SCHEMA}): update")
    try:
        manifest = read(Manifest, raw)
    except SchemaError as error:
        raise ValueError(f"manifest.json is malformed ({error})") from error
    if problem := labels_problem(manifest.labels):
        raise ValueError(f"manifest.json cannot be used: {problem}")
    if broken := _broken_rules(manifest):
        raise ValueError(f"manifest.json contradicts itself: {broken[0]}")
    return manifest


def _broken_rules(manifest: Manifest) -> list[str]:
    """List the rules between several keys that a manifest breaks."""
    labels, counted, crop_px = manifest.labels, manifest.counted, manifest.crop_px
    parity, rejection, model = manifest.parity, manifest.rejection, manifest.out_of_distribution
    rows = (model.mean, *model.precision) if model else ()
    answers, readers = manifest.answers, manifest.readers
    rules = {
        "there are two labels or more, all different": len(set(labels)) == len(labels) > 1,
        "some of the labels are counted, each once": 0 < len(counted) == len(set(counted) & set(labels)),
        f"a pixel measures {PIXELS_UM[0]:g} to {PIXELS_UM[1]:g} µm": (
            PIXELS_UM[0] * crop_px <= manifest.crop_um <= PIXELS_UM[1] * crop_px
        ),
        f"a crop has {' or '.join(map(str, TEST_TIME_VIEWS))} test-time views": (
            manifest.test_time_views in TEST_TIME_VIEWS
        ),
        "a margin needs several test-time views": manifest.test_time_views > 1 or manifest.margin is None,
        "the confusion matrix has one row and one column per label": (
            [len(row) for row in manifest.confusion] == [len(labels)] * len(labels)
        ),
        "the parity's interval ends above its lower end": parity is None or parity.low <= parity.high,
        "the probability's threshold is reject_below": (
            rejection is None
            or rejection.score != PROBABILITY
            or rejection.threshold == manifest.reject_below
        ),
        "an out-of-distribution threshold and model come together": (
            (rejection is not None and rejection.score == OUT_OF_DISTRIBUTION) == (model is not None)
        ),
        f"the out-of-distribution model has {STATISTICS} statistics": (
            model is None or [len(row) for row in rows] == [STATISTICS] * (STATISTICS + 1)
        ),
        "the answers have one row per label, and one column more": (
            answers is None
            or (
                [len(row) for row in (*answers.cells, answers.false)] == [len(labels) + 1] * (len(labels) + 1)
                and len(answers.missed) == len(labels)
            )
        ),
        "readers agree on no more cells than they read": (
            readers is None
            or readers.right <= readers.agreed <= readers.cells <= sum(map(sum, manifest.confusion))
        ),
        "cells are missed and false in frames alone": (
            answers is None or answers.frames > 0 or not any((*answers.missed, *answers.false))
        ),
    }
    return [rule for rule, holds in rules.items() if not holds]
