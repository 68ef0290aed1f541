"""Class probabilities of crops, by a bundle that proved itself on this device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.classify.out_of_distribution import out_of_distribution_score
from edge.classify.runtime import Model
from edge.classify.test_time_augmentation import average_logits
from edge.find import level
from edge.model import Bundle, BundleError

# architectures differ in the last steps of some kernels; more than this is another function
GOLDEN_TOLERANCE_STEPS = 3
BATCH = 8


@dataclass(frozen=True)
class GoldenReplay:
    """How far this device's answers to the golden crops are from the converter's."""

    crops: int
    exact: bool
    largest_step: int


class Classifier:
    """A bundle in an interpreter, usable once its golden crops came out right.

    Parameters
    ----------
    bundle : from `edge.model.bundle.load`
    runtime, threads : see `edge.classify.runtime.Model`

    Raises
    ------
    BundleError
        If the model is not what the manifest says, or answers the golden crops differently.
    RuntimeMissingError
        If no runtime is installed.
    """

    def __init__(self, bundle: Bundle, runtime: str | None = None, threads: int = 1) -> None:
        manifest = bundle.manifest
        try:
            self._model = Model(bundle.flatbuffer, runtime, threads)
        except ValueError as error:
            raise BundleError(f"bundle {manifest.name}: {error}") from error
        self.bundle = bundle
        self.runtime = self._model.runtime
        stated = [(q.scale, q.zero_point) for q in (manifest.input, manifest.output)]
        real = [self._model.input_quantisation, self._model.output_quantisation]
        if self._model.input_shape != (manifest.crop_px, manifest.crop_px, 1) or not np.allclose(
            stated, real
        ):
            raise BundleError(f"bundle {manifest.name}: the model is not the one its manifest describes")
        # int8 input of every grey value: the network's own normalisation and quantisation in one table
        seen = manifest.normalisation.scale * np.arange(256) + manifest.normalisation.offset
        grey = seen / manifest.input.scale + manifest.input.zero_point
        self._quantised = np.clip(np.rint(grey), -128, 127).astype(np.int8)
        self.replay = self._replay_golden()

    def _replay_golden(self) -> GoldenReplay:
        expected = self.bundle.golden_outputs.astype(np.int16)
        found = self._steps(self.bundle.golden_crops).astype(np.int16)
        name = self.bundle.manifest.name
        if found.shape != expected.shape:
            raise BundleError(f"bundle {name}: {found.shape[1]} outputs for {expected.shape[1]} labels")
        step = int(np.abs(found - expected).max())
        if step > GOLDEN_TOLERANCE_STEPS or (found.argmax(1) != expected.argmax(1)).any():
            raise BundleError(
                f"bundle {name}: its golden crops come out {step} steps off with {self.runtime} here"
            )
        return GoldenReplay(len(expected), step == 0, step)

    def _steps(self, quantised: NDArray[np.int8]) -> NDArray[np.int8]:
        """int8 [n, labels] of int8 [n, side, side, 1], a batch at a time to bound memory."""
        starts = range(0, len(quantised), BATCH)
        return np.concatenate([self._model.run(quantised[start : start + BATCH]) for start in starts])

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits before the temperature, float32 [n, labels], of grey crops uint8 [n, side, side].

        They are the mean over as many views of a crop as the manifest says, where the first leaves doubt.
        """
        manifest = self.bundle.manifest
        if len(crops) == 0:
            return np.zeros((0, len(manifest.labels)), np.float32)
        levelled = level(crops, manifest.normalisation.background)

        def answer(quantised: NDArray[np.int8]) -> NDArray[np.float32]:
            steps = self._steps(quantised).astype(np.float32)
            return (steps - manifest.output.zero_point) * np.float32(manifest.output.scale)

        return average_logits(
            answer, self._quantised[levelled][..., None], manifest.test_time_views, manifest.margin
        )

    def probabilities(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Temperature-scaled softmax, float32 [n, labels], of grey crops uint8 [n, side, side]."""
        return softmax(self.logits(crops) / np.float32(self.bundle.manifest.temperature))

    def in_distribution(self, crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell whether crops uint8 [n, side, side] look like the training crops, bool [n].

        All do if the bundle does not say what is typical.
        """
        manifest = self.bundle.manifest
        if manifest.out_of_distribution is None or manifest.rejection is None:
            return np.ones(len(crops), bool)
        return out_of_distribution_score(crops, manifest.out_of_distribution) <= manifest.rejection.threshold


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, float32 [n, labels], of logits float32 [n, labels]."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities
