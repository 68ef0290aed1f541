"""VGG-16 and ResNet-50 from `keras.applications`, untrained: peers of the paper's network."""

from __future__ import annotations

import keras
from keras import layers

from train.networks.head import probabilities_of
from train.recipe import NETWORK_INPUT_PX


def vgg16_network(
    labels: int,
    *,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    input_px: int = NETWORK_INPUT_PX["vgg16"],
    seed: int = 0,
) -> keras.Model:
    """Build VGG-16 with two hidden dense layers of 4096, with random weights.

    The first dense layer's weights grow with `input_px`. The authors' dropout is 0.5.

    Raises
    ------
    ValueError
        If `input_px` is below 32.

    References
    ----------
    Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556).
    """
    crop, x = _replicated(input_px)
    x = keras.applications.VGG16(include_top=False, weights=None, input_tensor=x).output
    x = layers.Flatten(name="flatten")(x)
    for stage in (1, 2):
        x = layers.Dense(4096, activation="relu", name=f"fc{stage}")(x)
        x = layers.Dropout(dropout, seed=seed + stage, name=f"dropout{stage}")(x)
    return keras.Model(crop, probabilities_of(x, labels), name="vgg16")


def resnet50_network(
    labels: int,
    *,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    input_px: int = NETWORK_INPUT_PX["resnet50"],
    seed: int = 0,
) -> keras.Model:
    """Build ResNet-50 with global average pooling, with random weights.

    The authors' network has no dropout.

    Raises
    ------
    ValueError
        If `input_px` is below 32.

    References
    ----------
    He, Zhang, Ren and Sun, CVPR 2016 (arXiv:1512.03385).
    """
    crop, x = _replicated(input_px)
    body = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x, pooling="avg")
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = batch_norm_momentum
    x = layers.Dropout(dropout, seed=seed, name="dropout")(body.output)
    return keras.Model(crop, probabilities_of(x, labels), name="resnet50")


def _replicated(input_px: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the input, a grey crop [n, px, px, 1], and its three equal channels [n, px, px, 3]."""
    crop = keras.Input((input_px, input_px, 1), name="crop")
    return crop, layers.Concatenate(name="replicate")([crop, crop, crop])
