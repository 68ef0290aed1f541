from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras

from train.networks import NETWORKS, build_network, multiply_accumulates
from train.networks.fusion import fusion_network
from train.recipe import NETWORK_INPUT_PX, PEERS, recipe_of

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


def test_lite_costs_an_eighth_at_most() -> None:
    full, lite = (sum(multiply_accumulates(NETWORKS[n](4)).values()) for n in ("fusion", "fusion-lite"))
    assert 8 * lite <= full
    halved = NETWORKS["fusion-lite"](4, width=0.5)
    assert halved.get_layer("conv1").output.shape[-1] == 15
    assert halved.get_layer("dense").output.shape[-1] == 40


def test_the_command_line_knows_every_network() -> None:
    assert list(NETWORKS) == list(NETWORK_INPUT_PX)


def test_hep2_has_the_sizes_of_its_publication() -> None:
    model = NETWORKS["hep2"](6, input_px=NETWORK_INPUT_PX["hep2"])
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "flatten", "dense", "logits")
    shapes = [model.get_layer(name).output.shape[1:] for name in names]
    maps = [(72, 72, 6), (36, 36, 6), (33, 33, 16), (11, 11, 16), (9, 9, 32), (3, 3, 32)]
    assert model.input_shape == (None, 78, 78, 1)
    assert shapes == [*maps, (288,), (150,), (6,)]
    # 7·7·6 + 6, 4·4·6·16 + 16, 3·3·16·32 + 32, 288·150 + 150, 150·6 + 6
    assert model.count_params() == 300 + 1552 + 4640 + 43350 + 906


def test_hep2_activates_with_lecuns_scaled_tanh() -> None:
    model = NETWORKS["hep2"](3, input_px=78)
    x = np.array([[[[-1.0, 0.0, 0.5, 1.0, 9.0, -9.0]]]], np.float32)
    for name in ("squash1_in", "squash1_tanh", "squash1_out"):
        x = np.asarray(model.get_layer(name)(x))
    expected = 1.7159 * np.tanh(2 / 3 * np.array([-1.0, 0.0, 0.5, 1.0, 9.0, -9.0]))
    np.testing.assert_allclose(x.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "reference"), [("vgg16", "VGG16"), ("resnet50", "ResNet50")])
def test_peers_have_the_parameters_of_keras_applications(name: str, reference: str) -> None:
    original = getattr(keras.applications, reference)(weights=None, classes=3, input_shape=(64, 64, 3))
    model = NETWORKS[name](3, input_px=64)
    assert model.count_params() == original.count_params()
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 3))
    assert [w.shape for w in model.weights][:-2] == [w.shape for w in original.weights][:-2]


def test_dropout_and_momentum_reach_the_peers() -> None:
    resnet = NETWORKS["resnet50"](3, input_px=32, dropout=0.3, batch_norm_momentum=0.9)
    norms = [layer for layer in resnet.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}
    assert len(norms) == 53
    assert resnet.get_layer("dropout").rate == 0.3
    assert NETWORKS["hep2"](3, input_px=78, dropout=0.3).get_layer("dropout").rate == 0.3


@pytest.mark.parametrize("name", sorted(PEERS))
def test_peers_refuse_a_width(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no width factor: leave --width out"):
        recipe_of("best", network=name, width=0.5)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="no network alexnet: choose one of fusion, "):
        recipe_of("best", network="alexnet")


@pytest.mark.parametrize("name", ["fusion-lite", "ablation3", "hep2", "resnet50"])
def test_a_recipes_network_is_built(name: str) -> None:
    width = 1.0 if name in PEERS else 0.1
    recipe = recipe_of("best", network=name, width=width, crop_px=64, precision="bfloat16")
    model = build_network(recipe, 3)
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 3))
    assert model.get_layer("dropout").rate == 0.4
    assert model.layers[3].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("name", ["fusion", "ablation3", "hep2", "resnet50"])
def test_saved_networks_load_without_custom_objects(name: str, tmp_path: Path) -> None:
    width = {} if name in PEERS else {"width": 0.05}
    px = min(NETWORK_INPUT_PX[name], 78)
    model = NETWORKS[name](3, input_px=px, dropout=0.1, **width)
    model.save(tmp_path / "model.keras")
    crops = np.random.default_rng(0).normal(size=(2, px, px, 1)).astype(np.float32)
    answers = np.asarray(model(crops))
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(crops)), answers, rtol=1e-4, atol=1e-6)
