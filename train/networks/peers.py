"""The peers of the paper's network, untrained: the HEp-2 CNN, and VGG-16 and ResNet-50 of Keras."""

from __future__ import annotations

import keras
from keras import layers

from train.networks.head import probabilities_of
from train.recipe import NETWORK_INPUT_PX


def _squash(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Return 1.7159 tanh(2 x / 3), the scaled tanh of LeCun ("Efficient BackProp", 1998)."""
    x = layers.Rescaling(2 / 3, name=f"{name}_in")(x)
    x = layers.Activation("tanh", name=f"{name}_tanh")(x)
    return layers.Rescaling(1.7159, name=f"{name}_out")(x)


def hep2_network(
    labels: int,
    *,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    input_px: int = NETWORK_INPUT_PX["hep2"],
    seed: int = 0,
) -> keras.Model:
    """Build the HEp-2 CNN: three unpadded convolutions, each with a max-pool, and a dense layer of 150.

    At 78 px: 6 maps of 7×7 (72), pool 2 (36), 16 maps of 4×4 (33), pool 3 (11), 32 maps of 3×3 (9),
    pool 3 (3). Every size divides without remainder, and 288 features enter the dense layer. The authors'
    network has no dropout.

    References
    ----------
    Gao, Wang, Zhou, Zhang, IEEE J. Biomed. Health Inform. 21 (2), 416-428, 2017 (arXiv:1504.02531); only the
    abstract was available here. Two public reimplementations agree on kernels, pools and maps:
    GaoetAl2017Model.py in github.com/Korengast/PM_lab_TAU, and N. Meng's gaohep2net. The dense layer of 150
    and the scaled tanh are the latter's; the unpadded convolutions of stride 1, with which every size
    divides, are the former's. Both add batch norms, in different places; this network has none.
    """
    crop = keras.Input((input_px, input_px, 1), name="crop")
    x = crop
    for stage, (maps, kernel, pool) in enumerate(((6, 7, 2), (16, 4, 3), (32, 3, 3)), start=1):
        x = _squash(layers.Conv2D(maps, kernel, name=f"conv{stage}")(x), f"squash{stage}")
        x = layers.MaxPooling2D(pool, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = _squash(layers.Dense(150, name="dense")(x), "squash_dense")
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    return keras.Model(crop, probabilities_of(x, labels), name="hep2")


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
