"""Times of a camera's frames when the time of day is set while it counts."""

from __future__ import annotations

import time

import pytest

from edge.base import Frame
from edge.capture.exposed import exposed
from edge.run.pipeline import _time_ns

HOUR_NS = 3_600 * 10**9


def test_the_time_of_day_follows_a_step_of_the_clock_and_lengths_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    first = exposed(time.CLOCK_BOOTTIME, now_ns)
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + HOUR_NS)
    second = exposed(time.CLOCK_BOOTTIME, now_ns + 40_000_000)
    assert second[0] - first[0] == pytest.approx(HOUR_NS + 40_000_000, abs=20e9)
    assert second[1] - first[1] == 40_000_000
    # until the clock is set, both are the same time
    assert first[1] == pytest.approx(first[0], abs=60e9)


@pytest.mark.parametrize("clock", [time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME])
def test_now(clock: int) -> None:
    before = exposed(clock)
    time_ns, clock_ns = exposed(clock)
    assert clock_ns > before[1]
    assert time_ns == pytest.approx(time.time_ns(), abs=20e9)


def test_a_flow_is_followed_by_the_clock_that_is_never_set() -> None:
    frame = Frame(None, "picamera2#3", 3, 5 * HOUR_NS, clock_ns=7)  # type: ignore[arg-type]  # its time alone is asked for
    assert _time_ns(frame) == 7
