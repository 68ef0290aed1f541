"""The largest frame follows the board's memory, and large frames are worked on one at a time."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from edge.base import Frame, board
from edge.run.memory import count_bytes, default_megapixels, free_at_once, weighing


@pytest.mark.parametrize(
    ("board_mb", "pixel_um", "megapixels"),
    [
        (24_000, 0.0727, 50),
        (24_000, 0.25, 50),
        (2_000, 0.25, 50),
        (2_000, 5.0, 50),
        (925, 0.125, 50),
        (925, 0.25, 45),
        (446, 0.125, 25),
        (446, 0.25, 18),
        (64, 0.25, 2),
    ],
)
def test_every_frame_of_50_megapixels_is_taken_where_memory_holds_it(
    monkeypatch: pytest.MonkeyPatch, board_mb: int, pixel_um: float, megapixels: float
) -> None:
    monkeypatch.setattr(board, "memory_bytes", lambda: board_mb * 10**6)
    assert default_megapixels(pixel_um) == megapixels


def test_the_memory_is_read_once_and_large_frames_take_the_room_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def memory_bytes() -> int:
        asked.append(1)
        return 2 * 10**9

    monkeypatch.setattr(board, "memory_bytes", memory_bytes)
    weigh = weighing(0.25, threads=4, in_flight=8)
    small, large = (Frame(np.broadcast_to(np.uint8(0), (side, side)), "a.png", 0, 0) for side in (1000, 7000))
    assert weigh(small) <= 1
    assert 2 * weigh(large) > 8
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("board_mb", "threads", "is_asked"), [(512, 4, True), (8_000, 1, True), (1_000, 2, False)]
)
def test_freed_memory_goes_back_where_it_is_scarce(
    monkeypatch: pytest.MonkeyPatch, board_mb: int, threads: int, is_asked: bool
) -> None:
    asked: list[tuple[int, int]] = []

    class Library:
        @staticmethod
        def mallopt(parameter: int, value: int) -> None:
            asked.append((parameter, value))

    monkeypatch.setattr(board, "memory_bytes", lambda: board_mb * 10**6)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    free_at_once(threads)
    assert bool(asked) == is_asked


def test_a_count_in_one_thread_holds_six_frames() -> None:
    twelve = 4056 * 3040
    needed, held = count_bytes(twelve, 0.0727, threads=1, buffer_frames=2)
    assert held == 6
    assert needed == pytest.approx(105e6 + 6 * (twelve + 1.3e6) + twelve * 8 / 16)
    assert count_bytes(twelve, 0.0727, threads=4, buffer_frames=4)[0] > 1.5 * needed
