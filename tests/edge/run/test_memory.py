"""The largest frame follows the board's memory, and large frames are worked on one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from edge.base import Frame, board
from edge.run.memory import default_megapixels, weighing


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
