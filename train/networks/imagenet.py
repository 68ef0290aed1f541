"""VGG-16 and ResNet-50 from `keras.applications`, untrained: peers of the paper's network."""

from __future__ import annotations

import keras
from keras import layers

from train.networks.head import probabilities_of, refuse_width

INPUT_PX = 224
"""Side of the crops that both were made for, px; 32 is the least, and smaller ones cost less."""


def vgg16_network(
    labels: int,
    *,
    width: float = 1.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    input_px: int = INPUT_PX,
    seed: int = 0,
) -> keras.Model:
    """Build VGG-16 with its two dense layers of 4096 and a last one of `labels`, with random weights.

    Parameters
    ----------
    labels
        Number of classes.
    width
        1.0; the network has no width factor.
    dropout
        Fraction of each hidden dense layer's outputs dropped while training; its authors took 0.5.
    batch_norm_momentum
        Unused: it has no batch norm.
    input_px
        Side of the crop, at least 32. The first dense layer's weights grow with it.
    seed
        Seed of the dropout masks.

    Returns
    -------
    keras.Model
        float32 [n, input_px, input_px, 1], replicated to 3 channels inside, to probabilities, float32
        [n, labels]; see `train.networks.head`.

    Raises
    ------
    ValueError
        If `width` is not 1 or the crop is too small.

    References
    ----------
    Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556).
    """
    refuse_width("vgg16", width)
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
    width: float = 1.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    input_px: int = INPUT_PX,
    seed: int = 0,
) -> keras.Model:
    """Build ResNet-50 with global average pooling and a dense layer of `labels`, with random weights.

    Parameters
    ----------
    labels
        Number of classes.
    width
        1.0; the network has no width factor.
    dropout
        Fraction of the pooled features dropped while training; its authors took none.
    batch_norm_momentum
        Momentum of the moving averages of all its batch norms.
    input_px
        Side of the crop, at least 32.
    seed
        Seed of the dropout masks.

    Returns
    -------
    keras.Model
        float32 [n, input_px, input_px, 1], replicated to 3 channels inside, to probabilities, float32
        [n, labels]; see `train.networks.head`.

    Raises
    ------
    ValueError
        If `width` is not 1 or the crop is too small.

    References
    ----------
    He, Zhang, Ren and Sun, CVPR 2016 (arXiv:1512.03385).
    """
    refuse_width("resnet50", width)
    crop, x = _replicated(input_px)
    body = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x, pooling="avg")
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = batch_norm_momentum
    x = layers.Dropout(dropout, seed=seed, name="dropout")(body.output)
    return keras.Model(crop, probabilities_of(x, labels), name="resnet50")


def _replicated(input_px: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """A grey crop [n, px, px, 1] and its three equal channels [n, px, px, 3]."""
    crop = keras.Input((input_px, input_px, 1), name="crop")
    return crop, layers.Concatenate(name="replicate")([crop, crop, crop])
