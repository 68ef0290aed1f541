"""The stages in a row, frames → segment → crop → classify → track: several frames at a time, in order.

Frames are independent up to their crops, so each is decoded, segmented and cut by one of several threads
(OpenCV releases the interpreter lock). The crops of all frames that are ready then go through the network
together. No result depends on which thread was faster: results come in the order of the frames, and an int8
network gives a crop the same output in any batch.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame, Frame
from edge.capture import TOO_LARGE, Encoded
from edge.classify import Classifier, Contrast, decide_labels
from edge.count import CountedFrame
from edge.find import (
    Fingerprint,
    LateCrops,
    Quality,
    breaches,
    crop_cells,
    crop_scale,
    divide_flat_field,
    fingerprint,
    measure_quality,
    reduced,
    segment_frame,
    unseen,
)
from edge.run.config import Analysis
from edge.run.instrument import Instrument
from edge.run.memory import weighing
from edge.run.parallel import in_order
from edge.track import Fields, Tracker

STILL_STEP_NS = 1_000_000_000
"""Time between still files for tracking: their own times tell when they were copied."""


MANY_CELLS = 32
"""Cells of a frame above which their crops, 40 kB each, are cut some at a time, when they are needed."""

MOST_CELLS = 5000
"""Cells of a frame beyond which it is not counted: each takes the network milliseconds, and a field of a
counting chamber holds fewer, unless its pixel is another or the sample is not diluted."""


@dataclass(frozen=True, eq=False)
class _Cut:
    """A frame up to its crops: the part of the work that needs no other frame and no network."""

    frame: Frame
    sha256: str
    cells: list[Cell]
    lost: Mapping[str, int]
    crops: NDArray[np.uint8] | LateCrops
    in_distribution: NDArray[np.bool_]
    quality: Quality
    contrast: Contrast | None
    fingerprint: Fingerprint
    shared: int = 0
    repeats: str = ""


def count_frames(
    frames: Iterable[Encoded | Frame | FailedFrame],
    classifier: Classifier,
    analysis: Analysis,
    *,
    instrument: Instrument | None = None,
    size_px: tuple[int, int] | None = None,
    tracker: Tracker | None = None,
    fields: Fields | None = None,
    keep_state: bool = False,
    threads: int = 1,
    stop: threading.Event | None = None,
) -> Generator[CountedFrame | FailedFrame, None, None]:
    """Find, cut out and classify the cells of each frame, in frame order.

    Parameters
    ----------
    instrument : Instrument or None
        Its calibration corrects and judges the frames; None for frames of an unknown microscope.
    size_px : (width, height) or None
        Size that a frame must have; None takes any.
    tracker : Tracker or None
        Recognises cells of earlier frames; None for frames that have nothing in common.
    fields : Fields or None
        The fields of earlier frames, which a frame may show again or overlap; None to look for neither.
    keep_state : bool
        Give each frame the tracker's state after it, from which a later count can continue.
    threads : int
        Threads that process frames; twice as many frames are held at a time.
    stop : threading.Event
        Once it is set no more frames are yielded; set it before leaving a source that may make one wait.
    """
    instrument = instrument or Instrument(classifier.bundle)
    cut = partial(
        _cut_or_failed, classifier=classifier, analysis=analysis, instrument=instrument, size_px=size_px
    )
    weigh = weighing(analysis.pixel_um, threads, 2 * threads)

    def decided(found: list[_Cut | FailedFrame]) -> Iterator[CountedFrame | FailedFrame]:
        ready = found if fields is None else [_compared(item, fields, analysis) for item in found]
        answers = iter(_classified(classifier, [item.crops for item in ready if isinstance(item, _Cut)]))
        for item in ready:
            if isinstance(item, FailedFrame):
                if tracker is not None and item.stood_ns:
                    tracker.stood(item.stood_ns)
                yield item
                continue
            result = _decided(item, next(answers), classifier, analysis, instrument)
            yield result if tracker is None else _tracked(result, tracker, keep_state)

    cuts = in_order(cut, frames, threads=threads, in_flight=2 * threads, places=weigh, stop=stop)
    # a loop's variable would hold its frames while the next ones are waited for
    yield from chain.from_iterable(map(decided, cuts))


def _cut_or_failed(frame: Encoded | Frame | FailedFrame, **how: Any) -> _Cut | FailedFrame:
    """Decode a frame, find its cells and cut them out; one that memory does not hold is a failure."""
    try:
        return _cut(frame, **how)
    except MemoryError:
        pass
    except cv2.error as error:
        if error.code != cv2.Error.STS_NO_MEM:
            raise
    return FailedFrame(frame.name, frame.index, TOO_LARGE)


def _cut(
    frame: Encoded | Frame | FailedFrame,
    *,
    classifier: Classifier,
    analysis: Analysis,
    instrument: Instrument,
    size_px: tuple[int, int] | None,
) -> _Cut | FailedFrame:
    """Decode a frame, find its cells and cut them out."""
    if isinstance(frame, Encoded):
        frame = frame.decode()
    if isinstance(frame, FailedFrame):
        return frame
    height, width = frame.image.shape
    if size_px not in (None, (width, height)):
        calibrated = " x ".join(map(str, size_px or ()))
        reason = (
            f"{width} x {height} px, and the calibration is for frames of {calibrated} px: calibrate frames "
            "of this size, or name another --calibration"
        )
        return FailedFrame(frame.name, frame.index, reason)
    sha256, recorded, pixel_um = sha256_of(frame), None, analysis.pixel_um
    if instrument.flat_field_gain is not None:
        recorded = frame.image
        frame = replace(frame, image=divide_flat_field(frame.image, instrument.flat_field_gain))
    small = work, _ = reduced(frame.image, pixel_um)
    found = segment_frame(frame.image, pixel_um=pixel_um, gates=analysis.gates, work=work, most=MOST_CELLS)
    cells = found.cells
    if found.hidden_share == 1:
        reason = "outlines inside outlines cover it: take a field without bubbles, drops and rims"
        return FailedFrame(frame.name, frame.index, reason, "unseen")
    if len(cells) > MOST_CELLS:
        reason = (
            f"more than {MOST_CELLS:,} cells, the most that a frame may hold: if its pixel is not "
            f"{pixel_um:g} µm, pass --pixel-um; else dilute the sample"
        )
        return FailedFrame(frame.name, frame.index, reason, "unseen")
    flat_field = instrument.calibration.flat_field
    quality = measure_quality(
        frame,
        cells,
        pixel_um=pixel_um,
        reference_brightness=flat_field.brightness if flat_field else None,
        recorded=recorded,
        small=small,
        hidden_share=found.hidden_share,
    )
    reason = unseen(
        frame.image if recorded is None else recorded, small, quality, likely_bit_depth=frame.likely_bit_depth
    )
    if reason:
        return FailedFrame(frame.name, frame.index, reason, "unseen")
    manifest = classifier.bundle.manifest
    scale = crop_scale(pixel_um, manifest.pixel_um)
    cut = LateCrops if len(cells) > MANY_CELLS else crop_cells
    crops = cut(frame.image, cells, size_px=manifest.crop_px, scale=scale)
    # what else the frames of a flow have in common is the tracker's to find
    known_by = fingerprint(*small, [] if analysis.each_once == "flow" else cells, pixel_um)
    in_distribution, contrast = classifier.compare(crops)
    if contrast is not None:
        quality = replace(
            quality, contrast=contrast.ratio, asymmetry=contrast.asymmetry, detail=contrast.detail
        )
    return _Cut(frame, sha256, cells, found.lost, crops, in_distribution, quality, contrast, known_by)


def _compared(item: _Cut | FailedFrame, fields: Fields, analysis: Analysis) -> _Cut | FailedFrame:
    """Refuse a frame that shows an earlier field again; else remember its field."""
    if isinstance(item, FailedFrame):
        return item
    tracked = analysis.each_once is not None
    before = fields.shown_before(item.fingerprint, tracked=tracked)
    if before and not analysis.count_repeats:
        sharper = not before.how and fields.sharper_than(before.name, item.quality)
        how = "sharper" if sharper else before.how
        reason = f"shows the field of {before.name} again" + (f", {how}" if how else "")
        # of a flow that stands still the time stands too: its cells are where they were
        stands = analysis.each_once == "flow" and fields.is_last(before.name)
        stood_ns = _time_ns(item.frame) if stands else 0
        return FailedFrame(item.frame.name, item.frame.index, reason, "repeat", stood_ns=stood_ns)
    shared = 0 if tracked else fields.shared(item.fingerprint)
    fields.add(item.frame.name, item.fingerprint, item.quality)
    return replace(item, shared=shared, repeats=before.name if before else "")


def _classified(
    classifier: Classifier, crops: list[NDArray[np.uint8] | LateCrops]
) -> list[NDArray[np.float32]]:
    """Return the probabilities of each frame's crops, float32 [n, labels]; few are answered together."""
    sizes = [len(group) for group in crops]
    if not crops or sum(sizes) > MANY_CELLS:
        return [classifier.probabilities(group) for group in crops]
    together = np.concatenate([group[:] for group in crops])
    return np.split(classifier.probabilities(together), np.cumsum(sizes)[:-1])


def _decided(
    cut: _Cut,
    probabilities: NDArray[np.float32],
    classifier: Classifier,
    analysis: Analysis,
    instrument: Instrument,
) -> CountedFrame:
    manifest, quality = classifier.bundle.manifest, cut.quality
    decisions = decide_labels(probabilities, cut.in_distribution, manifest.labels, analysis.reject_below)
    counted = np.array([one.likeliest in manifest.counted for one in decisions], bool)
    if cut.contrast is not None and (found := cut.contrast.of(counted)):
        quality = replace(quality, counted_contrast=found[0], counted_detail=found[1])
    return CountedFrame(
        cut.frame,
        cut.sha256,
        cut.cells,
        cut.crops,
        probabilities,
        decisions,
        quality,
        breaches(
            quality,
            instrument.calibration.quality,
            likely_bit_depth=cut.frame.likely_bit_depth,
        ),
        lost=cut.lost,
        fingerprint=cut.fingerprint,
        shared=cut.shared,
        repeats=cut.repeats,
    )


def _tracked(result: CountedFrame, tracker: Tracker, keep_state: bool) -> CountedFrame:
    frame = result.frame
    track_ids = tracker.update(frame.image, result.cells, _time_ns(frame))
    tracker_state = tracker.state() if keep_state else None
    return replace(result, track_ids=track_ids, laid_out=tracker.laid_out(), tracker_state=tracker_state)


def _time_ns(frame: Frame) -> int:
    """Return the time of a frame for tracking."""
    return frame.index * STILL_STEP_NS if frame.sha256 else frame.clock_ns or frame.time_ns


def sha256_of(frame: Encoded | Frame) -> str:
    """Return the SHA-256 of the encoded image if there was one, else of the frame's size and grey values."""
    if isinstance(frame, Encoded) or frame.sha256:
        return frame.sha256
    digest = hashlib.sha256(repr(frame.image.shape).encode())
    digest.update(np.ascontiguousarray(frame.image).data)
    return digest.hexdigest()


def identifier(frame_sha256: Iterable[str], bundle_sha256: str, parameters: Mapping[str, Any]) -> str:
    """Return the name of a count: the same for the same frames in order, bundle and parameters."""
    content = json.dumps([list(frame_sha256), bundle_sha256, parameters], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
