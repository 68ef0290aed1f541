"""The glue: order, decode-ahead, and a name that depends on what was counted and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import load
from edge.classify import Classifier
from edge.count import REJECTED, CountedFrame
from edge.frames import FailedFrame, Frame
from edge.pipeline import ahead, count_frames, identifier
from edge.simulate import Optics, Scene, simulate_frame


@given(st.lists(st.integers()))
def test_the_same_items_in_the_same_order(items: list[int]) -> None:
    assert list(ahead(items)) == items


def test_one_item_is_made_ahead_and_never_two() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for k in range(5):
            made.append(k)
            if k == 2:
                third.set()
            yield k

    for k in ahead(items()):
        if k == 1:
            assert third.wait(10), "the next item is made while this one is used"
        assert len(made) <= k + 2


def test_a_failure_comes_where_it_happened() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    results = ahead(items())
    assert next(results) == 1
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    results = ahead(iter(range(100)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@given(st.lists(st.text(), max_size=4), st.text(), st.dictionaries(st.text(), st.integers(), max_size=3))
def test_the_identifier_names_frames_bundle_and_parameters(
    frames: list[str], bundle: str, parameters: dict[str, int]
) -> None:
    name = identifier(frames, bundle, parameters)
    assert identifier(frames, bundle, dict(reversed(parameters.items()))) == name
    assert identifier([*frames, "x"], bundle, parameters) != name
    assert identifier(frames, bundle + "x", parameters) != name
    assert identifier(frames, bundle, {**parameters, "another one": 1}) != name


def test_a_simulated_frame_is_counted_as_it_is() -> None:
    scene = Scene(leukocytes=12, erythrocytes=4, debris=3, separate=True)
    simulated = simulate_frame(77, scene=scene)
    classifier = Classifier(load("phantom3"))
    frames: list[Frame | FailedFrame] = [
        Frame(simulated.image, "a", 0, 0),
        FailedFrame("b", 1, "gone"),
        Frame(simulated.image, "c", 2, 0),
    ]
    first, failed, second = count_frames(
        frames, classifier, pixel_um=Optics().pixel_um, reject_below=0.0, segmentation={}
    )
    assert failed == frames[1]
    assert isinstance(first, CountedFrame)
    assert isinstance(second, CountedFrame)
    assert first.sha256 == second.sha256
    assert first.assigned == second.assigned
    assert first.crops.shape == (len(first.cells), 200, 200)
    np.testing.assert_allclose(first.probabilities.sum(axis=1), 1, atol=1e-5)
    truth = [cell.label for cell in simulated.truth if not cell.border]
    for label in classifier.bundle.manifest.counted:
        assert abs(first.assigned.count(label) - truth.count(label)) <= 2
    assert REJECTED not in first.assigned


def test_an_empty_frame_has_no_cells() -> None:
    blank = Frame(np.full((600, 800), 140, np.uint8), "blank", 0, 0)
    (result,) = count_frames(
        [blank], Classifier(load("phantom3")), pixel_um=0.125, reject_below=0.5, segmentation={}
    )
    assert isinstance(result, CountedFrame)
    assert (result.cells, result.assigned, result.probabilities.shape) == ([], [], (0, 5))
