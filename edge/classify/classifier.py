"""Class probabilities of crops, by a bundle that passed its self-test on this device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classify.contrast import Contrast, contrast
from edge.classify.decision import softmax
from edge.classify.out_of_distribution import crop_statistics, distances
from edge.classify.quantisation import dequantise, grey_to_int8
from edge.classify.runtime import CRASHES, Model, chosen_runtime
from edge.classify.test_time_augmentation import average_logits
from edge.classify.trial import crash_reason
from edge.find import LateCrops, level
from edge.model import Bundle, BundleError

GOLDEN_TOLERANCE_STEPS = 3
"""Some kernels differ between architectures by this many int8 steps; more is another function."""

BATCH, AT_ONCE = 8, 64
"""Crops that the network answers at a time, and that are cut and prepared for it: this bounds the memory."""


@dataclass(frozen=True)
class GoldenReplay:
    """How far this device's answers to the golden crops are from the converter's."""

    crops: int
    exact: bool
    largest_step: int


class Classifier:
    """A bundle in an interpreter, usable once it has answered its golden crops correctly.

    Raises
    ------
    BundleError
        If the model does not match the manifest, or answers the golden crops differently.
    RuntimeMissingError
        If the runtime is not installed, or none is.
    """

    def __init__(self, bundle: Bundle, runtime: str | None = None, threads: int = 1) -> None:
        manifest = bundle.manifest
        runtime = chosen_runtime(runtime)
        trial = runtime in CRASHES and bundle.signer is None
        if trial and (reason := crash_reason(partial(_try_model, bundle, runtime))):
            raise BundleError(f"bundle {manifest.name}: its model takes {runtime} down ({reason})")
        try:
            self._model = Model(bundle.flatbuffer, runtime, threads)
        except ValueError as error:
            raise BundleError(f"bundle {manifest.name}: {error}") from error
        self.bundle = bundle
        self.runtime = self._model.runtime
        stated = manifest.input, manifest.output
        real = self._model.input_quantisation, self._model.output_quantisation
        if self._model.input_shape != (manifest.crop_px, manifest.crop_px, 1) or not np.allclose(
            [(q.scale, q.zero_point) for q in stated], [(q.scale, q.zero_point) for q in real]
        ):
            raise BundleError(f"bundle {manifest.name}: the model is not the one its manifest describes")
        self._quantised = grey_to_int8(manifest)
        self.replay = self._replay_golden()

    def _replay_golden(self) -> GoldenReplay:
        expected = self.bundle.golden_outputs.astype(np.int16)
        found = _run(self._model, self.bundle.golden_crops, self.bundle.manifest.name).astype(np.int16)
        name = self.bundle.manifest.name
        if found.shape != expected.shape:
            raise BundleError(f"bundle {name}: {found.shape[1]} outputs for {expected.shape[1]} labels")
        step = int(np.abs(found - expected).max())
        if step > GOLDEN_TOLERANCE_STEPS or (found.argmax(1) != expected.argmax(1)).any():
            raise BundleError(
                f"bundle {name}: its golden crops come out {step} steps off with {self.runtime} here"
            )
        return GoldenReplay(len(expected), step == 0, step)

    def logits(self, crops: NDArray[np.uint8] | LateCrops) -> NDArray[np.float32]:
        """Return the logits before the temperature, float32 [n, labels], of grey crops uint8 [n, side, side].

        The manifest states how many test-time views they are averaged over, and below which margin.
        """
        manifest = self.bundle.manifest
        if len(crops) == 0:
            return np.zeros((0, len(manifest.labels)), np.float32)
        return np.concatenate([self._logits(part) for part in _parts(crops)])

    def _logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        manifest = self.bundle.manifest
        levelled = level(crops, manifest.normalisation.background)
        # a look-up by OpenCV takes a quarter of the time
        quantised = cv2.LUT(levelled.reshape(len(crops), -1), self._quantised).reshape(*crops.shape, 1)
        return average_logits(
            lambda views: dequantise(_run(self._model, views, manifest.name), manifest.output),
            np.asarray(quantised, np.int8),
            manifest.test_time_views,
            manifest.margin,
        )

    def probabilities(self, crops: NDArray[np.uint8] | LateCrops) -> NDArray[np.float32]:
        """Return the temperature-scaled softmax, float32 [n, labels], of grey crops uint8 [n, side, side]."""
        return softmax(self.logits(crops) / np.float32(self.bundle.manifest.temperature))

    def in_distribution(self, crops: NDArray[np.uint8] | LateCrops) -> NDArray[np.bool_]:
        """Return which crops uint8 [n, side, side] resemble the training crops, bool [n]; see `compare`."""
        return self.compare(crops)[0]

    def compare(self, crops: NDArray[np.uint8] | LateCrops) -> tuple[NDArray[np.bool_], Contrast | None]:
        """Return which crops uint8 [n, side, side] resemble the training crops, and their contrast.

        All do, of a contrast not known, if the bundle has no out-of-distribution model.
        """
        manifest = self.bundle.manifest
        if manifest.out_of_distribution is None or manifest.rejection is None:
            return np.ones(len(crops), bool), None
        statistics = np.concatenate([crop_statistics(part) for part in _parts(crops)])
        near = distances(statistics, manifest.out_of_distribution) <= manifest.rejection.threshold
        return near, contrast(statistics, manifest.out_of_distribution)


def _parts(crops: NDArray[np.uint8] | LateCrops) -> Iterator[NDArray[np.uint8]]:
    """Yield the crops some at a time; of none, none once."""
    return (crops[start : start + AT_ONCE] for start in range(0, max(1, len(crops)), AT_ONCE))


def _try_model(bundle: Bundle, runtime: str) -> None:
    """Load a model and let it answer one crop, then two at a time."""
    model = Model(bundle.flatbuffer, runtime)
    for crops in (bundle.golden_crops[:1], bundle.golden_crops[:2]):
        model.run(crops)


def _run(model: Model, quantised: NDArray[np.int8], name: str) -> NDArray[np.int8]:
    """Return int8 [n, labels] for int8 [n, side, side, 1], in batches to bound the memory."""
    starts = range(0, len(quantised), BATCH)
    try:
        return np.concatenate([model.run(quantised[start : start + BATCH]) for start in starts])
    except ValueError as error:
        raise BundleError(f"bundle {name}: {error}") from error
