"""The only glue: frames → segment → crop → classify → count, several frames at a time, results in order.

Frames are independent up to their crops, so each is decoded, segmented and cut by one of several threads
(OpenCV releases the interpreter lock). The crops of all frames that are ready then go through the network
together. Nothing depends on which thread was faster: results come in the order of the frames, and an int8
network answers a crop the same in any batch.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.classify import Classifier
from edge.count import REJECTED, CountedFrame, assign
from edge.crop import crop_cells, crop_scale
from edge.frames import Encoded, FailedFrame, Frame
from edge.segment import Cell, segment

T = TypeVar("T")
R = TypeVar("R")

STOP_POLL_S = 0.1
"""How often a wait looks whether it is to end."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    stop : once it is set nothing more is yielded, also while the items let one wait
    """
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
    finally:
        closed.set()
        room.release()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A frame up to its crops: the part of the work that needs no other frame and no network."""

    frame: Frame
    sha256: str
    cells: list[Cell]
    crops: NDArray[np.uint8]
    known: NDArray[np.bool_]


def count_frames(
    frames: Iterable[Encoded | Frame | FailedFrame],
    classifier: Classifier,
    *,
    pixel_um: float,
    reject_below: float,
    segmentation: Mapping[str, Any],
    threads: int = 1,
    stop: threading.Event | None = None,
) -> Generator[CountedFrame | FailedFrame, None, None]:
    """Find, cut out and classify the cells of each frame, in frame order.

    Parameters
    ----------
    frames : from `edge.frames.read_encoded`; those already decoded, of a camera or a video, will do
    classifier : its bundle states labels, crop size and scale
    pixel_um : side of a frame's pixel in the specimen
    reject_below : a cell whose best probability is smaller is rejected, as is one that does not look like the
        training crops
    segmentation : keyword options of `edge.segment.segment`
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
    )
    for ready in in_order(cut, frames, threads=threads, in_flight=2 * threads, stop=stop):
        crops = [item.crops for item in ready if isinstance(item, _Cut)]
        answers = iter(_classified(classifier, crops))
        for item in ready:
            if isinstance(item, FailedFrame):
                yield item
                continue
            probabilities = next(answers)
            named = assign(probabilities, manifest.labels, reject_below)
            assigned = [label if known else REJECTED for label, known in zip(named, item.known, strict=True)]
            yield CountedFrame(item.frame, item.sha256, item.cells, item.crops, probabilities, assigned)


def _cut(
    frame: Encoded | Frame | FailedFrame,
    *,
    classifier: Classifier,
    pixel_um: float,
    scale: float,
    segmentation: Mapping[str, Any],
) -> _Cut | FailedFrame:
    if isinstance(frame, Encoded):
        frame = frame.decode()
    if isinstance(frame, FailedFrame):
        return frame
    cells = segment(frame.image, pixel_um=pixel_um, **segmentation)
    crops = crop_cells(frame.image, cells, size_px=classifier.bundle.manifest.crop_px, scale=scale)
    return _Cut(frame, sha256_of(frame), cells, crops, classifier.known(crops))


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
