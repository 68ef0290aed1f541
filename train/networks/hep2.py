"""The HEp-2 CNN of Gao et al. in Keras 3, a peer of the paper's network."""

from __future__ import annotations

import keras
from keras import layers

from train.networks.head import probabilities_of, refuse_width

INPUT_PX = 78
"""Side of the authors' crops, px."""


def _squash(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """1.7159 tanh(2 x / 3), LeCun's scaled tanh ("Efficient BackProp", 1998)."""
    x = layers.Rescaling(2 / 3, name=f"{name}_in")(x)
    x = layers.Activation("tanh", name=f"{name}_tanh")(x)
    return layers.Rescaling(1.7159, name=f"{name}_out")(x)


def hep2_network(
    labels: int,
    *,
    width: float = 1.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    input_px: int = INPUT_PX,
    seed: int = 0,
) -> keras.Model:
    """Build the HEp-2 CNN: three unpadded convolutions, each with a max-pool, and a dense layer of 150.

    At 78 px: 6 maps of 7×7 (72), pool 2 (36), 16 maps of 4×4 (33), pool 3 (11), 32 maps of 3×3 (9),
    pool 3 (3), so that 288 features enter the dense layer; every size divides without a rest.

    Parameters
    ----------
    labels
        Number of classes.
    width
        1.0; the network has no width factor.
    dropout
        Fraction of the dense layer's outputs dropped while training; the authors' network has none.
    batch_norm_momentum
        Unused: it has no batch norm.
    input_px
        Side of the crop; the authors' is 78.
    seed
        Seed of the dropout masks.

    Returns
    -------
    keras.Model
        float32 [n, input_px, input_px, 1] to probabilities, float32 [n, labels]; see `train.networks.head`.

    Raises
    ------
    ValueError
        If `width` is not 1.

    References
    ----------
    Gao, Wang, Zhou, Zhang, IEEE J. Biomed. Health Inform. 21 (2), 416-428, 2017 (arXiv:1504.02531), of which
    only the abstract could be read here. Kernels, pools and maps are those of two public reimplementations
    that agree on them: GaoetAl2017Model.py in github.com/Korengast/PM_lab_TAU and N. Meng's gaohep2net. The
    dense layer of 150 and the scaled tanh are the latter's. Unpadded convolutions of stride 1 are the
    former's: with them no size leaves a rest. Both add batch norms, at different places; here there are none.
    """
    refuse_width("hep2", width)
    crop = keras.Input((input_px, input_px, 1), name="crop")
    x = crop
    for stage, (maps, kernel, pool) in enumerate(((6, 7, 2), (16, 4, 3), (32, 3, 3)), start=1):
        x = _squash(layers.Conv2D(maps, kernel, name=f"conv{stage}")(x), f"squash{stage}")
        x = layers.MaxPooling2D(pool, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = _squash(layers.Dense(150, name="dense")(x), "squash_dense")
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    return keras.Model(crop, probabilities_of(x, labels), name="hep2")
