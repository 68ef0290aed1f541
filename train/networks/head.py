"""The last layers of every network: from features to probabilities."""

from __future__ import annotations

import keras
from keras import layers


def probabilities_of(features: keras.KerasTensor, labels: int) -> keras.KerasTensor:
    """Add a dense layer and a softmax to features [n, m] and return probabilities [n, labels].

    These layers compute in float32 whatever the precision of the others.
    """
    # a dense layer of 2 or 3 outputs crashes tflite-runtime 2.14 on aarch64; a 1×1 convolution does not
    x = layers.Reshape((1, 1, features.shape[-1]), name="as_map")(features)
    x = layers.Conv2D(labels, 1, name="classes", dtype="float32")(x)
    x = layers.Reshape((labels,), name="logits", dtype="float32")(x)
    return layers.Softmax(name="probabilities", dtype="float32")(x)
