from __future__ import annotations

import pytest

pytest.importorskip("keras", reason="needs the train extra")

from train.networks import multiply_accumulates
from train.networks.fusion import fusion_network

PAPER = {
    "replicate": (200, 200, 3),
    "conv1": (50, 50, 96),
    "pool1": (25, 25, 96),
    "norm1": (25, 25, 96),
    "conv2": (25, 25, 256),
    "pool2": (13, 13, 256),
    "norm2": (13, 13, 256),
    "conv3": (13, 13, 384),
    "conv4": (13, 13, 384),
    "conv5": (13, 13, 256),
    "pool5": (7, 7, 256),
    "skip1_b": (7, 7, 96),
    "skip2": (7, 7, 256),
    "fuse": (7, 7, 608),
    "conv6": (7, 7, 256),
    "flatten": (12544,),
    "dense": (512,),
    "as_map": (1, 1, 512),
    "classes": (1, 1, 3),
    "logits": (3,),
    "probabilities": (3,),
}


def test_the_network_is_the_papers() -> None:
    model = fusion_network(3)
    assert model.input_shape == (None, 200, 200, 1)
    assert {name: model.get_layer(name).output.shape[1:] for name in PAPER} == PAPER
    assert model.get_layer("pad1").padding == ((5, 5), (5, 5))
    assert model.get_layer("pad_pool1").padding == ((1, 1), (1, 1))


def test_it_costs_one_thousand_million_multiply_accumulates() -> None:
    cost = {name: round(n / 1e6, 1) for name, n in multiply_accumulates(fusion_network(3)).items()}
    assert cost == {
        "conv1": 87.1,
        "conv2": 384.0,
        "conv3": 149.5,
        "conv4": 224.3,
        "conv5": 149.5,
        "conv6": 7.6,
        "dense": 6.4,
        "classes": 0.0,
    }


@pytest.mark.parametrize(
    ("skips", "maps"), [((False, True), 512), ((True, False), 352), ((False, False), 256)]
)
def test_ablations_leave_skips_out(skips: tuple[bool, bool], maps: int) -> None:
    model = fusion_network(3, skips=skips)
    assert model.get_layer("conv6").input.shape == (None, 7, 7, maps)
    assert model.output_shape == (None, 3)


def test_width_scales_every_channel_but_the_labels() -> None:
    model = fusion_network(5, width=0.25)
    channels = [model.get_layer(name).output.shape[-1] for name in ("conv1", "conv2", "conv3", "conv5")]
    assert channels == [24, 64, 96, 64]
    assert model.get_layer("dense").output.shape == (None, 128)
    assert model.output_shape == (None, 5)
