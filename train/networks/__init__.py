"""The networks by name, and what every one of them is built from.

A builder takes the number of labels and keywords: ``input_px``, the side of the crops; ``width``, a factor
on all channels, which the networks of other authors lack; ``dropout``, the fraction of hidden outputs
dropped while training; ``batch_norm_momentum``, that of the moving averages, which a network without batch
norm ignores; ``seed``, that of the dropout masks (the initial weights follow Keras's global seed). It returns
a model from normalised crops, float32 [n, input_px, input_px, 1], to probabilities, float32 [n, labels],
whose layer ``logits`` gives [n, labels] before the softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from train.networks import fusion, peers
from train.recipe import PEERS, Recipe

NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "fusion": fusion.fusion_network,
    "fusion-lite": fusion.lite_network,
    "ablation1": partial(fusion.fusion_network, skips=(False, True)),
    "ablation2": partial(fusion.fusion_network, skips=(True, False)),
    "ablation3": partial(fusion.fusion_network, skips=(False, False)),
    "hep2": peers.hep2_network,
    "vgg16": peers.vgg16_network,
    "resnet50": peers.resnet50_network,
}
"""Builders by the names in `train.recipe.NETWORK_INPUT_PX`."""


def build_network(recipe: Recipe, labels: int, seed: int = 0) -> keras.Model:
    """Build a recipe's network in the recipe's precision."""
    width = {} if recipe.network in PEERS else {"width": recipe.width}
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.precision == "bfloat16" else "float32")
    try:
        return NETWORKS[recipe.network](
            labels,
            input_px=recipe.side_px,
            **width,
            dropout=recipe.dropout,
            batch_norm_momentum=recipe.batch_norm_momentum,
            seed=seed,
        )
    finally:
        keras.config.set_dtype_policy(before)


def multiply_accumulates(model: keras.Model) -> dict[str, int]:
    """Return the multiply-accumulates per crop of each convolution and dense layer, by layer name."""
    return {
        # every weight of a kernel is used once per output position; a dense layer has one position
        layer.name: math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    }
