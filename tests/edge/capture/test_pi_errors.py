"""Errors of picamera2 and libcamera, as these raise them, in one line with the remedy."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from edge.capture import pi_errors
from edge.capture.camera import CameraAbsentError, CameraError
from edge.capture.pi_cameras import list_cameras
from edge.capture.picamera import PiCamera
from tests.edge.capture.fake_picamera2 import Picamera2, modules

MEMINFO = "MemTotal:  432732 kB\nCmaTotal:  262144 kB\nCmaFree:   12500 kB\n"


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Picamera2]:
    found = modules()
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(pi_errors, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(pi_errors, "HEAPS", tmp_path / "dma_heap")
    faked: type[Picamera2] = found["picamera2"].Picamera2
    return faked


def refused(number: int = 0) -> str:
    with pytest.raises(CameraError) as caught:
        PiCamera(number)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_no_ribbon_camera(picamera2: type[Picamera2]) -> None:
    picamera2.known = ()
    assert "picamera2: no camera is found on the ribbon cable: switch off, reseat the cable" in refused()
    with pytest.raises(CameraAbsentError):
        PiCamera()
    picamera2.known = Picamera2.known[:1]
    assert refused(3).startswith("picamera2: no camera number 3, only number 0: leuko camera list")


def test_frame_memory_without_permission(picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    # libcamera then registers no camera at all
    picamera2.known = ()
    pi_errors.HEAPS.mkdir()
    (pi_errors.HEAPS / "linux,cma").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert (
        "linux,cma may not be opened, so there is no memory for frames: sudo usermod -aG video" in refused()
    )


def test_a_camera_that_cannot_be_opened_is_listed_without_its_modes(
    picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Picamera2, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/dev/dma_heap/linux,cma")

    monkeypatch.setattr(picamera2, "__init__", fail)
    (camera,) = list_cameras()
    assert (camera.name, camera.formats) == ("picamera2:0", {})


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        # fcntl.ioctl of DMA_HEAP_IOCTL_ALLOC (picamera2, dma_heap.py)
        ("configure", OSError(errno.ENOMEM, "Cannot allocate memory"), "12 of 256 MiB are free now"),
        # std::system_error of libcamera (py_main.cpp)
        ("start", RuntimeError("Failed to start camera: Cannot allocate memory"), "choose a smaller --size"),
        ("configure", RuntimeError("failed to allocate capture buffers for stream 0"), "cma-320"),
        ("start", OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_contiguous_memory(
    picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, words: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(picamera2, step, fail)
    said = refused()
    assert said.startswith("picamera2: ")
    assert words in said
    assert ("contiguous memory for frames is exhausted" in said) == (error.args[0] != errno.EIO)
    assert picamera2.opened[-1].closed


@pytest.mark.parametrize(
    ("error", "words"),
    [
        # os.open of picamera2's allocator, which looks for a missing heap only
        (PermissionError(errno.EACCES, "Permission denied", "HEAP"), "may not be opened"),
        (RuntimeError("Could not open any dmaHeap device"), "boot the kernel of Raspberry Pi OS"),
        (
            RuntimeError("Camera __init__ sequence did not complete."),
            "another program uses the camera: end it",
        ),
    ],
)
def test_opening(
    picamera2: type[Picamera2], monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(self: Picamera2, *_: object, **__: object) -> None:
        if isinstance(error, PermissionError):
            error.filename = str(pi_errors.HEAPS / "vidbuf_cached")
        raise error from RuntimeError("Failed to acquire camera: Device or resource busy")

    monkeypatch.setattr(picamera2, "__init__", fail)
    assert words in refused()


def test_memory_that_no_kernel_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("MemTotal: 1 kB\n", "CmaTotal: x kB\n"):
        (tmp_path / "meminfo").write_text(text)
        monkeypatch.setattr(pi_errors, "MEMORY", tmp_path / "meminfo")
        said = pi_errors.explained(OSError(errno.ENOMEM, "Cannot allocate memory"))
        assert "exhausted: choose" in said
