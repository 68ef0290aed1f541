"""One count from its first frame to its results: the pipeline's frames are added up, kept and reported."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2

from edge.base import FailedFrame, Frame, cores, frame_name
from edge.capture import Encoded, LiveSettings, list_files, live_frames, read_encoded, read_frames
from edge.classify import Classifier
from edge.count import CountedFrame, CountResult, Totals
from edge.run.cameras import is_device, open_camera
from edge.run.config import CameraConfig, CountConfig
from edge.run.fitting import fitting
from edge.run.memory import default_megapixels, free_at_once, weighing
from edge.run.parallel import in_order
from edge.run.pipeline import count_frames, sha256_of
from edge.run.results import count_result, new_totals, tally_of
from edge.run.same_files import why_other
from edge.run.sessions import Count, Progress, damage_named, resume, tracker_of
from edge.run.sinks import Observer, Result, Sink
from edge.session import DamagedSessionError, SessionError, open_session

MOST_COMPARED = 32
"""Files of a watched folder that are read again where a count is resumed: of 12 megapixels, some seconds."""


def run_count(
    count: Count,
    *,
    stop: threading.Event,
    observer: Observer,
    sinks: Sequence[Sink] = (),
    threads: int | None = None,
) -> CountResult:
    """Count until the frames end, the stop rule is reached or `stop` is set.

    The observer learns of a frame once the session and then the other sinks have taken it.

    Parameters
    ----------
    stop : threading.Event
        Set by the caller to end the count, and here at its end; frames are counted whole or not at all.

    Raises
    ------
    BundleError, RuntimeMissingError, CameraError, ValueError
        If the bundle, the camera or a setting cannot be used.
    SessionError
        If the session cannot be written, or its files have changed since they were counted.
    OSError
        If the report's folder cannot be written, before the first frame.
    """
    began, threads = time.monotonic(), threads or cores()
    free_at_once(threads)
    cv2.setNumThreads(1)  # frames are processed side by side; more threads for each would only wait
    with ExitStack() as stack:
        stack.callback(count.session.close)
        # half as many for the network: it waits for frames, or they for it, and waiting threads cost time too
        classifier = Classifier(count.instrument.bundle, threads=max(1, threads // 2))
        for sink in sinks:
            sink.open(observer)
            stack.callback(sink.close)
        for remark in count.remarks:
            observer.on_warning(remark)
        count.session.open(observer)
        takers = (count.session, *sinks)
        totals = new_totals(count)
        before = _counted_before(count, totals)
        began -= before.seconds

        def prepare(result: Result) -> tuple[Result, list[tuple[Sink, Any]]]:
            listed = isinstance(result, CountedFrame) or result.listed
            return result, [(taker, taker.prepare(result)) for taker in takers if listed]

        def reached() -> str:
            rule, seconds = count.config.stop_rule, time.monotonic() - began
            ended = rule.reached(totals.tally(), seconds)
            # by the interval that is printed: it takes longer to compute, and is no narrower
            return rule.reached(tally_of(totals), seconds) if ended and rule.until_halfwidth else ended

        over = _Over(stop, began + (count.config.stop_rule.until_seconds or math.inf))
        counted = _counted_frames(count, classifier, before, threads, over, observer)
        if count.config.camera:
            counted = _of_a_camera(counted, count.config.camera.name)
        observer.on_start(time.monotonic() - began)
        with ExitStack() as counting:
            in_flight = threads + 1 if threads > 1 else 1
            weigh = weighing(count.config.analysis.pixel_um, threads, in_flight)
            prepared = in_order(
                prepare, counted, threads=threads, in_flight=in_flight, places=weigh, stop=stop
            )
            batches = counting.enter_context(closing(prepared))
            counting.callback(stop.set)  # ends the threads, whatever they wait for
            ended = reached()
            for result, parts in () if ended else chain.from_iterable(batches):
                for taker, part in parts:
                    taker.add(result, part)
                totals.add(result)
                observer.on_frame(result, totals)
                ended = reached()
                if ended or stop.is_set():
                    break
                del result, parts  # as large as a frame, and the next one may be long in coming
            ended = ended or (reached() if over.is_set() else "")  # in time, where no frame came any more
            stopped = not ended and stop.is_set()
        results = count_result(count, totals, ended=ended, stopped=stopped, seconds=time.monotonic() - began)
        for taker in takers:
            taker.finish(results)
        return results


def _counted_before(count: Count, totals: Totals) -> Progress:
    """Add what a session counted before, and state it once: without results, further frames would be lost."""
    before = count.session.replay(totals)
    if before.frames:
        with damage_named(f"session {count.session.id}", "no results can be made of its frames"):
            count_result(count, totals, ended="", stopped=True, seconds=before.seconds)
    return before


class _Over(threading.Event):
    """Set when `stop` is, or at a time of `time.monotonic`: no frame may come after which to look at it."""

    def __init__(self, stop: threading.Event, end: float) -> None:
        super().__init__()
        self.stop, self._end = stop, end

    def is_set(self) -> bool:
        """Return whether no further frame is wanted."""
        return self.stop.is_set() or time.monotonic() >= self._end


def end_unfinished(path: Path, why: str) -> None:
    """Seal a session that will not be resumed, with the results of what it counted.

    Where its bundle or calibration has changed since, or another version of leuko began it, only its records
    say what was counted.

    A session that another process writes, or that cannot be written, raises a SessionError; a damaged one is
    not sealed, and raises a DamagedSessionError.
    """
    try:
        count = resume(path, unattended=True)
    except DamagedSessionError:
        raise
    except (SessionError, ValueError, OSError):
        with open_session(path, unattended=True) as session:
            session.finish(why)
        return
    with closing(count.session):
        totals = new_totals(count)
        seconds = count.session.replay(totals).seconds
        count.session.seal(why, count_result(count, totals, ended="", stopped=True, seconds=seconds))


def _counted_frames(
    count: Count, classifier: Classifier, before: Progress, threads: int, over: _Over, observer: Observer
) -> Generator[Result, None, None]:
    """Count the frames that remain, where a tracker knows the cells of those before."""
    config, analysis = count.config, count.config.analysis
    size_px = count.instrument.size_px(calibrated_pixel=config.calibrated_pixel)
    tracker = tracker_of(analysis, before.tracker_state)
    if tracker is not None and before.tracker_state:
        tracker.stood(before.stood_ns)
    return count_frames(
        _camera_frames(count, config.camera, size_px, before, over, observer.on_wait)
        if config.camera
        else _files(config, before),
        classifier,
        analysis,
        instrument=count.instrument,
        size_px=size_px,
        tracker=tracker,
        fields=before.fields,
        keep_state=config.session.keep,
        threads=threads,
        stop=over.stop,
    )


def _of_a_camera(counted: Generator[Result, None, None], name: str) -> Generator[Result, None, None]:
    """Tell the operator to move the stage; of a device's frames that are not counted list one of each kind.

    A stage that nobody moves would otherwise fill the disk with records of the same field.
    """
    listed: set[str] = set()
    unlisted: Counter[str] = Counter()

    def noted(result: Result) -> Result:
        if isinstance(result, CountedFrame):
            result = replace(result, unlisted_before=dict(unlisted))
            listed.clear()
            unlisted.clear()
            return result
        if result.kind in listed:
            unlisted[result.kind] += 1
        reason = f"{result.reason}: move the stage" if result.kind == "repeat" else result.reason
        result = replace(result, reason=reason, listed=result.kind not in listed)
        if is_device(name) and result.kind != "unreadable":
            listed.add(result.kind)
        return result

    with closing(counted):
        yield from map(noted, counted)


def _files(config: CountConfig, before: Progress) -> Iterator[Encoded | Frame | FailedFrame]:
    """Yield the frames of files after those that were counted, provided that these are still the same."""
    frames = _encoded(config.sources, config)
    for name, sha256 in before.frames.items():
        frame = next(frames, None)
        now = "" if frame is None or isinstance(frame, FailedFrame) else sha256_of(frame)
        if why := why_other(name, sha256, frame, now, config):
            raise SessionError(why)
    yield from frames


def _encoded(sources: Sequence[str], config: CountConfig) -> Iterator[Encoded | Frame | FailedFrame]:
    return read_encoded(
        sources,
        max_megapixels=_most_megapixels(config),
        bit_depth=config.analysis.bit_depth,
        planes=config.analysis.planes,
        root=config.root,
    )


def _check_watched(folder: str, config: CountConfig, before: Progress) -> None:
    """Raise a SessionError if files of a watched folder are not those that were counted under their names.

    Cameras begin with the same names on every card. Of many files some are compared, spread over all.
    """
    there = {frame_name(file): file for file in list_files([folder], config.root)}
    names = [name for name in before.frames if name in there]
    for name in names[:: max(1, -(-len(names) // MOST_COMPARED))]:
        frame = next(_encoded([there[name]], config), None)
        if frame is None or isinstance(frame, FailedFrame):
            continue  # it may be incomplete
        if why := why_other(name, before.frames[name], frame, sha256_of(frame), config):
            raise SessionError(why)


def _most_megapixels(config: CountConfig) -> float:
    return config.max_megapixels or default_megapixels(config.analysis.pixel_um)


def _camera_frames(
    count: Count,
    camera: CameraConfig,
    size_px: tuple[int, int] | None,
    before: Progress,
    over: _Over,
    on_wait: Callable[[str], None],
) -> Iterator[Frame | FailedFrame]:
    """Yield a camera's frames, with the settings of those that were counted."""
    config, waits, done = count.config, True, set(before.frames)
    kind, _, folder = camera.name.partition(":")
    if kind == "watch":
        _check_watched(folder, config, before)
    read = partial(
        read_frames,
        max_megapixels=_most_megapixels(config),
        bit_depth=config.analysis.bit_depth,
        planes=config.analysis.planes,
    )
    count.session.waits()
    for frame in live_frames(
        partial(
            open_camera,
            camera.name,
            size=camera.size,
            sensor_bits=camera.sensor_bits,
            buffers=camera.camera_buffers,
            done=done,
            root=config.root,
            read=read,
        ),
        stop=over,
        settings=LiveSettings(
            lock=before.settings or camera.settings,
            when_behind=camera.when_behind,
            buffer_frames=camera.buffer_frames,
            give_up_s=camera.give_up_s,
            wait=camera.wait,
        ),
        first_index=before.last_index + 1,
        done=done,
        on_wait=on_wait,
    ):
        if waits:
            count.session.proceeds()
            waits = False
        yield fitting(frame, config, count.instrument, size_px) if isinstance(frame, Frame) else frame
