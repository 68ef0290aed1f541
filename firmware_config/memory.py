"""What a profile takes of its board's memory: for the count, the camera's buffers and the system."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from edge.run import count_bytes
from firmware_config.hardware import BOARDS, CORES, MB, SENSORS, Board, Mode

MIB = 1 << 20

Found = tuple[str, str, str]
"""Key, why, remedy."""

SYSTEM_MB = 110
"""What Raspberry Pi OS Lite takes, an estimate: in picamera2 issue 1358 it takes 197 with picamera2."""

FIRMWARE_MIB, LARGE_MIB, FIRMWARE_LARGE_MIB = 64, 1024, 76
"""gpu_mem, and its value from 1 GB on: the "Memory options" page of Raspberry Pi's documentation."""
KERNEL_MB = 34
"""What the kernel keeps of the rest: MemTotal of a Zero 2 W is 426,068 kB (picamera2 issue 1358)."""

# libcamera of Raspberry Pi, src/libcamera/pipeline/rpi: vc4/vc4.cpp (d1a7120) and pisp/pisp.cpp (04e282f)
BUFFERS = 4
"""Grey frames that the program asks for (`edge.capture.picamera`) if the profile does not say."""
RAW_FRAMES = 4
"""minTotalUnicamBuffers, and minBuffers of a Pi 5, where no raw stream is asked for."""
MORE_FRAMES = 1
"""Grey frames beside those that are asked for: minIspBuffers."""
DENOISED_PX = 1200
"""Longer side at most of the one frame for colour denoising."""
PI5_FRAMES, PI5_RAW_BYTES = 2, 2
"""Of a Pi 5: grey frames beside those that are asked for, and as many each for temporal denoising and for
stitching; bytes per pixel of these and of the raw ones, at most."""


def linux_mb(memory_mb: int) -> float:
    """Return what Linux has of a board's memory, MB."""
    firmware_mib = FIRMWARE_MIB if memory_mb < LARGE_MIB else FIRMWARE_LARGE_MIB
    return (memory_mb - firmware_mib) * (1 << 20) / MB - KERNEL_MB


def camera_mb(board: Board, sensor: str, mode: Mode, buffers: int | None) -> tuple[float, str]:
    """Return what a camera's buffers take, MB, and of what; nothing unless it is a Raspberry Pi's."""
    if SENSORS[sensor].camera != "picamera2":
        return 0.0, ""
    width, height, grey = mode.width_px, mode.height_px, buffers or BUFFERS
    yuv_mb = _padded(width, 64) * height * 1.5 / MB
    if board.contiguous_mb is None:
        raw_mb, grey, small_mb = width * height * PI5_RAW_BYTES / MB, grey + PI5_FRAMES, 0.0
        raw = RAW_FRAMES + 2 * PI5_FRAMES
    else:
        raw_mb, grey, raw = (
            _padded(ceil(width * mode.bit_depth / 8), 32) * height / MB,
            grey + MORE_FRAMES,
            RAW_FRAMES,
        )
        shrunk = min(0.5, DENOISED_PX / max(width, height))
        small_mb = width * height * shrunk**2 * 1.5 / MB
    total_mb = raw * raw_mb + grey * yuv_mb + small_mb
    return total_mb, f"{raw} raw frames of {raw_mb:.1f} MB and {grey} grey ones of {yuv_mb:.1f} MB"


def _padded(row_bytes: int, multiple: int) -> int:
    return -(-row_bytes // multiple) * multiple


def room_mib(board: Board, memory_mb: int, buffers_mb: float) -> int:
    """Return the largest limit of the count that leaves the others what they take, MiB as systemd has it."""
    return int((linux_mb(memory_mb) - SYSTEM_MB - buffers_mb) * MB / MIB)


def shortages(
    board_name: str,
    ram_mb: int | None,
    sensor: str,
    width_px: int,
    height_px: int,
    bit_depth: int,
    buffers: int | None,
    buffer_frames: int,
    pixel_um: float | None,
    threads: int | None,
    service_mb: int,
) -> Iterator[Found]:
    """Yield why a profile's board has not the memory for it; nothing if it has."""
    board, mode = BOARDS[board_name], Mode(width_px, height_px, bit_depth)
    memory_mb = ram_mb or board.versions_mb[0]
    if memory_mb not in board.versions_mb:
        sold = ", ".join(map(str, board.versions_mb))
        yield "device.ram_mb", f"no {board.description} has {memory_mb} MB", f"write one of {sold}"
        return
    buffers_mb, of_what = camera_mb(board, sensor, mode, buffers)
    if board.contiguous_mb is not None and buffers_mb > board.contiguous_mb:
        why = f"{of_what} take {buffers_mb:.0f} MB of contiguous memory; a {board.description} has about"
        yield "camera.width_px", f"{why} {board.contiguous_mb} MB free", _smaller(board, sensor, mode)
        return
    threads = threads or CORES
    pixels = mode.width_px * mode.height_px
    needed, held = count_bytes(pixels, pixel_um or 1.0, threads, buffer_frames)
    needed_mb, needed_mib, most_mib = needed / MB, ceil(needed / MIB), room_mib(board, memory_mb, buffers_mb)
    working = f"{threads} thread{'s' if threads > 1 else ''}"
    count = f"the program, {held} frames of {pixels / MB:.1f} MB and {working} need"
    others = f", the camera's buffers {buffers_mb:.0f} MB" if buffers_mb else ""
    others += f", the system {SYSTEM_MB} MB"
    linux = f"Linux has {linux_mb(memory_mb):.0f} MB of this board's {memory_mb}"
    if needed_mib > most_mib:
        total = f"{needed_mb + buffers_mb + SYSTEM_MB:.0f} MB, and {linux}"
        remedy = "choose a smaller mode, fewer threads, or a board with more memory"
        yield "service.memory_mb", f"{count} {needed_mb:.0f} MB{others}: {total}", remedy
    elif needed_mib > service_mb:
        why = f"{count} {needed_mib} MiB, more than {service_mb}"
        yield "service.memory_mb", why, f"write {needed_mib} to {most_mib}, or lower service.threads"
    elif service_mb > most_mib:
        why = f"{linux}{others}: {most_mib} MiB are left for the count, not {service_mb}"
        yield "service.memory_mb", why, f"write {needed_mib} to {most_mib}"


def _smaller(board: Board, sensor: str, mode: Mode) -> str:
    """Return which buffers or mode the board has contiguous memory for."""

    def fits(mode: Mode, buffers: int) -> bool:
        return camera_mb(board, sensor, mode, buffers)[0] <= (board.contiguous_mb or 0)

    for buffers in (3, 2):
        if fits(mode, buffers):
            return f"write camera_buffers = {buffers}"
    smaller = [one for one in SENSORS[sensor].modes if fits(one, 2)]
    return f"choose {_largest(smaller)}" if smaller else "choose another sensor"


def _largest(modes: list[Mode]) -> Mode:
    return max(modes, key=lambda mode: (mode.width_px * mode.height_px, mode.bit_depth))
