"""A folded network is the same function, in operators that every device runs."""

from __future__ import annotations

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from convert.fold import folded
from train.networks.fusion import fusion_network


def _stirred(model: keras.Model, seed: int) -> keras.Model:
    """Random biases and norms, so that padding, means and negative factors matter."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = layer.get_weights()
        if isinstance(layer, layers.BatchNormalization):
            values = [rng.normal(0.5, 1, v.shape) for v in values[:3]] + [
                rng.uniform(0.1, 4, values[3].shape)
            ]
        elif values:
            values = [values[0], rng.normal(0, 0.3, values[1].shape)]
        layer.set_weights(values)
    return model


@settings(max_examples=6)
@given(
    width=st.sampled_from([0.02, 0.05, 0.1]),
    skips=st.tuples(st.booleans(), st.booleans()),
    side=st.sampled_from([64, 72, 78]),  # 78 makes no whole blocks
    seed=st.integers(0, 100),
)
def test_folding_changes_nothing_but_rounding(
    width: float, skips: tuple[bool, bool], side: int, seed: int
) -> None:
    network = _stirred(fusion_network(3, width=width, skips=skips, input_px=side), seed)
    inputs = np.random.default_rng(seed).normal(0, 1, (4, side, side, 1)).astype(np.float32)
    rewritten = folded(network, inputs)
    logits = [
        np.asarray(keras.Model(m.input, m.get_layer("logits").output).predict_on_batch(inputs))
        for m in (network, rewritten)
    ]
    assert np.abs(logits[0] - logits[1]).max() <= 2e-5 * max(1.0, np.abs(logits[0]).max())


def test_one_channel_comes_in_and_nothing_is_flattened() -> None:
    rewritten = folded(fusion_network(3, width=0.05, input_px=64), np.zeros((1, 64, 64, 1), np.float32))
    kinds = [type(layer).__name__ for layer in rewritten.layers]
    assert not {"Flatten", "Dense", "BatchNormalization", "Dropout"} & set(kinds)
    assert [layer.name for layer in rewritten.layers if isinstance(layer, layers.Concatenate)] == ["fuse"]
    # 4×4 pixels a block, and 11 pixels at an offset of 3 lie in 4 blocks
    assert tuple(rewritten.get_layer("conv1").kernel.shape[:3]) == (4, 4, 16)
