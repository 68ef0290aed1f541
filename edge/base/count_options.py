"""Options of a count that the device profile sets too, each declared once.

They are here and not in `edge.run` because install.sh checks a profile with a Python that has only its
standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.base.schema import declare

Policy = Literal["drop-oldest", "drop-newest", "wait"]
"""What happens to frames that arrive while the buffer is full."""


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How a camera exposes, and what happens when it is too fast or fails."""

    exposure_us: int | None = declare(
        "Exposure time in µs; by default the camera's auto-exposure chooses it", 1, default=None
    )
    gain: float | None = declare(
        "Sensor gain; by default the camera's auto-exposure chooses it", 0, low_open=True, default=None
    )
    buffer_frames: int = declare("Frames that may wait to be counted", 1, 1000, default=4)
    camera_buffers: int | None = declare(
        "Frames in the contiguous memory of a Raspberry Pi's camera; by default 4", 1, 16, default=None
    )
    when_behind: Policy | None = declare(
        "What to do when more frames would wait; by default a camera's oldest is dropped, and files wait",
        default=None,
    )
    give_up_s: float = declare(
        "Seconds for which a camera that fails is opened again before the count ends with an error",
        0,
        default=60.0,
    )


@dataclass(frozen=True)
class StopLimits:
    """What ends a count, whichever comes first."""

    until_cells: int | None = declare(
        "Leukocytes that end the count; 400 for a camera without any limit", 1, default=None
    )
    until_halfwidth: float | None = declare(
        "Half-width of the widest 95 % interval of a fraction that ends the count",
        0,
        0.5,
        low_open=True,
        default=None,
    )
    until_seconds: float | None = declare(
        "Seconds that end the count, interruptions included", 0, low_open=True, default=None
    )


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """Whether every frame's record is kept, and with what."""

    keep: bool = declare(
        "Keep every frame's record; a camera's are always kept", default=False, option="--session"
    )
    keep_crops: bool = declare("Keep each cell's image in the session", default=False)
