"""A profile is accepted if its board has the memory for it, and refused with the sum if not."""

from __future__ import annotations

import re
from itertools import product

import pytest

from firmware_config.hardware import BOARDS, MB, SENSORS, Mode
from firmware_config.memory import camera_mb, linux_mb, room_mib, shortages

HQ = Mode(4056, 3040, 12)
HALF = Mode(2028, 1520, 12, 2)
PIXEL_UM = 0.0727
VERSIONS = [(name, memory_mb) for name, board in BOARDS.items() for memory_mb in board.versions_mb]
MODES = [(name, mode) for name, sensor in SENSORS.items() for mode in sensor.modes or (Mode(1920, 1080, 8),)]
THREADS, BUFFERS = (1, 2, 4, 16), (1, 2, 4, 16)


def refused(
    board: str,
    memory_mb: int,
    sensor: str,
    mode: Mode,
    *,
    threads: int = 4,
    buffers: int | None = None,
    buffer_frames: int = 4,
    pixel_um: float = PIXEL_UM,
) -> tuple[str, str, str] | None:
    """Why no memory of the service, however large or small, lets a count run there; None if one does."""
    size = mode.width_px, mode.height_px, mode.bit_depth
    memory = (board, memory_mb, sensor, *size, buffers, buffer_frames, pixel_um, threads)
    buffers_mb, _ = camera_mb(BOARDS[board], sensor, mode, buffers)
    found = list(shortages(*memory, room_mib(BOARDS[board], memory_mb, buffers_mb)))
    return found[0] if found else None


# what each board was seen, or is known, to do; the rest of the table follows from it, see the next test
KNOWN = [
    ("zero2w", 512, HQ, 1, 2, "contiguous memory"),
    ("zero2w", 512, HQ, 4, 4, "contiguous memory"),
    ("zero2w", 512, HALF, 1, 2, None),
    ("pi3", 1024, HQ, 4, 4, "contiguous memory"),
    ("pi3", 1024, HQ, 4, 2, None),
    ("pi4", 1024, HQ, 4, 4, None),
    ("pi4", 1024, HQ, 16, 4, "this board's 1024"),
    ("pi4", 2048, HQ, 16, 4, None),
    ("pi4", 8192, HQ, 4, 16, None),
    ("pi5", 1024, HQ, 4, 4, None),
    ("pi5", 1024, HQ, 4, 16, "this board's 1024"),
    ("pi5", 2048, HQ, 4, 16, None),
]


@pytest.mark.parametrize(("board", "memory_mb", "mode", "threads", "buffers", "why"), KNOWN)
def test_known_pairs(
    board: str, memory_mb: int, mode: Mode, threads: int, buffers: int, why: str | None
) -> None:
    found = refused(board, memory_mb, "imx477", mode, threads=threads, buffers=buffers)
    assert found is None if why is None else found is not None and why in found[1]


def test_every_combination_is_refused_exactly_where_its_sum_is_more_than_there_is() -> None:
    """The sum is worked out here again, from bytes per pixel."""
    outcomes = {True: 0, False: 0}
    for (board, memory_mb), (sensor, mode), threads, buffers in product(VERSIONS, MODES, THREADS, BUFFERS):
        pixels = mode.width_px * mode.height_px / 1e6
        ribbon = sensor.startswith("imx")
        contiguous = {"zero2w": 84, "pi3": 155, "pi4": 451, "pi5": 1e9}[board]
        if not ribbon:
            camera = 0.0
        elif board == "pi5":
            camera = pixels * (8 * 2 + (buffers + 2) * 1.5)
        else:
            camera = pixels * (4 * mode.bit_depth / 8 + (buffers + 1) * 1.5)
        held = 4 + 1 + 2 * threads + (threads + 1 if threads > 1 else 1)
        # cells are found at a quarter of the frame's height and width
        count = 105 + held * (pixels + 1.3) + threads * 8 * pixels / 16
        linux = 426.068 * 1.024 if board == "zero2w" else (memory_mb - 76) * 1.048576 - 34
        total = count + camera + 110
        if any(abs(need / there - 1) < 0.03 for need, there in ((camera, contiguous), (total, linux))):
            continue  # rows are padded, and the sum is rounded
        expected = camera > contiguous or total > linux
        found = refused(board, memory_mb, sensor, mode, threads=threads, buffers=buffers)
        assert (found is not None) == expected, (board, memory_mb, sensor, str(mode), threads, buffers)
        outcomes[expected] += 1
        if found is not None:
            assert found[2]
            need = camera if camera > contiguous else total
            stated = map(int, re.findall(r"\b(\d+) MB", found[1]))
            assert any(abs(one / need - 1) < 0.03 for one in stated), found[1]
    assert min(outcomes.values()) > 50, outcomes


def test_a_finer_pixel_never_needs_more_and_a_larger_memory_never_refuses_more() -> None:
    for (sensor, mode), threads, buffers in product(MODES, THREADS, BUFFERS):
        for board, versions in ((name, board.versions_mb) for name, board in BOARDS.items()):
            for pixel_um in (0.07, 0.125, 0.3):
                answers = [
                    refused(board, one, sensor, mode, threads=threads, buffers=buffers, pixel_um=pixel_um)
                    for one in versions
                ]
                accepted = [answer is None for answer in answers]
                assert accepted == sorted(accepted), (board, sensor, str(mode), threads, buffers)


def test_the_line_states_the_sum_and_what_fits() -> None:
    key, why, remedy = refused("zero2w", 512, "imx477", HQ, buffers=4) or ("", "", "")
    assert key == "camera.width_px"
    assert why == (
        "4 raw frames of 18.6 MB and 5 grey ones of 18.7 MB take 169 MB of contiguous memory; a Raspberry Pi "
        "Zero 2 W has about 84 MB free"
    )
    assert remedy == "choose 2028 x 1520 px at 12 bit"
    _, _, remedy = refused("pi3", 1024, "imx477", HQ, buffers=4) or ("", "", "")
    assert remedy == "write camera_buffers = 3"
    key, why, remedy = refused("pi4", 1024, "imx477", HQ, threads=16) or ("", "", "")
    assert key == "service.memory_mb"
    assert "the camera's buffers 169 MB, the system 110 MB" in why
    assert f"Linux has {linux_mb(1024):.0f} MB of this board's 1024" in why
    assert "fewer threads" in remedy


def test_the_four_raw_and_four_grey_frames_of_12_megapixels() -> None:
    """As measured from libcamera's sizes: 75 MB of four grey frames, 74 MB of four raw ones."""
    five, _ = camera_mb(BOARDS["zero2w"], "imx477", HQ, 4)
    four, _ = camera_mb(BOARDS["zero2w"], "imx477", HQ, 3)
    assert 4 * (five - four) == pytest.approx(75, abs=0.5)
    assert four - 4 * (five - four) == pytest.approx(74 + 1.6, abs=0.6)
    assert camera_mb(BOARDS["zero2w"], "usb", Mode(1920, 1080, 8), None) == (0.0, "")


def test_linux_has_what_a_zero_2_w_reports() -> None:
    assert linux_mb(512) == pytest.approx(426_068 * 1024 / MB, rel=0.005)
