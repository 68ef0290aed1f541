"""How long the work on a crop takes on this machine, in rounds that show how much the answer wavers."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import board
from edge.classify import Classifier, Model, dequantise, int8_to_grey, runtime_version
from edge.find import segment
from edge.model import Bundle
from edge.simulate import Optics, simulate_frame

BATCHES = (1, 8)
"""Crops in one call: alone, and as many as `edge.classify.classifier` gives at a time."""

ROUND_SECONDS = 0.1
"""Least length of a round: a thousand times the clock's resolution, and short enough to have many."""

INVOKE, WHOLE, SEGMENT = "invoke", "whole crop", "segment"
"""The interpreter alone; levelling, quantising, interpreter and softmax; finding the cells of a frame."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one kind of work, over several rounds.

    Attributes
    ----------
    runtime, version : of the interpreter; empty for work without one
    model : ``int8`` or ``float32``; empty for work without one
    work : `INVOKE`, `WHOLE` or `SEGMENT`
    batch : crops in one call, 0 for work on a frame
    threads : of the interpreter
    ms : median over the rounds, a crop; for `SEGMENT` a frame
    low, high : lower and upper quartile over the rounds
    processor_ms : median time on processor cores, which other programs hardly change; of several threads
        the sum, waiting ones included
    """

    runtime: str
    version: str
    model: str
    work: str
    batch: int
    threads: int
    ms: float
    low: float
    high: float
    processor_ms: float


def time_bundle(
    bundle: Bundle,
    runtime: str | None,
    threads: Sequence[int],
    *,
    float_file: Path | None = None,
    rounds: int = 9,
    segmentation: bool = True,
) -> list[Timing]:
    """Time a bundle on one runtime.

    The rounds go over all kinds of work in turn, so that a slow moment of the machine touches them alike.

    Parameters
    ----------
    bundle : from `edge.model.bundle.load`
    runtime : a key of `edge.classify.runtime.RUNTIMES`, by default the first installed; one process uses one only
    threads : numbers of threads to try
    float_file : the same network in float32, a .tflite file, timed beside the bundle's
    rounds : at least 1
    segmentation : time it too, on a simulated frame

    Raises
    ------
    BundleError, RuntimeMissingError
        As for `edge.classify.classifier.Classifier`.
    ValueError
        If the float32 file holds none, or its input or output is not the bundle's.
    """
    manifest = bundle.manifest
    runtime = Model(bundle.flatbuffer, runtime).runtime
    real = dequantise(bundle.golden_crops, manifest.input)
    grey = int8_to_grey(bundle.golden_crops[..., 0], manifest)
    jobs: list[tuple[tuple[str, str, int, int], Callable[[], object]]] = []
    for n in threads:
        for batch in BATCHES:
            # an interpreter each: changing the batch of one would be timed too
            classifier = Classifier(bundle, runtime, n)
            model = Model(bundle.flatbuffer, runtime, n)
            inputs = _repeated(bundle.golden_crops, batch)
            jobs.append((("int8", INVOKE, batch, n), partial(model.run, inputs)))
            jobs.append(
                (("int8", WHOLE, batch, n), partial(classifier.probabilities, _repeated(grey, batch)))
            )
            if float_file is not None:
                model = _float_model(float_file, model, n)
                jobs.append((("float32", INVOKE, batch, n), partial(model.run, _repeated(real, batch))))
    if segmentation:
        frame = simulate_frame(0).image
        jobs.append((("", SEGMENT, 0, 1), partial(segment, frame, pixel_um=Optics().pixel_um)))
    spreads = _timed([job for _, job in jobs], rounds)
    return [
        Timing(
            runtime if model else "",
            runtime_version(runtime) if model else "",
            model,
            work,
            batch,
            n,
            *(float(value) / max(1, batch) for value in spread),
        )
        for ((model, work, batch, n), _), spread in zip(jobs, spreads, strict=True)
    ]


def ratios(timings: Sequence[Timing]) -> list[float | None]:
    """Return how many times as long each bare invoke takes as LiteRT's in int8, same batch and threads.

    Of one thread the processor time is compared, which other programs hardly change, else the wall clock.
    """

    def cost(timing: Timing) -> float:
        return timing.processor_ms if timing.threads == 1 else timing.ms

    invokes = [t for t in timings if t.work == INVOKE]
    base = {(t.batch, t.threads): cost(t) for t in invokes if (t.runtime, t.model) == ("litert", "int8")}
    return [
        cost(t) / base[t.batch, t.threads] if t.work == INVOKE and (t.batch, t.threads) in base else None
        for t in timings
    ]


def describe_machine() -> dict[str, Any]:
    """Describe what the times belong to: processor, cores, governor, load, and a Raspberry Pi's state."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": board.cores(),
        "governor": board.text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "board": board.model(),
        "throttled": board.throttled(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def _float_model(path: Path, int8: Model, threads: int) -> Model:
    """Load a float32 network that takes and gives what the int8 one does."""
    try:
        model = Model(path.read_bytes(), int8.runtime, threads, np.float32)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    takes, bundle_takes = (list(one.input_shape) for one in (model, int8))
    if (takes, model.labels) != (bundle_takes, int8.labels):
        raise ValueError(
            f"{path}: another network than the bundle's: it takes crops {takes} and knows {model.labels} "
            f"labels, the bundle {bundle_takes} and {int8.labels}"
        )
    return model


def _repeated(crops: NDArray[Any], count: int) -> NDArray[Any]:
    """Return `count` crops, from the first on and over again."""
    return np.asarray(crops[np.arange(count) % len(crops)])


def _timed(jobs: Sequence[Callable[[], object]], rounds: int) -> NDArray[np.float64]:
    """Milliseconds of each job, float64 [jobs, 4]: median, quartiles, and median on processors."""
    calls = []
    for job in jobs:
        job()  # the first call plans memory
        started = time.perf_counter()
        job()
        calls.append(max(1, round(ROUND_SECONDS / max(time.perf_counter() - started, 1e-6))))
    wall, processor = np.empty((2, rounds, len(jobs)))
    for turn in range(rounds):
        for k, (job, count) in enumerate(zip(jobs, calls, strict=True)):
            started, used = time.perf_counter(), time.process_time()
            for _ in range(count):
                job()
            wall[turn, k] = 1e3 * (time.perf_counter() - started) / count
            processor[turn, k] = 1e3 * (time.process_time() - used) / count
    return np.vstack([np.quantile(wall, (0.5, 0.25, 0.75), axis=0), np.median(processor, axis=0)]).T


def _processor() -> str:
    """Name of the processor, as far as the system tells."""
    lines = (board.text(Path("/proc/cpuinfo")) or "").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"


def warnings(about: Mapping[str, Any]) -> list[str]:
    """Say why times measured on this `machine` may not be the machine's best."""
    found = []
    if about["load"] > 0.5:
        found.append(f"other programs kept {about['load']:.1f} cores busy before: times are too long")
    if about["governor"] not in (None, "performance"):
        found.append(f"the clock governor is {about['governor']}: set performance for steady times")
    return found + [f"Raspberry Pi: {words}" for words in board.throttling(about["throttled"])]
