"""One count from its settings to its results: the pipeline's frames are added up, kept and reported."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.board import cores
from edge.bundle import Bundle, load
from edge.cameras import CameraSettings, open_camera
from edge.classify import Classifier
from edge.concentration import concentration, field_volume
from edge.count import CountedFrame, Estimate, Tally, correct
from edge.flatfield import read_gain
from edge.frames import Encoded, FailedFrame, Frame, read_encoded
from edge.live import Policy, live_frames
from edge.once import Tracker
from edge.pipeline import count_frames, identifier, in_order, sha256_of
from edge.plan import Plan
from edge.profile import Profile, read_profile
from edge.quality import Quality
from edge.report.files import LEUKOCYTES, Run, summary
from edge.report.writer import ReportWriter
from edge.segment import Cell
from edge.session import FrameRecord, Header, Session, SessionError, frame_record, open_session
from edge.totals import Totals

_Read = Encoded | Frame | FailedFrame
_Result = CountedFrame | FailedFrame


@dataclass(frozen=True, eq=False)
class Instrument:
    """What a job is carried out with.

    Attributes
    ----------
    bundle : names the cells
    profile : how the microscope and its camera were calibrated, if they were
    gain : undoes the illumination, from the profile's flat field
    """

    bundle: Bundle
    profile: Profile | None = None
    gain: NDArray[np.float32] | None = None

    @classmethod
    def load(cls, bundle: str, profile: str | None) -> Instrument:
        """Load a bundle, by name or file, and a profile, if one is named.

        Raises
        ------
        BundleError, ProfileError
            With one line, if one of them cannot be used.
        """
        loaded = load(bundle)
        if profile is None:
            return cls(loaded)
        path = Path(profile)
        read = read_profile(path)
        gain = read_gain(path.parent, read.flat_field) if read.flat_field else None
        return cls(loaded, read, gain)


@dataclass(frozen=True)
class CameraJob:
    """A camera instead of files.

    Attributes
    ----------
    name : see `edge.cameras`
    exposure_us, gain : to lock; the camera settles by itself where both are None
    buffer_frames, when_behind, give_up_s : see `edge.live.live_frames`
    """

    name: str
    exposure_us: int | None = None
    gain: float | None = None
    buffer_frames: int = 4
    when_behind: Policy | None = None
    give_up_s: float = 60.0

    @property
    def settings(self) -> CameraSettings | None:
        """What to lock; None to let it settle."""
        asked = CameraSettings(self.exposure_us, self.gain)
        return None if asked == CameraSettings() else asked


@dataclass(frozen=True)
class Job:
    """What is counted, how, and until when: all that is decided before the first frame.

    Attributes
    ----------
    bundle : shipped name or file
    profile : file, or None without one
    sources : files, folders, globs (see `edge.frames.list_files`); of a camera its name
    camera : instead of files
    pixel_um : side of a frame's pixel in the specimen
    profile_pixel : it is the profile's, which holds for frames of one size
    reject_below : a cell whose best probability is smaller is rejected
    segmentation : keyword options of `edge.segment.segment`
    bit_depth, max_megapixels : see `edge.frames.read_encoded`
    each_once : how cells seen in several frames are told, "scan" or "flow"; None for separate fields
    keep_crops : a session keeps what the network saw
    plan : what ends the count before the last frame
    """

    bundle: str
    profile: str | None
    sources: tuple[str, ...]
    camera: CameraJob | None
    pixel_um: float
    profile_pixel: bool
    reject_below: float
    segmentation: Mapping[str, Any]
    bit_depth: int
    max_megapixels: float
    each_once: Literal["scan", "flow"] | None
    keep_crops: bool
    plan: Plan

    @property
    def parameters(self) -> dict[str, Any]:
        """What the results depend on, apart from frames and bundle, as JSON can hold it."""
        return {
            "pixel_um": self.pixel_um,
            "reject_below": self.reject_below,
            "bit_depth": self.bit_depth,
            "segmentation": dict(self.segmentation),
            "each_once": self.each_once,
        }

    def header(self, instrument: Instrument, sample_id: str, operator: str) -> Header:
        """State it as a session keeps it; `job_of` reads it back."""
        bundle, profile = instrument.bundle, instrument.profile
        manifest = bundle.manifest
        return Header(
            sample_id=sample_id,
            operator=operator,
            bundle=f"{manifest.name} {manifest.version}",
            bundle_sha256=bundle.sha256,
            labels=manifest.labels,
            counted=manifest.counted,
            profile_sha256=profile.sha256 if profile else None,
            parameters=self.parameters
            | {
                "bundle": self.bundle,
                "profile": self.profile,
                "profile_pixel": self.profile_pixel,
                "camera": self.camera and asdict(self.camera),
                "max_megapixels": self.max_megapixels,
                "keep_crops": self.keep_crops,
                "folder": str(Path.cwd()),
            },
            plan=self.plan.stated(),
            sources=self.sources,
            software=f"leuko-edge {__version__}",
            started=datetime.now(UTC),
        )


def job_of(header: Header) -> Job:
    """Read back what a session's header says was to be counted."""
    said = dict(header.parameters)
    del said["folder"]
    camera = said.pop("camera")
    return Job(
        sources=header.sources,
        camera=camera and CameraJob(**camera),
        plan=Plan(**header.plan),
        **said,
    )


class Observer(Protocol):
    """Whoever follows a count."""

    def begun(self) -> None:
        """Take note that everything is ready for the first frame."""

    def counted(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        """Take a frame that is counted for good, and the totals with it."""


def carry_out(
    job: Job,
    instrument: Instrument,
    *,
    stop: threading.Event,
    observer: Observer,
    session: Session | None = None,
    out: Path | None = None,
    force: bool = False,
    threads: int | None = None,
) -> tuple[Run, Path | None]:
    """Count until the frames end, the plan's end is reached or `stop` is set.

    Parameters
    ----------
    job : what to count
    instrument : with what
    stop : set by whoever ends the count, and here at its end; frames are counted whole or not at all
    observer : told of each frame
    session : takes each frame's record before the observer is told, and is sealed at the end; one that holds
        records already is gone on with, as if it had never been interrupted
    out, force : folder of the report, and whether it may replace an earlier one there
    threads : how many work on frames, by default as many as there are cores

    Returns
    -------
    the results, and the report's page if there is one

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
        If the report cannot be written.
    """
    begun = time.monotonic()
    threads = threads or cores()
    cv2.setNumThreads(1)  # frames are worked on side by side; more threads for each would only wait
    bundle, profile = instrument.bundle, instrument.profile or Profile()
    # half as many for the network: it waits for frames, or they for it, and waiting threads cost time too
    classifier = Classifier(bundle, threads=max(1, threads // 2))
    manifest = replace(bundle.manifest, reject_below=job.reject_below)
    sized = profile.pixel if job.profile_pixel else profile.flat_field
    size_px = None if sized is None else (sized.width_px, sized.height_px)
    totals = Totals(manifest, each_once=job.each_once is not None, field_px=size_px)
    tracker = Tracker(job.each_once, pixel_um=job.pixel_um) if job.each_once else None
    known = _Known()
    if session is not None:
        # an interruption counts as time: a sample does not wait
        begun -= max(0.0, (datetime.now(UTC) - session.header.started).total_seconds())
        known = _added_again(session, totals)
        if tracker is not None and session.tracker_state is not None:
            tracker.restore(session.tracker_state)
    with ExitStack() as stack:
        writer = None
        if out is not None:
            each_once = job.each_once is not None
            writer = stack.enter_context(ReportWriter(out, manifest, replace=force, each_once=each_once))
        counted = count_frames(
            _frames(job, known, stop),
            classifier,
            pixel_um=job.pixel_um,
            reject_below=job.reject_below,
            segmentation=job.segmentation,
            gain=instrument.gain,
            size_px=size_px,
            reference_brightness=profile.flat_field.brightness if profile.flat_field else None,
            limits=profile.quality,
            tracker=tracker,
            keep_state=session is not None,
            threads=threads,
            stop=stop,
        )
        observer.begun()
        ended = job.plan.reached(totals.tally(), time.monotonic() - begun)
        with _closed_at_the_end(_drawn(counted, writer, threads, stop), stop) as results:
            for result, drawn in () if ended else results:
                if session is not None:
                    session.add(_record(result, job.keep_crops))
                if writer is not None and isinstance(result, CountedFrame):
                    writer.add(result, drawn)
                totals.add(result)
                observer.counted(result, totals)
                ended = job.plan.reached(totals.tally(), time.monotonic() - begun)
                if ended or stop.is_set():
                    break
            stopped = not ended and stop.is_set()
        tally = totals.tally()
        concentrations, no_concentration = _concentrations(job, instrument.profile, tally, totals)
        run = Run(
            tally=tally,
            corrected=correct(manifest.labels, manifest.counted, totals.answers, manifest.confusion),
            manifest=manifest,
            bundle_sha256=bundle.sha256,
            signed=bundle.signed,
            identifier=identifier(totals.hashes, bundle.sha256, job.parameters),
            parameters=job.parameters,
            sources=job.sources,
            seconds=time.monotonic() - begun,
            finished=datetime.now(UTC),
            stopped=stopped,
            plan=job.plan.stated(),
            ended=ended or "",
            dropped=totals.dropped,
            sightings=totals.sightings if job.each_once else None,
            concentrations=concentrations,
            no_concentration=no_concentration,
            quality=totals.spreads(),
            out=tuple(totals.out),
            session=session.id if session else "",
        )
        if session is not None:
            session.finish(ended or ("stopped" if stopped else "all frames"), summary(run))
        return run, writer.finish(run) if writer is not None and totals.hashes else None


def _concentrations(
    job: Job, profile: Profile | None, tally: Tally, totals: Totals
) -> tuple[dict[str, Estimate], str]:
    """Cells in a µL of each counted label and of all of them; or none, and a sentence that says why."""
    if profile is None or profile.pixel is None or not job.profile_pixel:
        return {}, "no cells/µL: no profile says how much of the sample a frame shows"
    if job.each_once:
        return {}, "no cells/µL: frames that overlap show an unknown volume"
    volume = field_volume(profile, profile.pixel.width_px, profile.pixel.height_px)
    if isinstance(volume, str):
        return {}, volume
    if not tally.frames_read:
        return {}, "no cells/µL: no frame was read"
    inside = {label: totals.inside[label] for label in tally.counted}
    inside |= {LEUKOCYTES: sum(inside.values())}
    return {label: concentration(count, tally.frames_read, volume) for label, count in inside.items()}, ""


def resumed(path: Path) -> tuple[Job, Instrument, Session]:
    """Take up an unfinished session: what was to be counted, with what, and where to go on.

    The process moves into the folder that the session's relative names start from.

    Raises
    ------
    SessionError
        If it cannot be gone on with, or its bundle or its profile is another one now.
    BundleError, ProfileError
        If one of them cannot be loaded.
    OSError
        If the folder is gone.
    """
    with ExitStack() as stack:
        session = stack.enter_context(open_session(path))
        job = job_of(session.header)
        os.chdir(session.header.parameters["folder"])
        instrument = Instrument.load(job.bundle, job.profile)
        now = job.header(instrument, "", "")
        for what, before, after in (
            (f"bundle {job.bundle}", session.header.bundle_sha256, now.bundle_sha256),
            (f"profile {job.profile}", session.header.profile_sha256, now.profile_sha256),
        ):
            if before != after:
                raise SessionError(f"{session.id}: the {what} is not the one that it was begun with")
        stack.pop_all()
        return job, instrument, session


@dataclass
class _Known:
    """What a session says of the frames that are counted already.

    Attributes
    ----------
    names : of all of them, in order, each with the frame's SHA-256 if it could be read
    last_index : -1 without any
    settings : of the camera, when the last one was taken
    """

    names: dict[str, str | None] = field(default_factory=dict)
    last_index: int = -1
    settings: CameraSettings | None = None


def _frames(job: Job, known: _Known, stop: threading.Event) -> Iterator[_Read]:
    """Yield the frames that are to be counted, without those that are known."""
    camera = job.camera
    if camera is None:
        frames = read_encoded(job.sources, max_megapixels=job.max_megapixels, bit_depth=job.bit_depth)
        return _after(frames, known.names)
    done = set(known.names)
    return live_frames(
        partial(open_camera, camera.name, done=done),
        stop=stop,
        settings=camera.settings or known.settings,
        when_behind=camera.when_behind,
        buffer_frames=camera.buffer_frames,
        give_up_s=camera.give_up_s,
        first_index=known.last_index + 1,
        done=done,
    )


def _after(frames: Iterator[_Read], names: Mapping[str, str | None]) -> Iterator[_Read]:
    """Pass over the frames that are known, provided that they still are the same."""
    for name, sha256 in names.items():
        frame = next(frames, None)
        if frame is None or frame.name != name:
            now = "nothing" if frame is None else frame.name
            raise SessionError(f"{name} was counted here, and now there is {now}")
        if sha256 is not None and (isinstance(frame, FailedFrame) or sha256_of(frame) != sha256):
            raise SessionError(f"{name} has changed since it was counted")
    yield from frames


def _locked(settings: Mapping[str, Any]) -> CameraSettings | None:
    """What to lock for a frame to be as one that was taken with these settings; None if they are empty."""
    red, blue = settings.get("colour_gain_red"), settings.get("colour_gain_blue")
    colour_gains = None if red is None or blue is None else (red, blue)
    locked = CameraSettings(settings.get("exposure_us"), settings.get("gain"), colour_gains)
    return None if locked == CameraSettings() else locked


def _added_again(session: Session, totals: Totals) -> _Known:
    """Add a session's records up."""
    labels = len(session.header.labels)
    known = _Known()
    for record in session.frames():
        known.names[record.name], known.last_index = record.sha256, record.index
        known.settings = _locked(record.settings) or known.settings
        totals.add(_recalled(record, labels))
    return known


def _recalled(record: FrameRecord, labels: int) -> _Result:
    """Make of a record what it was made of, without the pixels."""
    if record.failed is not None:
        return FailedFrame(record.name, record.index, record.failed)
    gone = np.zeros((0, 0), np.uint8)
    identities = [cell.identity for cell in record.cells]
    frame = Frame(gone, record.name, record.index, record.time_ns, record.settings, record.dropped_before)
    probabilities = np.array([cell.probabilities for cell in record.cells], np.float32)
    return CountedFrame(
        frame,
        record.sha256 or "",
        [Cell(c.x, c.y, c.width, c.height, c.area_px or 0.0, c.border, c.touching) for c in record.cells],
        gone[None],
        probabilities.reshape(-1, labels),
        [cell.label for cell in record.cells],
        Quality(**record.quality) if record.quality else None,
        record.breaches,
        None if None in identities else np.array(identities, np.int64),
    )


def _record(result: _Result, keep_crops: bool) -> FrameRecord:
    if isinstance(result, FailedFrame):
        return frame_record(result)
    frame = result.frame
    return frame_record(
        result,
        settings=frame.settings,
        quality=asdict(result.quality) if result.quality else None,
        breaches=result.breaches,
        dropped_before=frame.dropped_before,
        identities=None if result.identities is None else result.identities.tolist(),
        keep_crops=keep_crops,
        tracker_state=result.tracker_state,
    )


@contextmanager
def _closed_at_the_end(
    results: Generator[tuple[_Result, bytes], None, None], stop: threading.Event
) -> Iterator[Iterable[tuple[_Result, bytes]]]:
    """Close the results in the end, whatever they are waiting for."""
    with closing(results):
        try:
            yield results
        finally:
            stop.set()  # a camera may let one wait


def _drawn(
    counted: Generator[_Result, None, None],
    writer: ReportWriter | None,
    threads: int,
    stop: threading.Event,
) -> Generator[tuple[_Result, bytes], None, None]:
    """Give each frame its picture for the report, an empty one without a report.

    That is done while others are counted and the one before is stored, so without a report it pays too.
    """

    def draw(result: _Result) -> tuple[_Result, bytes]:
        if writer is None or isinstance(result, FailedFrame):
            return result, b""
        return result, writer.draw(result)

    with closing(in_order(draw, counted, threads=threads, in_flight=threads + 1, stop=stop)) as pictures:
        for ready in pictures:
            yield from ready
