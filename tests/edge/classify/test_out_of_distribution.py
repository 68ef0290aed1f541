"""Crops of another kind are far from what a Gaussian of known ones calls typical."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.out_of_distribution import fit
from edge.classify.out_of_distribution import crop_statistics, out_of_distribution_score
from edge.model.bundle import load_bundle
from edge.model.manifest import OutOfDistributionModel, decode, encode


def discs(n: int, seed: int, ring_px: float = 4.0) -> NDArray[np.uint8]:
    """Noisy rings of some size on an even ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :200]
    crops = np.empty((n, 200, 200), np.uint8)
    for crop in crops:
        radius = np.hypot(x - rng.normal(100, 3), y - rng.normal(100, 3))
        shape = np.exp(-(((radius - rng.uniform(40, 60)) / ring_px) ** 2))
        crop[:] = np.clip(rng.normal(140, 3, (200, 200)) + rng.uniform(40, 60) * shape, 0, 255)
    return crops


@pytest.fixture(scope="module")
def known() -> OutOfDistributionModel:
    return fit(discs(60, 1))


def test_the_statistics_are_those_that_bundles_were_fitted_with() -> None:
    """Bundles that users hold state means of these numbers."""
    y, x = np.mgrid[:200, :200]
    spot = np.exp(-((x - 100) ** 2 + (y - 90) ** 2) / 800) * np.cos((x + 2 * y) / 9)
    expected = [1.6732, 2.5063, 2.4256, 0.6658, 0.6328, 1.3281]
    found = crop_statistics((128 + 90 * spot).astype(np.uint8)[None])[0]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_out_of_distribution_crops_score_higher(known: OutOfDistributionModel) -> None:
    fresh = out_of_distribution_score(discs(30, 2), known)
    blurred = np.stack([cv2.GaussianBlur(crop, (0, 0), 6) for crop in discs(30, 3)])
    empty = np.random.default_rng(4).normal(140, 3, (30, 200, 200)).astype(np.uint8)
    assert fresh.shape == (30,)
    assert (fresh >= 0).all()
    for foreign in (np.asarray(blurred, np.uint8), empty, discs(30, 5, ring_px=20.0)):
        assert out_of_distribution_score(foreign, known).min() > fresh.max()


@settings(max_examples=20)
@given(st.integers(0, 7), st.floats(0.75, 1.3))
def test_neither_rotation_nor_brightness_matters(turn: int, lamp: float) -> None:
    crops = discs(2, 6)
    seen = crop_statistics(crops)
    turned = np.rot90(crops[:, :, ::-1] if turn > 3 else crops, turn, axes=(1, 2))
    lit = np.clip(np.rint(turned * lamp), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(crop_statistics(lit), seen, atol=0.12)


def test_too_few_crops_are_refused(known: OutOfDistributionModel) -> None:
    with pytest.raises(ValueError, match="at least 20 crops, not 19"):
        fit(discs(19, 7))
    assert out_of_distribution_score(np.zeros((0, 200, 200), np.uint8), known).shape == (0,)
    assert np.isfinite(crop_statistics(np.zeros((1, 64, 64), np.uint8))).all()


def test_every_statistic_counts(known: OutOfDistributionModel) -> None:
    precision = np.array(known.precision)
    np.testing.assert_allclose(precision, precision.T, rtol=1e-6)
    assert (np.linalg.eigvalsh(precision) > 0).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean": [0.0] * 5}, "6 statistics"),
        ({"precision": [[0.0] * 6] * 5}, "6 statistics"),
        ({"mean": [float("nan")] * 6}, "mean.0 is NaN; expected a number"),
        ({"mean": 3}, "mean is 3; expected a list"),
        ({"more": 1}, "is not a known key"),
    ],
)
def test_a_manifest_with_an_invalid_gaussian_is_refused(change: dict[str, object], reason: str) -> None:
    manifest = load_bundle("hemocytometer").manifest
    assert decode(encode(manifest)) == manifest
    raw = json.loads(encode(manifest))
    raw["out_of_distribution"] |= change
    with pytest.raises(ValueError, match=reason):
        decode(json.dumps(raw, indent=2).encode())


def test_the_score_and_what_it_needs_come_together() -> None:
    manifest = load_bundle("hemocytometer").manifest
    with pytest.raises(ValueError, match="contradicts itself"):
        decode(encode(dataclasses.replace(manifest, out_of_distribution=None)))
