"""What the errors of picamera2 and libcamera mean to an operator, in one line with the remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.capture.camera import CameraAbsentError

HEAPS = Path("/dev/dma_heap")
"""Where frames' memory comes from: picamera2 0.3.36, dma_heap.py; libcamera 0.7.1, dma_buf_allocator.cpp."""

MEMORY = Path("/proc/meminfo")

_NO_MEMORY = ("cannot allocate memory", "failed to allocate capture buffers")
"""An ENOMEM of picamera2's own buffers comes as an OSError (dma_heap.py) or the second message
(dmaallocator.py), of libcamera's as "Failed to start camera: Cannot allocate memory" (py_main.cpp)."""


def explained(error: BaseException) -> str:
    """Return what an error says, or what it means if that is known."""
    said = reason(error)
    heap = next((str(one.filename) for one in _chain(error) if isinstance(one, PermissionError)), "")
    if heap.startswith(str(HEAPS)):
        return _closed(heap)
    # a picamera2 without any of the devices that it looks for
    if "could not open any dmaheap device" in said.lower():
        return f"{HEAPS} has no memory for frames: boot the kernel of Raspberry Pi OS ({said})"
    if any(words in said.lower() for words in _NO_MEMORY) or _errno(error) == errno.ENOMEM:
        # the overlay's cma- parameters from 256 on need 1 GB (overlays/README; picamera2 issue 972)
        return (
            f"the contiguous memory for frames is exhausted{_contiguous()}: choose a smaller --size, end"
            " other programs that use the camera or the screen, or enlarge it in config.txt, which needs a"
            f" board of 1 GB (dtoverlay=vc4-kms-v3d,cma-320) ({said})"
        )
    if "resource busy" in said.lower():
        return f"another program uses the camera: end it (sudo systemctl stop leuko-count) ({said})"
    return said


def absent(name: str, number: int, known: Sequence[object]) -> CameraAbsentError:
    """Return the error of a camera that libcamera does not find."""
    if known:
        last = len(known) - 1
        there = "only number 0" if last == 0 else f"numbers 0 to {last}"
        return CameraAbsentError(f"{name}: no camera number {number}, {there}: leuko camera list names them")
    return CameraAbsentError(f"{name}: {why_none()}")


def why_none() -> str:
    """Return why libcamera finds no camera, and what to do."""
    heaps = sorted(HEAPS.iterdir()) if HEAPS.is_dir() else []
    closed = [str(heap) for heap in heaps if not os.access(heap, os.R_OK | os.W_OK)]
    if closed and len(closed) == len(heaps):
        # libcamera registers no camera then, and logs "Could not open any dmaHeap device" (pisp.cpp, vc4.cpp)
        return _closed(closed[0])
    return (
        "no camera is found on the ribbon cable: switch off, reseat the cable at both ends, and compare"
        " dtoverlay in config.txt with the sensor (sudo dmesg | grep imx shows what it answers)"
    )


def reason(error: BaseException) -> str:
    """Return the messages of an error and its causes in one line."""
    return ": ".join(" ".join(str(one).split()).rstrip(".") for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _errno(error: BaseException) -> int | None:
    return next((one.errno for one in _chain(error) if isinstance(one, OSError)), None)


def _closed(heap: str) -> str:
    return (
        f"{heap} may not be opened, so there is no memory for frames: sudo usermod -aG video $USER, and log"
        " in again"
    )


def _contiguous() -> str:
    """Return how much is free; empty where the kernel does not say."""
    try:
        rows = (row.split() for row in MEMORY.read_text(encoding="ascii").splitlines())
        kib = {row[0]: int(row[1]) for row in rows if row[:1] and row[0] in ("CmaTotal:", "CmaFree:")}
    except (OSError, ValueError):
        return ""
    if len(kib) < 2:
        return ""
    return f" ({kib['CmaFree:'] >> 10} of {kib['CmaTotal:'] >> 10} MiB are free now)"
