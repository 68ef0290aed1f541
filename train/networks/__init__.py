"""The networks by their names on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from train.networks import fusion, hep2, imagenet
from train.recipe import Recipe


@dataclass(frozen=True)
class Network:
    """How to build a network, and the crops it was made for.

    Attributes
    ----------
    build : takes the number of labels and the keywords ``width``, ``dropout``, ``batch_norm_momentum``,
        ``input_px`` and ``seed``; returns a model from float32 [n, input_px, input_px, 1] to probabilities
        float32 [n, labels]
    input_px : side of the crops that its authors gave it; ours is 200
    has_width : whether a ``width`` other than 1 means anything to it; the others refuse one
    """

    build: Callable[..., keras.Model]
    input_px: int = fusion.INPUT_PX
    has_width: bool = True


NETWORKS = {
    "fusion": Network(fusion.fusion_network),
    "fusion-lite": Network(fusion.lite_network),
    "ablation1": Network(partial(fusion.fusion_network, skips=(False, True))),
    "ablation2": Network(partial(fusion.fusion_network, skips=(True, False))),
    "ablation3": Network(partial(fusion.fusion_network, skips=(False, False))),
    "hep2": Network(hep2.hep2_network, hep2.INPUT_PX, has_width=False),
    "vgg16": Network(imagenet.vgg16_network, imagenet.INPUT_PX, has_width=False),
    "resnet50": Network(imagenet.resnet50_network, imagenet.INPUT_PX, has_width=False),
}


def network_of(recipe: Recipe, labels: int, crop_px: int, seed: int) -> keras.Model:
    """Build a recipe's network for crops of a size, in the recipe's precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.precision == "bfloat16" else "float32")
    try:
        return NETWORKS[recipe.network].build(
            labels,
            input_px=crop_px,
            width=recipe.width,
            dropout=recipe.dropout,
            batch_norm_momentum=recipe.batch_norm_momentum,
            seed=seed,
        )
    finally:
        keras.config.set_dtype_policy(before)


def multiply_accumulates(model: keras.Model) -> dict[str, int]:
    """Count the multiply-accumulates of one crop, by name of the convolution or dense layer."""
    return {
        # every weight of a kernel is used once at each output position; a dense layer has one position
        layer.name: math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    }
