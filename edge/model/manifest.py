"""What a bundle says of itself, as JSON with one spelling."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edge.base import PIXELS_UM
from edge.find import Normalisation

OCTAVES = 4
STATISTICS = OCTAVES + 2


@dataclass(frozen=True)
class OutOfDistributionModel:
    """The Gaussian of the training crops' statistics.

    Attributes
    ----------
    mean : of each statistic
    precision : inverse of their covariance, a row a statistic
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]


TEST_TIME_VIEWS = (1, 8)
"""How many views may be asked for: the crop as it is, or both mirror images in all four quarter turns."""

SCHEMA = 5
PROBABILITY = "probability"
"""The rejection score that `Manifest.reject_below` holds for."""
OUT_OF_DISTRIBUTION = "out_of_distribution"
"""The rejection score of `edge.classify.out_of_distribution`, for which the manifest holds what is typical."""

_SIZE_LIMIT_BYTES = 1 << 20
_TEXT_LIMIT = 4000
_COUNT_LIMIT = 2**53
"""Counts below it are exact in every reader of JSON."""


@dataclass(frozen=True)
class Quantisation:
    """Affine quantisation of a tensor: real value = scale · (int8 − zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TrainingData:
    """What the network was trained on: a name and the SHA-256 over its crops and labels."""

    name: str
    sha256: str


@dataclass(frozen=True)
class RepresentativeSet:
    """The crops that the quantiser took its ranges from: how many, and the SHA-256 over them."""

    crops: int
    sha256: str


@dataclass(frozen=True)
class Parity:
    """The int8 network against the float one that was trained, on the run's validation crops.

    Attributes
    ----------
    cells : compared
    float_accuracy, int8_accuracy : shares
    low, high : 95 % paired bootstrap interval of the difference int8 − float, points
    agreement : share of cells that both name alike
    largest_probability_difference : of any label of any cell
    """

    cells: int
    float_accuracy: float
    int8_accuracy: float
    low: float
    high: float
    agreement: float
    largest_probability_difference: float


@dataclass(frozen=True)
class Rejection:
    """How the rejection threshold was chosen, and how well it keeps strangers out.

    Attributes
    ----------
    score : what is thresholded: ``probability`` (the largest one) or ``out_of_distribution`` (the
        Mahalanobis distance)
    threshold : cells with a smaller probability, or a larger distance, are rejected
    precision : the stated one, a share of the cells kept
    coverage : share of the validation cells kept
    auroc : kind of cell never trained on → area under the ROC curve of the score
    source : what it was chosen and measured on
    """

    score: str
    threshold: float
    precision: float
    coverage: float
    auroc: dict[str, float]
    source: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes
    ----------
    name, version : of the bundle
    labels : in output order
    counted : labels of the differential; every other label is "not a leukocyte"
    crop_px, crop_um : side of the square input crop
    normalisation : of the crops, see `edge.find.crops.Normalisation`
    input, output : int8 quantisation; the output holds logits, softmax is the runtime's
    sha256 : of the flatbuffer alone
    test_time_views : mirrored and rotated views of a crop over which the logits are averaged
    margin : a crop whose best logit leads by at least this in the first view is seen in no other; None: all are
    temperature : logits are divided by it before softmax (Guo et al., ICML 2017)
    reject_below : a cell whose best probability is smaller is rejected
    confusion : validation confusion matrix in cells before rejection, rows are the truth, in label order
    training : the training data's name and hash
    intended_use, licence : in words
    notice : said with every output, empty for none
    out_of_distribution : model of the training crops, for the score of that name
    representative, parity, rejection : how it was quantised, compared and calibrated, None where unknown
    schema : version of this format
    """

    name: str
    version: str
    labels: tuple[str, ...]
    counted: tuple[str, ...]
    crop_px: int
    crop_um: float
    normalisation: Normalisation
    input: Quantisation
    output: Quantisation
    sha256: str
    test_time_views: int
    margin: float | None
    temperature: float
    reject_below: float
    confusion: tuple[tuple[int, ...], ...]
    training: TrainingData
    intended_use: str
    licence: str
    notice: str = ""
    representative: RepresentativeSet | None = None
    parity: Parity | None = None
    rejection: Rejection | None = None
    out_of_distribution: OutOfDistributionModel | None = None
    schema: int = SCHEMA

    @property
    def pixel_um(self) -> float:
        """Side of a crop's pixel in the specimen."""
        return self.crop_um / self.crop_px


def encode(manifest: Manifest) -> bytes:
    """Spell a manifest as JSON."""
    return json.dumps(asdict(manifest), indent=2).encode()


def decode(data: bytes) -> Manifest:
    """Read a manifest that `encode` wrote, every field checked.

    Raises
    ------
    ValueError
        With one line, if it is anything else. Whoever needs the very spelling compares with `encode`.
    """
    if len(data) > _SIZE_LIMIT_BYTES:
        raise ValueError("manifest.json is larger than any manifest")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("manifest.json is not JSON") from error
    if not isinstance(raw, dict) or type(raw.get("schema")) is not int:
        raise ValueError("manifest.json states no schema version")
    if raw["schema"] < SCHEMA:
        raise ValueError("made by an older leuko convert: convert the run again")
    if raw["schema"] > SCHEMA:
        newer = reprlib.repr(raw["schema"])
        raise ValueError(f"made for a newer leuko-edge (schema {newer}, this one reads {SCHEMA}): update")
    try:
        manifest = _manifest(raw)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"manifest.json is malformed ({error})") from error
    if not _consistent(manifest):
        raise ValueError("manifest.json contradicts itself")
    return manifest


def _manifest(raw: Mapping[str, Any]) -> Manifest:
    raw = _members(raw, Manifest)
    notice, crop_px = raw["notice"], _count(raw["crop_px"])
    return Manifest(
        name=_text(raw["name"]),
        version=_text(raw["version"]),
        labels=tuple(_text(label) for label in _list(raw["labels"])),
        counted=tuple(_text(label) for label in _list(raw["counted"])),
        crop_px=crop_px,
        crop_um=_number(raw["crop_um"], *(crop_px * um for um in PIXELS_UM)),
        normalisation=_normalisation(_members(raw["normalisation"], Normalisation)),
        input=_quantisation(_members(raw["input"], Quantisation)),
        output=_quantisation(_members(raw["output"], Quantisation)),
        sha256=_sha256(raw["sha256"]),
        test_time_views=_count(raw["test_time_views"]),
        margin=None if raw["margin"] is None else _number(raw["margin"], 0, 1e9),
        temperature=_number(raw["temperature"], 0.01, 100),
        reject_below=_share(raw["reject_below"]),
        confusion=tuple(tuple(_count(n) for n in _list(row)) for row in _list(raw["confusion"])),
        training=_training(_members(raw["training"], TrainingData)),
        intended_use=_text(raw["intended_use"]),
        licence=_text(raw["licence"]),
        notice=notice if notice == "" else _text(notice),
        representative=_representative(_optional(raw["representative"], RepresentativeSet)),
        parity=_parity(_optional(raw["parity"], Parity)),
        rejection=_rejection(_optional(raw["rejection"], Rejection)),
        out_of_distribution=_typical(_optional(raw["out_of_distribution"], OutOfDistributionModel)),
    )


def _consistent(manifest: Manifest) -> bool:
    labels, rejection = manifest.labels, manifest.rejection
    return (
        len(set(labels)) == len(labels) > 1
        and len(set(manifest.counted)) == len(manifest.counted) > 0
        and set(manifest.counted) <= set(labels)
        and 8 <= manifest.crop_px <= 1024
        and manifest.test_time_views in TEST_TIME_VIEWS
        and (manifest.test_time_views > 1 or manifest.margin is None)
        and manifest.reject_below < 1
        and [len(row) for row in manifest.confusion] == [len(labels)] * len(labels)
        and (
            rejection is None
            or rejection.score != PROBABILITY
            or rejection.threshold == manifest.reject_below
        )
        and (rejection is not None and rejection.score == OUT_OF_DISTRIBUTION)
        == (manifest.out_of_distribution is not None)
    )


def _members(raw: Any, kind: type) -> dict[str, Any]:
    """Members of a JSON object, which are the fields of a dataclass and no others."""
    known = {f.name for f in fields(kind)}
    if not isinstance(raw, dict) or raw.keys() != known:
        odd = sorted(raw.keys() ^ known) if isinstance(raw, dict) else ["everything"]
        raise ValueError(f"{kind.__name__.lower()} lacks or adds {reprlib.repr(odd)}")
    return raw


def _optional(raw: Any, kind: type) -> dict[str, Any] | None:
    return None if raw is None else _members(raw, kind)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{reprlib.repr(value)} is no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _TEXT_LIMIT:
        raise ValueError("a text is missing, not printable or too long")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{reprlib.repr(value)} is no SHA-256")
    return value


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{reprlib.repr(value)} is no number")
    if not low <= value <= high:
        raise ValueError(f"{value!r} is not within {low:g}–{high:g}")
    return value


def _share(value: Any) -> float:
    return _number(value, 0, 1)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _COUNT_LIMIT:
        raise ValueError(f"{reprlib.repr(value)} is no count")
    return value


def _scale(value: Any) -> float:
    scale = _number(value, 0, 1e9)
    if scale == 0:
        raise ValueError("a scale is 0")
    return scale


def _normalisation(raw: Mapping[str, Any]) -> Normalisation:
    if _count(raw["background"]) > 255:
        raise ValueError("the background is no grey level")
    return Normalisation(raw["background"], _scale(raw["scale"]), _number(raw["offset"], -1e9, 1e9))


def _quantisation(raw: Mapping[str, Any]) -> Quantisation:
    zero_point = raw["zero_point"]
    if type(zero_point) is not int or not -128 <= zero_point <= 127:
        raise ValueError("a zero point is out of range")
    return Quantisation(_scale(raw["scale"]), zero_point)


def _training(raw: Mapping[str, Any]) -> TrainingData:
    return TrainingData(_text(raw["name"]), _sha256(raw["sha256"]))


def _representative(raw: Mapping[str, Any] | None) -> RepresentativeSet | None:
    return None if raw is None else RepresentativeSet(_count(raw["crops"]), _sha256(raw["sha256"]))


def _parity(raw: Mapping[str, Any] | None) -> Parity | None:
    if raw is None:
        return None
    low, high = (_number(raw[name], -100, 100) for name in ("low", "high"))
    if low > high:
        raise ValueError("the parity's interval is upside down")
    return Parity(
        cells=_count(raw["cells"]),
        float_accuracy=_share(raw["float_accuracy"]),
        int8_accuracy=_share(raw["int8_accuracy"]),
        low=low,
        high=high,
        agreement=_share(raw["agreement"]),
        largest_probability_difference=_share(raw["largest_probability_difference"]),
    )


def _rejection(raw: Mapping[str, Any] | None) -> Rejection | None:
    if raw is None:
        return None
    auroc = raw["auroc"]
    if not isinstance(auroc, dict):
        raise ValueError("the AUROCs are no object")
    return Rejection(
        score=_text(raw["score"]),
        threshold=_number(raw["threshold"], -1e9, 1e9),
        precision=_share(raw["precision"]),
        coverage=_share(raw["coverage"]),
        auroc={_text(kind): _share(area) for kind, area in auroc.items()},
        source=_text(raw["source"]),
    )


def _typical(raw: Mapping[str, Any] | None) -> OutOfDistributionModel | None:
    if raw is None:
        return None
    rows = [raw["mean"], *_list(raw["precision"])]
    mean, *precision = (tuple(_number(value, -1e12, 1e12) for value in _list(row)) for row in rows)
    if [len(row) for row in (mean, *precision)] != [STATISTICS] * (STATISTICS + 1):
        raise ValueError(f"what is typical is not {STATISTICS} statistics")
    return OutOfDistributionModel(mean, tuple(precision))
