"""The only glue: frames → segment → crop → classify → count, several frames at a time, results in order.

Frames are independent up to their crops, so each is decoded, segmented and cut by one of several threads
(OpenCV releases the interpreter lock). The crops of all frames that are ready then go through the network
together. Nothing depends on which thread was faster: results come in the order of the frames, and an int8
network answers a crop the same in any batch.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame, Frame
from edge.capture import Encoded
from edge.classify import Classifier, decide_labels
from edge.count import CountedFrame
from edge.find import (
    Quality,
    QualityLimits,
    breaches,
    crop_cells,
    crop_scale,
    divide_flat_field,
    measure_quality,
    reduced,
    segment,
)
from edge.track import Tracker

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_LIMITS = QualityLimits()

STOP_POLL_S = 0.1
"""How often a wait looks whether it is to end."""

FAILING_S = 1.0
"""How long a failure waits for the items to end before it is told without."""


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int = 1,
    in_flight: int = 2,
    stop: threading.Event | None = None,
) -> Generator[list[R], None, None]:
    """Yield the function's results in the order of the items, computed by several threads.

    Each list holds what is ready, at least one result; its results count as used when the next list is asked
    for. What the items or the function raise is raised in its place. However the iterator is left, its
    threads have ended by then, and so has the items' iterator if it is a generator.

    Parameters
    ----------
    function : called in any of the threads
    items : iterated by a thread of its own
    threads : how many compute
    in_flight : items taken whose results were not used yet, at most: this bounds the memory
    stop : once it is set nothing more is yielded, also while the items let one wait. After a failure set it
        too: items that let one wait for longer than `FAILING_S` end by it
    """
    failing = False
    stop = stop or threading.Event()
    room = threading.Semaphore(in_flight)
    line: deque[Future[R]] = deque()
    changed = threading.Condition()
    closed, ended = threading.Event(), threading.Event()
    pool = ThreadPoolExecutor(threads + 1)

    def notify(_: object = None) -> None:
        with changed:
            changed.notify_all()

    def enqueue(future: Future[R]) -> None:
        line.append(future)
        future.add_done_callback(notify)

    def feed() -> None:
        source: Iterator[T] = iter(())
        try:
            source = iter(items)
            while room.acquire() and not closed.is_set():
                try:
                    item = next(source)
                except StopIteration:
                    break
                enqueue(pool.submit(function, item))
        except Exception as error:
            failed: Future[R] = Future()
            failed.set_exception(error)
            enqueue(failed)
        finally:
            if isinstance(source, Generator):  # closed by the thread that runs it
                source.close()
            ended.set()
            notify()

    def ready() -> bool:
        return bool(line) and line[0].done()

    def over() -> bool:
        return ended.is_set() and not line

    pool.submit(feed)
    try:
        while not stop.is_set():
            results: list[R] = []
            # half at most: the other half keeps the threads busy while these are used
            while ready() and len(results) < max(1, in_flight // 2):
                if results and line[0].exception():
                    break
                results.append(line.popleft().result())
            if results:
                yield results
                room.release(len(results))
            elif over():
                return
            else:
                with changed:
                    changed.wait_for(lambda: ready() or over(), STOP_POLL_S)
    except Exception:  # whatever it is, it goes on to the caller
        failing = True
        raise
    finally:
        closed.set()
        room.release()
        # a camera may let the feeding thread wait, and whoever sets `stop` must hear of the failure first
        pool.shutdown(wait=not failing or ended.wait(FAILING_S), cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A frame up to its crops: the part of the work that needs no other frame and no network."""

    frame: Frame
    sha256: str
    cells: list[Cell]
    crops: NDArray[np.uint8]
    in_distribution: NDArray[np.bool_]
    quality: Quality


def count_frames(
    frames: Iterable[Encoded | Frame | FailedFrame],
    classifier: Classifier,
    *,
    pixel_um: float,
    reject_below: float,
    segmentation: Mapping[str, Any],
    gain: NDArray[np.float32] | None = None,
    size_px: tuple[int, int] | None = None,
    reference_brightness: float | None = None,
    limits: QualityLimits = DEFAULT_LIMITS,
    tracker: Tracker | None = None,
    keep_state: bool = False,
    threads: int = 1,
    stop: threading.Event | None = None,
) -> Generator[CountedFrame | FailedFrame, None, None]:
    """Find, cut out and classify the cells of each frame, in frame order.

    Parameters
    ----------
    frames : from `edge.capture.frames.read_encoded`; those already decoded, of a camera or a video, will do
    classifier : its bundle states labels, crop size and scale
    pixel_um : side of a frame's pixel in the specimen
    reject_below : a cell whose best probability is smaller is rejected, as is one that does not look like the
        training crops
    segmentation : keyword options of `edge.find.segmentation.segment`
    gain : undoes the illumination in each frame, from `edge.calibration.flat_field.read_gain`; None leaves it
    size_px : width and height that a frame must have; None takes any
    reference_brightness : of blank frames at calibration; None where it is not known
    limits : of quality, beyond which a frame is counted all the same, and marked
    tracker : tells cells that were seen in an earlier frame; None for frames that have nothing in common
    keep_state : give each frame the tracker's state after it, to go on from there another time
    threads : how many work on frames; twice as many frames are held at a time
    stop : once it is set no more frames are yielded; set it before leaving a source that may let one wait
    """
    manifest = classifier.bundle.manifest
    cut = partial(
        _cut,
        classifier=classifier,
        pixel_um=pixel_um,
        scale=crop_scale(pixel_um, manifest.pixel_um),
        segmentation=segmentation,
        gain=gain,
        size_px=size_px,
        reference_brightness=reference_brightness,
    )
    for ready in in_order(cut, frames, threads=threads, in_flight=2 * threads, stop=stop):
        crops = [item.crops for item in ready if isinstance(item, _Cut)]
        answers = iter(_classified(classifier, crops))
        for item in ready:
            if isinstance(item, FailedFrame):
                yield item
                continue
            probabilities = next(answers)
            decisions = decide_labels(probabilities, item.in_distribution, manifest.labels, reject_below)
            frame, track_ids, state = item.frame, None, None
            if tracker is not None:
                # a still file's own time is when it was written or copied: equal steps are nearer the truth
                time_ns = frame.index * 1_000_000_000 if frame.sha256 else frame.time_ns
                track_ids = tracker.update(frame.image, item.cells, time_ns)
                state = tracker.state() if keep_state else None
            yield CountedFrame(
                frame,
                item.sha256,
                item.cells,
                item.crops,
                probabilities,
                decisions,
                item.quality,
                breaches(item.quality, limits),
                track_ids,
                state,
            )


def _cut(
    frame: Encoded | Frame | FailedFrame,
    *,
    classifier: Classifier,
    pixel_um: float,
    scale: float,
    segmentation: Mapping[str, Any],
    gain: NDArray[np.float32] | None,
    size_px: tuple[int, int] | None,
    reference_brightness: float | None,
) -> _Cut | FailedFrame:
    if isinstance(frame, Encoded):
        frame = frame.decode()
    if isinstance(frame, FailedFrame):
        return frame
    height, width = frame.image.shape
    if size_px not in (None, (width, height)):
        asked = " x ".join(map(str, size_px or ()))
        return FailedFrame(
            frame.name, frame.index, f"{width} x {height} px, and the calibration is for frames of {asked}"
        )
    sha256, recorded = sha256_of(frame), None
    if gain is not None:
        recorded = frame.image
        frame = replace(frame, image=divide_flat_field(frame.image, gain))
    small = reduced(frame.image, pixel_um)
    cells = segment(frame.image, pixel_um=pixel_um, work=small[0], **segmentation)
    crops = crop_cells(frame.image, cells, size_px=classifier.bundle.manifest.crop_px, scale=scale)
    quality = measure_quality(
        frame,
        cells,
        pixel_um=pixel_um,
        reference_brightness=reference_brightness,
        recorded=recorded,
        small=small,
    )
    return _Cut(frame, sha256, cells, crops, classifier.in_distribution(crops), quality)


def _classified(classifier: Classifier, crops: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """Probabilities of each frame's crops, float32 [n, labels], all of them in one go."""
    if not crops:
        return []
    ends = np.cumsum([len(group) for group in crops])[:-1]
    return np.split(classifier.probabilities(np.concatenate(crops)), ends)


def sha256_of(frame: Encoded | Frame) -> str:
    """SHA-256 that names a frame: of the encoded image if it was one, else of its size and grey values."""
    if isinstance(frame, Encoded) or frame.sha256:
        return frame.sha256
    digest = hashlib.sha256(repr(frame.image.shape).encode())
    digest.update(np.ascontiguousarray(frame.image).data)
    return digest.hexdigest()


def identifier(frame_sha256: Iterable[str], bundle_sha256: str, parameters: Mapping[str, Any]) -> str:
    """Name of a count: the same for the same frames in the same order, bundle and parameters."""
    said = json.dumps([list(frame_sha256), bundle_sha256, parameters], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
