"""The networks by their names on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from train.networks.fusion import INPUT_PX, fusion_network


@dataclass(frozen=True)
class Network:
    """How to build a network, and the crops it was made for.

    Attributes
    ----------
    build : takes the number of labels and the keywords ``width``, ``dropout``, ``batch_norm_momentum``,
        ``input_px`` and ``seed``; returns a model from float32 [n, input_px, input_px, 1] to probabilities
        float32 [n, labels]
    input_px : side of the crops that its authors gave it; ours is 200
    """

    build: Callable[..., keras.Model]
    input_px: int = INPUT_PX


NETWORKS = {
    "fusion": Network(fusion_network),
    "ablation1": Network(partial(fusion_network, skips=(False, True))),
    "ablation2": Network(partial(fusion_network, skips=(True, False))),
    "ablation3": Network(partial(fusion_network, skips=(False, False))),
}


def multiply_accumulates(model: keras.Model) -> dict[str, int]:
    """Count the multiply-accumulates of one crop, by name of the convolution or dense layer."""
    return {
        # every weight of a kernel is used once at each output position; a dense layer has one position
        layer.name: math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    }
