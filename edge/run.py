"""One count from its settings to its results: the pipeline's frames are added up, kept and reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import cv2

from edge.bundle import Bundle
from edge.classify import Classifier
from edge.count import CountedFrame, Totals, correct
from edge.frames import FailedFrame, read_encoded
from edge.pipeline import cores, count_frames, identifier, in_order
from edge.plan import Plan
from edge.report.files import Run
from edge.report.writer import ReportWriter


@dataclass(frozen=True)
class Job:
    """What is counted, how, and until when: all that is decided before the first frame.

    Attributes
    ----------
    sources : files, folders, globs; see `edge.frames.list_files`
    pixel_um : side of a frame's pixel in the specimen
    reject_below : a cell whose best probability is smaller is rejected
    segmentation : keyword options of `edge.segment.segment`
    bit_depth, max_megapixels : see `edge.frames.read_encoded`
    plan : what ends the count before the last frame
    """

    sources: tuple[str, ...]
    pixel_um: float
    reject_below: float
    segmentation: Mapping[str, Any]
    bit_depth: int
    max_megapixels: float
    plan: Plan

    @property
    def parameters(self) -> dict[str, Any]:
        """What the results depend on, apart from frames and bundle, as JSON can hold it."""
        return {
            "pixel_um": self.pixel_um,
            "reject_below": self.reject_below,
            "bit_depth": self.bit_depth,
            "segmentation": dict(self.segmentation),
        }


class Observer(Protocol):
    """Whoever follows a count."""

    def begun(self) -> None:
        """Take note that everything is ready for the first frame."""

    def counted(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        """Take a frame that is counted for good, and the totals with it."""


def carry_out(
    job: Job,
    bundle: Bundle,
    *,
    stop: threading.Event,
    observer: Observer,
    out: Path | None = None,
    force: bool = False,
    threads: int | None = None,
) -> tuple[Run, Path | None]:
    """Count until the frames end, the plan's end is reached or `stop` is set.

    Parameters
    ----------
    job : what to count
    bundle : with what
    stop : set by whoever ends the count; frames are counted whole or not at all
    observer : told of each frame
    out, force : folder of the report, and whether it may replace an earlier one there
    threads : how many work on frames, by default as many as there are cores

    Returns
    -------
    the results, and the report's page if there is one

    Raises
    ------
    BundleError, RuntimeMissingError
        If the bundle does not work here.
    ValueError
        If a setting makes no sense, or there is a report that must not be replaced.
    OSError
        If the report cannot be written.
    """
    started = time.monotonic()
    threads = threads or cores()
    cv2.setNumThreads(1)  # frames are worked on side by side; more threads for each would only wait
    classifier = Classifier(bundle, threads=threads)
    manifest = replace(bundle.manifest, reject_below=job.reject_below)
    totals = Totals(manifest.labels, manifest.counted)
    ended = ""
    with ExitStack() as stack:
        writer = stack.enter_context(ReportWriter(out, manifest, replace=force)) if out else None
        frames = read_encoded(job.sources, max_megapixels=job.max_megapixels, bit_depth=job.bit_depth)
        counted = count_frames(
            frames,
            classifier,
            pixel_um=job.pixel_um,
            reject_below=job.reject_below,
            segmentation=job.segmentation,
            threads=threads,
            stop=stop,
        )
        observer.begun()
        with closing(_drawn(counted, writer, threads, stop)) as results:
            for result, drawn in results:
                if writer is not None and isinstance(result, CountedFrame):
                    writer.add(result, drawn)
                totals.add(result)
                observer.counted(result, totals)
                ended = job.plan.reached(totals.tally(), time.monotonic() - started) or ""
                if ended or stop.is_set():
                    break
        run = Run(
            tally=totals.tally(),
            corrected=correct(manifest.labels, manifest.counted, totals.answers, manifest.confusion),
            manifest=manifest,
            bundle_sha256=bundle.sha256,
            signed=bundle.signed,
            identifier=identifier(totals.hashes, bundle.sha256, job.parameters),
            parameters=job.parameters,
            sources=job.sources,
            seconds=time.monotonic() - started,
            finished=datetime.now(UTC),
            stopped=not ended and stop.is_set(),
            plan=job.plan.stated(),
            ended=ended,
        )
        return run, writer.finish(run) if writer is not None and totals.hashes else None


def _drawn(
    counted: Generator[CountedFrame | FailedFrame, None, None],
    writer: ReportWriter | None,
    threads: int,
    stop: threading.Event,
) -> Generator[tuple[CountedFrame | FailedFrame, bytes], None, None]:
    """Give each frame its picture for the report, drawn meanwhile; an empty one without a report."""
    if writer is None:
        with closing(counted):
            for result in counted:
                yield result, b""
        return

    def draw(result: CountedFrame | FailedFrame) -> tuple[CountedFrame | FailedFrame, bytes]:
        return result, writer.draw(result) if isinstance(result, CountedFrame) else b""

    with closing(in_order(draw, counted, threads=threads, in_flight=threads + 1, stop=stop)) as pictures:
        for ready in pictures:
            yield from ready
