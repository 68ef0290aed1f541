"""One count from its first frame to its results: the pipeline's frames are added up, kept and reported."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2

from edge.base import FailedFrame, Frame, cores
from edge.calibration import Calibration, UnknownVolumeError, field_volume
from edge.capture import CameraError, CameraSettings, Encoded, LiveSettings, live_frames, read_encoded
from edge.classify import Classifier
from edge.count import (
    LEUKOCYTES,
    CountedFrame,
    CountResult,
    Estimate,
    Totals,
    correct_counts,
    estimate_concentration,
)
from edge.model import Manifest
from edge.report import ReportWriter, result_summary
from edge.run.cameras import open_camera
from edge.run.config import CountConfig, Instrument, odd_pixel
from edge.run.pipeline import count_frames, identifier, in_order
from edge.run.resume import Known, add_again, left, other_files, resumed
from edge.session import (
    FrameRecord,
    Header,
    Session,
    SessionError,
    create_session,
    frame_record,
    open_session,
)
from edge.track import Tracker


class Observer(Protocol):
    """Whoever follows a count."""

    def on_start(self) -> None:
        """Take note that everything is ready for the first frame."""

    def on_warning(self, words: str) -> None:
        """Take note, before the first frame, of what whoever reads the results has to know."""

    def on_session(self, session: str) -> None:
        """Take note of the id of the session that keeps the frames."""

    def on_frame(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        """Take a frame that is counted for good, and the totals with it."""


def run_count(
    job: CountConfig,
    instrument: Instrument,
    *,
    stop: threading.Event,
    observer: Observer,
    session: Session | Header | None = None,
    out: Path | None = None,
    force: bool = False,
    threads: int | None = None,
) -> tuple[CountResult, Path | OSError | None]:
    """Count until the frames end, the plan's end is reached or `stop` is set.

    Parameters
    ----------
    job : what to count
    instrument : with what
    stop : set by whoever ends the count, and here at its end; frames are counted whole or not at all
    observer : told of each frame
    session : takes each frame's record before the observer is told, and is sealed at the end. Of a header one
        is begun with the first frame; one that holds records already is gone on with, as if it had never been
        interrupted
    out, force : folder of the report, and whether it may replace an earlier one there
    threads : how many work on frames, by default as many as there are cores

    Returns
    -------
    the results, and the report's page if there is one, or why it could not be written

    Raises
    ------
    BundleError, RuntimeMissingError
        If the bundle does not work here.
    CameraError
        If the camera cannot be opened, or failed for good.
    SessionError
        If the session cannot be written, or its frames are no longer those that are there. It is left
        unfinished by every exception.
    ValueError
        If a setting makes no sense, or there is a report that must not be replaced.
    OSError
        If the report's folder cannot be written, before the first frame.
    """
    begun = time.monotonic()
    threads = threads or cores()
    cv2.setNumThreads(1)  # frames are worked on side by side; more threads for each would only wait
    bundle, calibration = instrument.bundle, instrument.calibration or Calibration()
    # half as many for the network: it waits for frames, or they for it, and waiting threads cost time too
    classifier = Classifier(bundle, threads=max(1, threads // 2))
    manifest = replace(bundle.manifest, reject_below=job.reject_below)
    size_px = instrument.size_px(calibrated_pixel=job.calibrated_pixel)
    totals = _totals(job, instrument, manifest)
    tracker = Tracker(job.each_once, pixel_um=job.pixel_um) if job.each_once else None
    known = Known()
    with ExitStack() as stack:
        writer = None
        if out is not None:
            each_once = job.each_once is not None
            writer = stack.enter_context(ReportWriter(out, manifest, replace=force, each_once=each_once))
        if isinstance(session, Session):
            # an interruption counts as time: a sample does not wait
            begun -= max(0.0, (datetime.now(UTC) - session.header.started).total_seconds())
            known = add_again(session, totals)
            if tracker is not None and session.tracker_state is not None:
                tracker.restore(session.tracker_state)
        counted = count_frames(
            _frames(job, known, size_px, stop),
            classifier,
            pixel_um=job.pixel_um,
            reject_below=job.reject_below,
            segmentation=job.segmentation,
            gain=instrument.gain,
            size_px=size_px,
            reference_brightness=calibration.flat_field.brightness if calibration.flat_field else None,
            limits=calibration.quality,
            tracker=tracker,
            keep_state=session is not None,
            threads=threads,
            stop=stop,
        )
        other = other_files(session.header, job) if isinstance(session, Session) else ""
        remarks = _remarks(job, manifest, other)
        for remark in remarks:
            observer.on_warning(remark)
        prepare = partial(_prepared, writer=writer, keep=session is not None, keep_crops=job.keep_crops)
        observer.on_start()
        if isinstance(session, Session):
            observer.on_session(session.id)
        ended = job.plan.reached(totals.tally(), time.monotonic() - begun)
        batches = in_order(prepare, counted, threads=threads, in_flight=threads + 1, stop=stop)
        refused: OSError | None = None
        with _to_the_end(batches, stop) as frames:
            for frame in () if ended else frames:
                if isinstance(session, Header):  # not before: nothing could go on with one without a frame
                    session = stack.enter_context(create_session(session))
                    observer.on_session(session.id)
                if session is not None and frame.record is not None:
                    session.add(frame.record)
                if writer is not None and refused is None and isinstance(frame.result, CountedFrame):
                    try:
                        writer.add(frame.result, frame.picture)
                    except OSError as error:  # a report can be made anew, what was counted so far cannot
                        refused = error
                totals.add(frame.result)
                observer.on_frame(frame.result, totals)
                ended = job.plan.reached(totals.tally(), time.monotonic() - begun)
                if ended or stop.is_set():
                    break
            stopped = not ended and stop.is_set()
        if isinstance(session, Header):
            session = None
        seconds = time.monotonic() - begun
        run = _results(job, instrument, manifest, totals, seconds, stopped, ended, session)
        run = replace(run, remarks=remarks, other_files=other != "")
        if session is not None:
            session.finish(ended or ("stopped" if stopped else "all frames"), result_summary(run))
        if writer is None or refused is not None or not totals.hashes:
            return run, refused
        try:
            return run, writer.finish(run)
        except OSError as error:  # the count is complete, and sealed
            return run, error


def end_unfinished(path: Path, why: str) -> None:
    """End a session that is not gone on with: it is sealed, with the results of what it counted.

    Of a session whose bundle or calibration is another one now, or that another version of leuko began, only the
    records say what was counted.

    Parameters
    ----------
    path : its file
    why : the reason that it keeps, in words

    Raises
    ------
    SessionError
        If another process writes it, or it cannot be written.
    """
    here = Path.cwd()
    try:
        job, instrument, session = resumed(path)
    except (SessionError, ValueError, OSError):
        with open_session(path) as session:
            session.finish(why)
        return
    os.chdir(here)
    with session:
        manifest = replace(instrument.bundle.manifest, reject_below=job.reject_below)
        totals = _totals(job, instrument, manifest)
        add_again(session, totals)
        seconds = max(0.0, (datetime.now(UTC) - session.header.started).total_seconds())
        run = _results(job, instrument, manifest, totals, seconds, True, None, session)
        session.finish(why, result_summary(replace(run, remarks=_remarks(job, manifest))))


def _totals(job: CountConfig, instrument: Instrument, manifest: Manifest) -> Totals:
    """Begin to add up."""
    size_px = instrument.size_px(calibrated_pixel=job.calibrated_pixel)
    return Totals(manifest, each_once=job.each_once is not None, field_px=size_px)


def _remarks(job: CountConfig, manifest: Manifest, *others: str) -> tuple[str, ...]:
    return tuple(filter(None, (odd_pixel(job.pixel_um, manifest), *others)))


def _frames(
    job: CountConfig, known: Known, size_px: tuple[int, int] | None, stop: threading.Event
) -> Iterator[Encoded | Frame | FailedFrame]:
    """Yield the frames that are to be counted, without those that are known."""
    camera = job.camera
    if camera is None:
        frames = read_encoded(job.sources, max_megapixels=job.max_megapixels, bit_depth=job.bit_depth)
        yield from left(frames, known.names)
        return
    done = set(known.names)
    for frame in live_frames(
        partial(open_camera, camera.name, size=camera.size, done=done),
        stop=stop,
        settings=LiveSettings(
            lock=known.settings or camera.settings or CameraSettings(),
            when_behind=camera.when_behind,
            buffer_frames=camera.buffer_frames,
            give_up_s=camera.give_up_s,
        ),
        first_index=known.last_index + 1,
        done=done,
    ):
        if isinstance(frame, Frame) and size_px not in (None, frame.image.shape[::-1]):
            # of files some may be another camera's; of a camera every frame would be refused
            height, width = frame.image.shape
            said = f"calibration {job.calibration} is for another size: calibrate anew"
            raise CameraError(f"{frame.name}: {width} x {height} px, and {said}")
        yield frame


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A frame's result, the session's record of it, and the report's picture; empty what nobody asked for."""

    result: CountedFrame | FailedFrame
    record: FrameRecord | None
    picture: bytes


def _prepared(
    result: CountedFrame | FailedFrame, *, writer: ReportWriter | None, keep: bool, keep_crops: bool
) -> _Prepared:
    """Do for a frame what need not wait for the frames before it: draw it, and encode its crops."""
    record = _record(result, keep_crops) if keep else None
    if writer is None or isinstance(result, FailedFrame):
        return _Prepared(result, record, b"")
    return _Prepared(result, record, writer.draw(result))


def _record(result: CountedFrame | FailedFrame, keep_crops: bool) -> FrameRecord:
    return frame_record(result, keep_crops=keep_crops)


@contextmanager
def _to_the_end(
    batches: Generator[list[_Prepared], None, None], stop: threading.Event
) -> Iterator[Iterator[_Prepared]]:
    """Give the frames one by one; in the end, whatever they wait for, their threads end too."""
    with closing(batches):
        try:
            yield (frame for batch in batches for frame in batch)
        finally:
            stop.set()  # a camera may let one wait


def _results(
    job: CountConfig,
    instrument: Instrument,
    manifest: Manifest,
    totals: Totals,
    seconds: float,
    stopped: bool,
    ended: str | None,
    session: Session | None,
) -> CountResult:
    """State what was counted, and how that ended."""
    tally, bundle, calibration = totals.tally(), instrument.bundle, instrument.calibration
    parameters = job.parameters | {"calibration_sha256": calibration.sha256 if calibration else None}
    concentrations, no_concentration = _concentrations(job, calibration, totals)
    return CountResult(
        tally=tally,
        corrected=correct_counts(tally, manifest.confusion),
        manifest=manifest,
        bundle_sha256=bundle.sha256,
        signed=bundle.signed,
        identifier=identifier(totals.hashes, bundle.sha256, parameters),
        parameters=parameters,
        sources=job.sources,
        seconds=seconds,
        finished=datetime.now(UTC),
        stopped=stopped,
        ended=ended or "",
        session=session.id if session else "",
        plan=job.plan.stated(),
        dropped=totals.dropped,
        detections=totals.detections if job.each_once else None,
        concentrations=concentrations,
        no_concentration=no_concentration,
        quality=totals.spreads(),
        out=tuple(totals.out),
    )


def _concentrations(
    job: CountConfig, calibration: Calibration | None, totals: Totals
) -> tuple[dict[str, Estimate], str]:
    """Cells in a µL of each counted label and of all of them; or none, and a sentence that says why."""
    if calibration is None or calibration.pixel is None or not job.calibrated_pixel:
        return {}, "no cells/µL: no calibration says how much of the sample a frame shows"
    if job.each_once:
        return {}, "no cells/µL: frames that overlap show an unknown volume"
    try:
        volume = field_volume(calibration)
    except UnknownVolumeError as unknown:
        return {}, str(unknown)
    tally = totals.tally()
    if not tally.frames_read:
        return {}, "no cells/µL: no frame was read"
    inside = {label: totals.inside[label] for label in tally.counted}
    inside |= {LEUKOCYTES: sum(inside.values())}
    return {
        label: estimate_concentration(count, tally.frames_read, volume) for label, count in inside.items()
    }, ""
