"""Knowledge distillation: finished networks answer the very crops that a new one is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from train.networks import network_of
from train.recipe import Recipe
from train.run import load_run, read_config


@dataclass(frozen=True, eq=False)
class Teacher:
    """One or several finished networks whose mean answer is what a new one learns.

    Attributes
    ----------
    network : from normalised crops float32 [n, s, s, 1] to probabilities float32 [n, labels]
    sha256 : of all weights
    """

    network: keras.Model
    sha256: str

    def answer(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities float32 [n, labels] of normalised crops float32 [n, s, s, 1]."""
        return np.asarray(self.network.predict_on_batch(crops), np.float32)


def read_teacher(runs: Iterable[Path], labels: tuple[str, ...], crop_px: int, recipe: Recipe) -> Teacher:
    """Make one teacher of the networks of finished runs: their mean.

    The teacher sees what its pupil sees, turned, relit and mixed, so that there is no end of examples (Beyer
    et al., CVPR 2022, arXiv:2106.05237; the idea: Hinton, Vinyals and Dean, 2015, arXiv:1503.02531).

    Parameters
    ----------
    runs
        Run folders, at least one.
    labels, crop_px, recipe
        The pupil's; the teacher works in its precision.

    Raises
    ------
    ValueError
        If a run is none or unfinished, or its network has other labels or sees crops otherwise.
    """
    networks: list[keras.Model] = []
    digest = hashlib.sha256()
    for folder in runs:
        network, names, normalisation = load_run(folder)
        if names != labels:
            raise ValueError(f"{folder} has the labels {', '.join(names)}, not {', '.join(labels)}")
        if (normalisation, network.input_shape[1]) != (recipe.normalisation, crop_px):
            raise ValueError(f"{folder} sees crops otherwise than the recipe {recipe.name} does")
        stored = read_config(folder)["recipe"]
        own = Recipe(**(stored | {"normalisation": normalisation, "precision": recipe.precision}))
        twin = network_of(own, len(labels), crop_px, 0)
        twin.set_weights(network.get_weights())
        networks.append(keras.Model(twin.input, twin.output, name=f"teacher{len(networks)}"))
        for values in network.get_weights():
            digest.update(values.tobytes())
    crop = keras.Input(networks[0].input_shape[1:], name="crop")
    answers = [network(crop, training=False) for network in networks]
    mean = layers.Average(dtype="float32")(answers) if len(answers) > 1 else answers[0]
    return Teacher(keras.Model(crop, mean), digest.hexdigest())
