"""When a camera exposed a frame: by the time of day, and by a clock that is never set."""

from __future__ import annotations

import time

_EPOCHS = {
    clock: time.time_ns() - time.clock_gettime_ns(clock)
    for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)
}
"""Time of day at which each clock began, as this process found it."""


def exposed(clock: int, at_ns: int | None = None) -> tuple[int, int]:
    """Return `time_ns` and `clock_ns` of a `Frame` exposed at a time of a clock, by default now.

    A Raspberry Pi without a battery learns the time of day from the network, often after the first frames.
    The first value follows that; the second does not, so that differences are lengths of time.
    """
    now_ns = time.clock_gettime_ns(clock)
    at_ns = now_ns if at_ns is None else at_ns
    return time.time_ns() - now_ns + at_ns, _EPOCHS[clock] + at_ns
