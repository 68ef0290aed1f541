"""How far a running count is: one line that fits the terminal, and the same facts for machines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge.base import FailedFrame, quantity
from edge.count import CountedFrame, StopRule, Tally, halfwidth

RATE_CELLS, RATE_FILES, RATE_S = 20, 5, 5.0
"""Leukocytes, files and seconds from which a rate is known well enough to state the time left."""

SHORT = 4
"""Letters of a label in a line that is too long for the whole one."""

_PAGE = re.compile(r"#\d+$")
"""End of the name of a frame that is one of several in its file."""


@dataclass(frozen=True)
class Standing:
    """What a count has so far.

    Attributes
    ----------
    share : float or None
        Part of the count that is done, by the limit that is nearest; None if nothing says how much there is.
    seconds_left : float or None
        None while the rate is not known, or where nothing says what is left.
    now : tuple of str
        What is wrong with the last frame.
    unusable : str
        Why the numbers cannot be meant: they are not stated then.
    """

    tally: Tally
    rule: StopRule
    share: float | None
    seconds_left: float | None
    now: tuple[str, ...] = ()
    unusable: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the facts as JSON can hold them."""
        tally = self.tally
        return {
            "leukocytes": tally.leukocytes,
            "until_cells": self.rule.until_cells,
            "fractions": {label: round(share, 4) for label, share in self._shares().items()},
            "unusable": self.unusable or None,
            "rejected": tally.rejected,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left),
        }

    def line(self, width: int | None = None) -> str:
        """Return the facts in one line; what matters least is left out until it fits into `width`."""
        tally = self.tally
        frames = tally.frames_read + len(tally.failed)
        parts = {  # in the order of the line → its importance
            self._leukocytes(): 6,
            self._differential(): 2,
            self._interval: 3,
            f"{tally.rejected} rejected" if tally.rejected else "": 4,
            self._left(): 5,
            quantity(frames, "frame"): 1,
            ", ".join(self.now): 7,
        }
        parts.pop("", None)
        while width is not None and len(parts) > 1 and len(", ".join(parts)) > width:
            least = min(parts, key=lambda part: parts[part])
            short = self._differential(SHORT)
            if parts[least] == 2 and least != short:
                parts = {short if part == least else part: n for part, n in parts.items()}
            else:
                del parts[least]
        return ", ".join(parts)

    def _leukocytes(self) -> str:
        if self.unusable:
            return self.unusable
        target = self.rule.until_cells
        return f"{self.tally.leukocytes}{'' if target is None else f' of {target}'} leukocytes"

    def _differential(self, letters: int | None = None) -> str:
        """Return the shares, with the first letters of the labels where these tell them apart."""
        shares = self._shares()
        letters = letters if len({label[:letters] for label in shares}) == len(shares) else None
        return ", ".join(f"{label[:letters]} {100 * share:.0f} %" for label, share in shares.items())

    def _shares(self) -> dict[str, float]:
        """Return the share of each counted label; none without cells, or where one label has all of them."""
        tally = self.tally
        if self.unusable or not tally.leukocytes or len(tally.counted) < 2:
            return {}
        return {label: tally.counts[label] / tally.leukocytes for label in tally.counted}

    @cached_property
    def _interval(self) -> str:
        """How near the interval is that ends the count; it takes milliseconds."""
        if self.rule.until_halfwidth is None or self.unusable:
            return ""
        now, wanted = 100 * halfwidth(self.tally), 100 * self.rule.until_halfwidth
        return f"widest interval ±{now:.1f} of {wanted:g} points"

    def _left(self) -> str:
        if not self.seconds_left:
            return ""
        # by its width a count may end at any frame
        about = "about" if self.rule.until_halfwidth is None else "at most"
        return f"{about} {_duration(self.seconds_left)} left"


class Course:
    """Follows a count from frame to frame and returns its `Standing`.

    Parameters
    ----------
    files : int or None
        Files to count; None for a camera.
    seconds : float
        What has passed since the count began, interruptions included.
    """

    def __init__(
        self,
        rule: StopRule,
        files: int | None,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rule, self._files, self._clock = rule, files, clock
        self._began = clock() - seconds
        self._stack, self._done = "", 0
        self._first: tuple[float, int, int] | None = None

    def standing(self, result: CountedFrame | FailedFrame, tally: Tally, unusable: str = "") -> Standing:
        """Return how far the count is after this frame; `unusable` is why its numbers cannot be meant."""
        now = self._clock()
        name, wrong = (
            (result.name, (result.reason,))
            if isinstance(result, FailedFrame)
            else (result.frame.name, result.breaches)
        )
        self._follow(name)
        # rates are those since the first frame: a resumed count was interrupted before
        first = self._first = self._first or (now, tally.leukocytes, self._done)
        passed = now - first[0]
        shares, left = [], []
        if self._files and self._done:
            shares.append(self._done / self._files)
            left.append(_left(self._files - self._done, self._done - first[2], passed, RATE_FILES))
        if target := self._rule.until_cells:
            shares.append(tally.leukocytes / target)
            left.append(_left(target - tally.leukocytes, tally.leukocytes - first[1], passed, RATE_CELLS))
        if until := self._rule.until_seconds:
            shares.append((now - self._began) / until)
            left.append(max(0.0, until - (now - self._began)))
        # which limit comes first is not known while the end of the files is not
        unknown = self._files is not None and (not self._done or left[0] is None)
        return Standing(
            tally,
            self._rule,
            min(1.0, max(shares)) if shares else None,
            None if unknown else min((one for one in left if one is not None), default=None),
            wrong,
            unusable,
        )

    def _follow(self, frame: str) -> None:
        """Add up the files that are done; the last page of a stack is known by the next file."""
        file = _PAGE.sub("", frame)
        self._done += (file == frame) + (self._stack not in ("", file))
        self._stack = file if file != frame else ""


def _left(missing: int, gained: int, seconds: float, least: int) -> float | None:
    """Return the time until what is missing is there, at the rate so far; None while that is not known."""
    if gained < least or seconds < RATE_S:
        return None
    return max(0.0, missing * seconds / gained)


def _duration(seconds: float) -> str:
    """Return a time in words, as coarse as an estimate is."""
    if seconds < 100:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
