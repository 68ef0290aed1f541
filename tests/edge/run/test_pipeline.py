"""The glue: order whatever the timing, bounds, ends; and a name that depends on what was counted alone."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.base.frame import FailedFrame, Frame
from edge.capture.frames import Encoded, read_encoded, read_frames
from edge.classify import classifier as classifier_module
from edge.classify.classifier import Classifier
from edge.classify.decision import REJECTED
from edge.count.counted_frame import CountedFrame
from edge.model.bundle import load_bundle
from edge.run import pipeline
from edge.run.config import Analysis
from edge.run.instrument import Instrument
from edge.run.parallel import in_order
from edge.run.pipeline import count_frames, identifier
from edge.simulate.frame import simulate_frame
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene


def flat(results: Iterator[list[int]]) -> list[int]:
    return [result for ready in results for result in ready]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4), st.integers(1, 9))
def test_results_come_in_the_order_of_the_items(items: list[int], threads: int, in_flight: int) -> None:
    order = iter(items)

    def slowest_first(k: int) -> int:
        for _ in range(5000 * next(order, 0)):
            pass
        return k

    results = in_order(slowest_first, range(len(items)), threads=threads, in_flight=in_flight)
    assert flat(results) == list(range(len(items)))


def test_an_item_overtaken_by_all_others_still_comes_first() -> None:
    others = threading.Semaphore(0)

    def work(k: int) -> int:
        if k == 0:
            assert all(others.acquire(timeout=10) for _ in range(3)), "the others are worked on meanwhile"
        else:
            others.release()
        return k

    assert flat(in_order(work, range(4), threads=2, in_flight=4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_no_more_items_are_taken_than_allowed(in_flight: int) -> None:
    taken: list[int] = []
    used = 0

    def items() -> Iterator[int]:
        for k in range(20):
            taken.append(k)
            assert len(taken) - used <= in_flight
            yield k

    for ready in in_order(lambda k: k, items(), threads=3, in_flight=in_flight):
        assert 1 <= len(ready) <= max(1, in_flight // 2)
        assert len(taken) - used <= in_flight
        used += len(ready)
    assert used == 20


def test_what_is_ready_comes_together() -> None:
    release, done = threading.Event(), threading.Semaphore(0)

    def work(k: int) -> int:
        if k == 0:
            assert release.wait(10)
        done.release()
        return k

    results = in_order(work, range(6), threads=3, in_flight=6)

    def release_last() -> None:
        assert all(done.acquire(timeout=10) for _ in range(5))
        release.set()

    waiting = threading.Thread(target=release_last)
    waiting.start()
    assert next(results) == [0, 1, 2]
    waiting.join()
    results.close()


@pytest.mark.parametrize("where", ["items", "function"])
def test_a_failure_comes_where_it_happened(where: str) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        if where == "items":
            raise OSError("gone")
        yield from range(3, 9)

    def work(k: int) -> int:
        if k == 3:
            raise OSError("gone")
        return k

    before = set(threading.enumerate())  # those of an earlier failure may end meanwhile
    seen: list[int] = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(k for ready in in_order(work, items(), threads=2, in_flight=4) for k in ready)
    assert seen == [0, 1, 2]
    assert set(threading.enumerate()) <= before


def test_a_failure_is_raised_while_the_source_still_waits() -> None:
    stop, over = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        stop.wait()  # as a camera does, until it is to end
        over.set()

    inner = (k for ready in in_order(lambda k: k // 0, items(), threads=2, stop=stop) for k in ready)
    with pytest.raises(ZeroDivisionError):
        list(in_order(abs, inner, stop=stop))
    assert not stop.is_set()
    stop.set()
    assert over.wait(10)


def test_items_that_cannot_even_begin_are_a_failure() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(in_order(abs, Broken()))


def test_leaving_early_ends_threads_and_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.set()

    before = set(threading.enumerate())  # those of an earlier failure may end meanwhile
    results = in_order(abs, items(), threads=3, in_flight=6)
    next(results)
    results.close()
    assert closed.is_set()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("begun", [False, True])
def test_a_request_to_stop_ends_the_wait_for_an_item(begun: bool) -> None:
    stop, asked = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        if begun:
            yield 1
        asked.set()
        assert stop.wait(10)  # a camera that sends nothing
        yield 2

    def stop_when_asked() -> None:
        assert asked.wait(10)
        stop.set()

    threading.Thread(target=stop_when_asked).start()
    assert flat(in_order(abs, items(), stop=stop)) in ([1] * begun, [])


def test_stages_can_follow_one_another() -> None:
    before = set(threading.enumerate())  # those of an earlier failure may end meanwhile
    first = (k for ready in in_order(abs, range(-50, 0), threads=2, in_flight=4) for k in ready)
    second = in_order(lambda k: 2 * k, first, threads=2, in_flight=3)
    assert flat(second) == list(range(100, 0, -2))
    assert set(threading.enumerate()) <= before


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
    classifier = Classifier(load_bundle("phantom3"))
    frames: list[Frame | FailedFrame] = [
        Frame(simulated.image, "a", 0, 0),
        FailedFrame("b", 1, "gone"),
        Frame(simulated.image, "c", 2, 0),
    ]
    first, failed, second = count_frames(
        frames, classifier, Analysis(pixel_um=Optics().pixel_um, reject_below=0.0)
    )
    assert failed == frames[1]
    assert isinstance(first, CountedFrame)
    assert isinstance(second, CountedFrame)
    assert first.sha256 == second.sha256
    assert first.decisions == second.decisions
    assert first.crops[:].shape == (len(first.cells), 200, 200)
    np.testing.assert_allclose(first.probabilities.sum(axis=1), 1, atol=1e-5)
    truth = [particle.label for particle in simulated.truth if not particle.cell.border]
    labels = [decision.label for decision in first.decisions]
    for label in classifier.bundle.manifest.counted:
        assert abs(labels.count(label) - truth.count(label)) <= 2
    assert REJECTED not in labels


def test_a_frame_full_of_outlines_is_not_counted() -> None:
    image = np.random.default_rng(0).integers(126, 130, (1500, 1500), dtype=np.uint8)
    for radius in range(20, 750, 32):
        cv2.circle(image, (750, 750), radius, (40,), 3)
    frame = Frame(image, "rings", 0, 0)
    (result,) = count_frames(
        [frame], Classifier(load_bundle("phantom3")), Analysis(pixel_um=0.25, reject_below=0.5)
    )
    assert isinstance(result, FailedFrame)
    assert (result.kind, result.reason[:24]) == ("unseen", "outlines inside outlines")


def test_an_empty_frame_has_no_cells() -> None:
    noise = np.random.default_rng(0).normal(140, 2, (600, 800))  # without noise no camera took it
    blank = Frame(noise.astype(np.uint8), "blank", 0, 0)
    (result,) = count_frames(
        [blank], Classifier(load_bundle("phantom3")), Analysis(pixel_um=0.125, reject_below=0.5)
    )
    assert isinstance(result, CountedFrame)
    assert (result.cells, result.decisions, result.probabilities.shape) == ([], [], (0, 5))


def test_a_flat_field_does_not_hide_what_was_overexposed() -> None:
    bright = np.full((600, 800), 140, np.uint8)
    bright[:, :200] = 255
    (result,) = count_frames(
        [Frame(bright, "bright", 0, 0)],
        Classifier(load_bundle("phantom3")),
        Analysis(pixel_um=0.125, reject_below=0.5),
        instrument=Instrument(load_bundle("phantom3"), flat_field_gain=np.full((600, 800), 0.5, np.float32)),
    )
    assert isinstance(result, CountedFrame)
    assert result.quality is not None
    assert result.quality.saturated_share == pytest.approx(0.25, abs=0.01)
    assert result.quality.brightness == pytest.approx(70, abs=1)


def test_neither_threads_nor_batches_change_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames with many cells, with few, with none, and one that cannot be read; decoded in threads."""
    classifier = Classifier(load_bundle("phantom3"))
    for k, cells in enumerate((5, 1, 0, 9, 2, 1, 14)):
        scene = Scene(width_px=820, height_px=616, leukocytes=cells, erythrocytes=0, debris=0)
        image = simulate_frame(k, scene=scene).image
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    (tmp_path / "4a.png").write_bytes(b"no image")

    def counted(frames: Iterable[Encoded | Frame | FailedFrame], threads: int) -> list[list[object]]:
        results = count_frames(
            frames,
            classifier,
            Analysis(pixel_um=Optics().pixel_um, reject_below=0.5),
            threads=threads,
        )
        return [
            [r.sha256, r.cells, r.crops[:].tobytes(), r.probabilities.tobytes(), r.decisions]
            if isinstance(r, CountedFrame)
            else [r.name, r.index, r.reason]
            for r in results
        ]

    alone = [row for frame in read_frames([tmp_path]) for row in counted([frame], 1)]
    assert len(alone) == 8
    for threads in (1, 2, 5):
        assert counted(read_encoded([tmp_path]), threads) == alone
    # crops of many cells are cut when they are needed, and prepared some at a time
    monkeypatch.setattr(pipeline, "MANY_CELLS", 4)
    monkeypatch.setattr(classifier_module, "AT_ONCE", 3)
    assert counted(read_encoded([tmp_path]), 2) == alone
    monkeypatch.setattr(pipeline, "MOST_CELLS", 9)
    crowded = list(
        count_frames(
            read_encoded([tmp_path]), classifier, Analysis(pixel_um=Optics().pixel_um, reject_below=0.5)
        )
    )[-1]
    assert isinstance(crowded, FailedFrame)
    assert crowded.kind == "unseen"
    assert "more than 9 cells, the most that a frame may hold" in crowded.reason


def test_a_frame_is_let_go_before_the_next_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(load_bundle("phantom3"))
    scene = Scene(width_px=410, height_px=308, leukocytes=3, erythrocytes=0, debris=0)
    first: list[weakref.ref[Any]] = []
    gone: list[bool] = []

    def frames() -> Iterator[Frame]:
        for k in range(2):
            image = simulate_frame(k, scene=scene).image
            if k == 0:
                first.append(weakref.ref(image))
            yield Frame(image, f"{k}.png", k, 0)
            del image

    def cut(frame: Frame, **how: Any) -> object:
        if frame.index == 1:
            deadline = time.monotonic() + 5
            while first[0]() is not None and time.monotonic() < deadline:
                time.sleep(0.001)
            gone.append(first[0]() is None)
        return pipeline._cut(frame, **how)

    monkeypatch.setattr(pipeline, "_cut_or_failed", cut)
    counted = count_frames(frames(), classifier, Analysis(pixel_um=Optics().pixel_um, reject_below=0.5))
    assert list(map(type, counted)) == [CountedFrame] * 2
    assert gone == [True]
