"""Time that the work on a crop takes on this machine, in rounds that show how much it varies."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.base import board, read_input
from edge.classify import Classifier, Model, dequantise, int8_to_grey, runtime_version
from edge.find import segment
from edge.model import FILE_LIMIT_BYTES, Bundle

BATCHES = (1, 8)
"""Crops per call: one, and as many as `edge.classify.Classifier` passes at a time."""

ROUND_SECONDS = 0.1
"""Least length of a round: a thousand times the clock's resolution, and short enough to have many."""

INVOKE, WHOLE, SEGMENT = "invoke", "whole crop", "segment"
"""The interpreter alone; levelling, quantising, interpreter and softmax; finding the cells of a frame."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one kind of work, over several rounds.

    Attributes
    ----------
    runtime, version : str
        Of the interpreter; empty for work without one.
    model : {"int8", "float32", ""}
        Empty for work without a network.
    work : str
        `INVOKE`, `WHOLE` or `SEGMENT`.
    batch : int
        Crops per call, 0 for work on a frame.
    ms, low, high : float
        Median and quartiles of the rounds, per crop; for `SEGMENT` per frame.
    processor_ms : float
        Median of the time on processor cores, which other programs hardly change; the sum over all threads,
        waiting ones included.
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


class _Job(NamedTuple):
    model: str
    work: str
    batch: int
    threads: int
    call: Callable[[], object]


def time_bundle(
    bundle: Bundle,
    runtime: str | None,
    threads: Sequence[int],
    *,
    float_file: Path | None = None,
    rounds: int = 9,
) -> list[Timing]:
    """Time a bundle on one runtime.

    Each round goes over all kinds of work, so that a slow moment of the machine affects them all.

    Parameters
    ----------
    runtime : str, optional
        A key of `edge.classify.RUNTIMES`, by default the first installed. A process must use only one.
    threads : sequence of int
        Numbers of threads to try.
    float_file : Path, optional
        The same network in float32, a .tflite file, timed for comparison.

    Raises
    ------
    BundleError, RuntimeMissingError
        As for `edge.classify.Classifier`.
    ValueError
        If the float32 file has no float32 network, or one with another input or output.
    """
    from edge.simulate import Optics, simulate_frame  # every count imports this module, and none needs that

    runtime = Model(bundle.flatbuffer, runtime).runtime
    jobs = [job for n in threads for job in _network_jobs(bundle, runtime, n, float_file)]
    frame = simulate_frame(0).image
    jobs.append(_Job("", SEGMENT, 0, 1, partial(segment, frame, pixel_um=Optics().pixel_um)))
    spreads = _timed([job.call for job in jobs], rounds)
    timings = []
    for job, spread in zip(jobs, spreads, strict=True):
        used = (runtime, runtime_version(runtime)) if job.model else ("", "")
        ms = (float(value) / max(1, job.batch) for value in spread)
        timings.append(Timing(*used, job.model, job.work, job.batch, job.threads, *ms))
    return timings


def _network_jobs(bundle: Bundle, runtime: str, threads: int, float_file: Path | None) -> Iterator[_Job]:
    manifest = bundle.manifest
    real = dequantise(bundle.golden_crops, manifest.input)
    grey = int8_to_grey(bundle.golden_crops[..., 0], manifest)
    for batch in BATCHES:
        # one interpreter per job: a change of its batch would be timed too
        model = Model(bundle.flatbuffer, runtime, threads)
        invoke = partial(model.run, _repeated(bundle.golden_crops, batch))
        yield _Job("int8", INVOKE, batch, threads, invoke)
        whole = partial(Classifier(bundle, runtime, threads).probabilities, _repeated(grey, batch))
        yield _Job("int8", WHOLE, batch, threads, whole)
        if float_file is not None:
            invoke = partial(_float_model(float_file, model, threads).run, _repeated(real, batch))
            yield _Job("float32", INVOKE, batch, threads, invoke)


def ratios(timings: Sequence[Timing]) -> list[float | None]:
    """Return how many times as long each invoke takes as LiteRT's in int8 with the same batch and threads.

    For one thread the processor time is compared, which other programs hardly change; otherwise the wall
    clock. The ratio is None for other work, and without LiteRT's time.
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
    """Return the machine that was timed: processor, cores, governor, load, and a Raspberry Pi's state."""
    return {
        "processor": board.processor(),
        "architecture": platform.machine(),
        "cores": board.cores(),
        "governor": board.text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "board": board.model(),
        "throttled": board.throttled(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def _float_model(path: Path, int8: Model, threads: int) -> Model:
    """Load a float32 network with the same input and output as the int8 one."""
    try:
        model = Model(read_input(path, FILE_LIMIT_BYTES), int8.runtime, threads, np.float32)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    takes, bundle_takes = (list(one.input_shape) for one in (model, int8))
    if (takes, model.labels) != (bundle_takes, int8.labels):
        raise ValueError(
            f"{path}: not the bundle's network: it takes crops {takes} and has {model.labels} labels, "
            f"the bundle {bundle_takes} and {int8.labels}"
        )
    return model


def _repeated(crops: NDArray[Any], count: int) -> NDArray[Any]:
    """Return `count` crops; they repeat if there are fewer."""
    return np.asarray(crops[np.arange(count) % len(crops)])


def _timed(jobs: Sequence[Callable[[], object]], rounds: int) -> NDArray[np.float64]:
    """Return milliseconds of each job, float64 [jobs, 4]: median, quartiles, and median on processors."""
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


def warnings(about: Mapping[str, Any]) -> list[str]:
    """List why times measured on a machine, see `describe_machine`, may not be its best."""
    found = []
    if about["load"] > 0.5:
        found.append(f"other programs kept {about['load']:.1f} cores busy: times are too long")
    if about["governor"] not in (None, "performance"):
        found.append(f"the clock governor is {about['governor']}: set performance for steady times")
    return found + [f"Raspberry Pi: {words}" for words in board.throttling(about["throttled"])]
