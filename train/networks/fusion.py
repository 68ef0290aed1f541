"""The paper's fusion network (Chen, Fu et al., Heliyon 2024) in Keras 3."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from train.networks.head import probabilities_of
from train.recipe import NETWORK_INPUT_PX

HIDDEN = 512
"""Units of the hidden dense layer, chosen by comparison: the paper leaves them open."""

LITE, LITE_HIDDEN = 5 / 16, 256
"""Width of ``fusion-lite`` and its hidden units at width 1: an eighth of the multiply-accumulates, and a
bundle below 1.5 MB. ``docs/history.md`` measures what that costs."""


def _conv(channels: int, kernel: int, name: str) -> layers.Layer:
    return layers.Conv2D(channels, kernel, padding="same", activation="relu", name=name)


def _pool(name: str, padding: str = "same") -> layers.Layer:
    return layers.MaxPooling2D(3, strides=2, padding=padding, name=name)


def fusion_network(
    labels: int,
    *,
    width: float = 1.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    skips: tuple[bool, bool] = (True, True),
    hidden: int = HIDDEN,
    input_px: int = NETWORK_INPUT_PX["fusion"],
    seed: int = 0,
) -> keras.Model:
    """Build the fusion network: five convolutions, the first two stages joined to the last.

    Keras's "same" padding differs from the paper's at conv1 (3 and 4 instead of 5 and 5) and at the first
    pool (0 and 1 instead of 1 and 1), so the zeros there are explicit; after a ReLU they cannot win a
    maximum. The later pools (25 to 13 to 7) see batch-normed, negative values. There "same", whose padding
    never wins, pads 1 and 1 as the paper does.

    Parameters
    ----------
    skips : tuple[bool, bool]
        Whether skip 1 (first pool) and skip 2 (second pool) reach the fused maps.
    hidden : int
        Units of the hidden dense layer at width 1.

    References
    ----------
    Chen, Fu et al., Heliyon, 2024. The paper leaves open the dense size and how the skips come down to 7×7;
    `HIDDEN` and the repeated pool are this project's choices.
    """

    def channels(paper: int) -> int:
        return max(1, round(paper * width))

    crop = keras.Input((input_px, input_px, 1), name="crop")
    x = layers.Concatenate(name="replicate")([crop, crop, crop])
    x = layers.ZeroPadding2D(5, name="pad1")(x)
    x = layers.Conv2D(channels(96), 11, strides=4, activation="relu", name="conv1")(x)
    x = layers.ZeroPadding2D(1, name="pad_pool1")(x)
    x = _pool("pool1", "valid")(x)
    first = x = layers.BatchNormalization(momentum=batch_norm_momentum, name="norm1")(x)
    x = _conv(channels(256), 5, "conv2")(x)
    x = _pool("pool2")(x)
    second = x = layers.BatchNormalization(momentum=batch_norm_momentum, name="norm2")(x)
    x = _conv(channels(384), 3, "conv3")(x)
    x = _conv(channels(384), 3, "conv4")(x)
    x = _conv(channels(256), 3, "conv5")(x)
    x = _pool("pool5")(x)

    fused = [_pool("skip1_b")(_pool("skip1_a")(first))] if skips[0] else []
    fused += [_pool("skip2")(second)] if skips[1] else []
    if fused:
        x = layers.Concatenate(name="fuse")([*fused, x])

    x = _conv(channels(256), 1, "conv6")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(channels(hidden), activation="relu", name="dense")(x)
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    return keras.Model(crop, probabilities_of(x, labels), name="fusion")


def lite_network(labels: int, *, width: float = 1.0, **settings: Any) -> keras.Model:
    """Build the fusion network with `LITE` of its channels and `LITE_HIDDEN` units; `width` scales both."""
    return fusion_network(labels, width=LITE * width, hidden=LITE_HIDDEN, **settings)
