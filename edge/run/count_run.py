"""One count from its first frame to its results: the pipeline's frames are added up, kept and reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2

from edge.base import FailedFrame, Frame, cores
from edge.capture import CameraError, Encoded, LiveSettings, live_frames, read_encoded
from edge.classify import Classifier
from edge.count import CountResult, StopRule, Totals
from edge.report import result_summary
from edge.run.cameras import open_camera
from edge.run.config import CameraConfig, CountConfig
from edge.run.instrument import Instrument, pixel_remark
from edge.run.parallel import in_order
from edge.run.pipeline import FrameOptions, count_frames
from edge.run.results import Ending, count_result, new_totals
from edge.run.resume import remaining, resume
from edge.run.sinks import NoSession, Observer, Progress, Result, Sink
from edge.session import SessionError, open_session
from edge.track import Tracker

T = TypeVar("T")


def run_count(
    config: CountConfig,
    instrument: Instrument,
    *,
    stop: threading.Event,
    observer: Observer,
    session: NoSession,
    sinks: Sequence[Sink] = (),
    threads: int | None = None,
) -> CountResult:
    """Count until the frames end, the stop rule is reached or `stop` is set.

    Parameters
    ----------
    stop : threading.Event
        Set by the caller to end the count, and here at its end; frames are counted whole or not at all.
    session : NoSession, NewSession or ResumedSession
        Takes each frame first, then the other sinks, then the observer. Every exception leaves it unfinished.
    threads : int
        Threads that process frames; by default one per core.

    Raises
    ------
    BundleError, RuntimeMissingError, CameraError
        If the bundle does not work here, or the camera cannot be opened or failed for good.
    SessionError
        If the session cannot be written, or its files have changed since they were counted.
    ValueError
        If a setting is invalid, or there is a report that must not be replaced.
    OSError
        If the report's folder cannot be written, before the first frame.
    """
    began = time.monotonic()
    threads = threads or cores()
    cv2.setNumThreads(1)  # frames are processed side by side; more threads for each would only wait
    # half as many for the network: it waits for frames, or they for it, and waiting threads cost time too
    classifier = Classifier(instrument.bundle, threads=max(1, threads // 2))
    totals, takers = new_totals(config, instrument), (session, *sinks)
    remarks = _remarks(config, instrument, session.remark)
    with ExitStack() as stack:
        for remark in remarks:
            observer.on_warning(remark)
        for taker in takers:
            taker.open(observer)
            stack.callback(taker.close)
        before = session.replay(totals)
        counted = count_frames(
            _frames(config, instrument, before, stop),
            classifier,
            _frame_options(config, instrument),
            tracker=_tracker(config, before),
            keep_state=session.keeps_state,
            threads=threads,
            stop=stop,
        )
        prepare = partial(_prepared, takers=takers)
        prepared = in_order(prepare, counted, threads=threads, in_flight=threads + 1, stop=stop)
        observer.on_start()
        with _until_stopped(prepared, stop) as frames:
            ended = _count(frames, takers, totals, observer, config.stop_rule, began - before.seconds, stop)
            stopped = not ended and stop.is_set()
        ending = Ending(ended, stopped, time.monotonic() - began + before.seconds)
        result = count_result(config, instrument, totals, ending, remarks=remarks, session=session)
        for taker in takers:
            taker.finish(result)
        return result


def end_unfinished(path: Path, why: str) -> None:
    """Seal a session that will not be resumed, with the results of what it counted.

    Where its bundle or calibration has changed since, or another version of leuko began it, only its records
    say what was counted.

    Parameters
    ----------
    why : str
        The reason that the session keeps.

    Raises
    ------
    SessionError
        If another process writes the session, or it cannot be written.
    """
    try:
        resumed = resume(path)
    except (SessionError, ValueError, OSError):
        with open_session(path) as session:
            session.finish(why)
        return
    with closing(resumed.session) as resumed_session:
        config, instrument = resumed.config, resumed.instrument
        totals = new_totals(config, instrument)
        before = resumed_session.replay(totals)
        remarks = _remarks(config, instrument)
        ending = Ending("", True, before.seconds)
        result = count_result(config, instrument, totals, ending, remarks=remarks, session=resumed_session)
        resumed_session.seal(why, result_summary(result))


def _remarks(config: CountConfig, instrument: Instrument, *others: str) -> tuple[str, ...]:
    return tuple(filter(None, (pixel_remark(config.analysis.pixel_um, instrument.bundle.manifest), *others)))


_Prepared = tuple[Result, list[Any]]
"""A frame's result, and what each sink prepared of it."""


def _count(
    frames: Iterator[_Prepared],
    takers: Sequence[Sink],
    totals: Totals,
    observer: Observer,
    rule: StopRule,
    began: float,
    stop: threading.Event,
) -> str:
    """Hand each frame on until the rule is reached or `stop` is set; return what of the rule was reached."""
    ended = rule.reached(totals.tally(), time.monotonic() - began)
    if ended:
        return ended
    for result, parts in frames:
        for taker, part in zip(takers, parts, strict=True):
            taker.add(result, part)
        totals.add(result)
        observer.on_frame(result, totals)
        ended = rule.reached(totals.tally(), time.monotonic() - began)
        if ended or stop.is_set():
            break
    return ended


def _prepared(result: Result, *, takers: Sequence[Sink]) -> _Prepared:
    """Do for a frame what need not wait for the frames before it."""
    return result, [taker.prepare(result) for taker in takers]


@contextmanager
def _until_stopped(batches: Generator[list[T], None, None], stop: threading.Event) -> Iterator[Iterator[T]]:
    """Yield the items one by one; at the end, `stop` ends the threads, whatever they wait for."""
    with closing(batches):
        try:
            yield (item for batch in batches for item in batch)
        finally:
            stop.set()


def _frame_options(config: CountConfig, instrument: Instrument) -> FrameOptions:
    flat_field, analysis = instrument.calibration.flat_field, config.analysis
    return FrameOptions(
        analysis.pixel_um,
        analysis.reject_below,
        analysis.gates,
        gain=instrument.gain,
        size_px=instrument.size_px(calibrated_pixel=config.calibrated_pixel),
        reference_brightness=flat_field.brightness if flat_field else None,
        limits=instrument.calibration.quality,
    )


def _tracker(config: CountConfig, before: Progress) -> Tracker | None:
    """Return a tracker that knows the cells of the frames before; None for separate fields."""
    analysis = config.analysis
    if analysis.each_once is None:
        return None
    tracker = Tracker(analysis.each_once, pixel_um=analysis.pixel_um)
    if before.tracker_state:
        tracker.restore(before.tracker_state)
    return tracker


def _frames(
    config: CountConfig, instrument: Instrument, before: Progress, stop: threading.Event
) -> Iterator[Encoded | Frame | FailedFrame]:
    """Yield the frames that remain to be counted."""
    if config.camera is None:
        limit, bit_depth = config.max_megapixels, config.analysis.bit_depth
        files = read_encoded(config.sources, max_megapixels=limit, bit_depth=bit_depth, root=config.root)
        yield from remaining(files, before.frames)
    else:
        size_px = instrument.size_px(calibrated_pixel=config.calibrated_pixel)
        for frame in _camera_frames(config.camera, config.root, before, stop):
            if isinstance(frame, Frame) and size_px not in (None, frame.image.shape[::-1]):
                # of files some may be another camera's; of a camera every frame would be refused
                height, width = frame.image.shape
                refused = f"calibration {config.calibration} is for another size: calibrate again"
                raise CameraError(f"{frame.name}: {width} x {height} px, and {refused}")
            yield frame


def _camera_frames(
    camera: CameraConfig, root: Path, before: Progress, stop: threading.Event
) -> Iterator[Frame | FailedFrame]:
    """Yield a camera's frames, with the settings of the frames before."""
    done = set(before.frames)
    return live_frames(
        partial(open_camera, camera.name, size=camera.size, done=done, root=root),
        stop=stop,
        settings=LiveSettings(
            lock=before.settings or camera.settings,
            when_behind=camera.when_behind,
            buffer_frames=camera.buffer_frames,
            give_up_s=camera.give_up_s,
        ),
        first_index=before.last_index + 1,
        done=done,
    )
