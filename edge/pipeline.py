"""The only glue: frames → segment → crop → classify → count, with the next frame decoded meanwhile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from edge.classify import Classifier
from edge.count import REJECTED, CountedFrame, assign
from edge.crop import crop_cells, crop_scale
from edge.frames import FailedFrame, Frame
from edge.segment import segment

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the same items, each made in a thread while the one before it is used; never more than one."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as worker:
        pending = worker.submit(next, iterator, end)
        while (item := pending.result()) is not end:
            pending = worker.submit(next, iterator, end)
            yield item  # type: ignore[misc]  # the sentinel has just been excluded


def count_frames(
    frames: Iterable[Frame | FailedFrame],
    classifier: Classifier,
    *,
    pixel_um: float,
    reject_below: float,
    segmentation: Mapping[str, Any],
) -> Iterator[CountedFrame | FailedFrame]:
    """Find, cut out and classify the cells of each frame, in frame order.

    Parameters
    ----------
    frames : from `edge.frames.read_frames`, read one ahead in a thread
    classifier : its bundle states labels, crop size and scale
    pixel_um : side of a frame's pixel in the specimen
    reject_below : a cell whose best probability is smaller is rejected, as is one that does not look like the
        training crops
    segmentation : keyword options of `edge.segment.segment`
    """
    manifest = classifier.bundle.manifest
    scale = crop_scale(pixel_um, manifest.pixel_um)
    for frame, sha256 in ahead(map(_fingerprinted, frames)):
        if isinstance(frame, FailedFrame):
            yield frame
            continue
        cells = segment(frame.image, pixel_um=pixel_um, **segmentation)
        crops = crop_cells(frame.image, cells, size_px=manifest.crop_px, scale=scale)
        probabilities = classifier.probabilities(crops)
        named = assign(probabilities, manifest.labels, reject_below)
        known = classifier.known(crops)
        assigned = [label if k else REJECTED for label, k in zip(named, known, strict=True)]
        yield CountedFrame(frame, sha256, cells, crops, probabilities, assigned)


def _fingerprinted(frame: Frame | FailedFrame) -> tuple[Frame | FailedFrame, str]:
    """A frame with the SHA-256 of its size and grey values; hashed in the decoding thread."""
    if isinstance(frame, FailedFrame):
        return frame, ""
    digest = hashlib.sha256(repr(frame.image.shape).encode())
    digest.update(np.ascontiguousarray(frame.image).data)
    return frame, digest.hexdigest()


def identifier(frame_sha256: Iterable[str], bundle_sha256: str, parameters: Mapping[str, Any]) -> str:
    """Name of a count: the same for the same frames in the same order, bundle and parameters."""
    said = json.dumps([list(frame_sha256), bundle_sha256, parameters], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
