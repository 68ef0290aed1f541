"""A video as its file holds it: packets in the order of the file, and what FFmpeg's log says of them."""

from __future__ import annotations

import math
import os
import re
from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

import cv2

LOOKAHEAD = 32
"""Packets read ahead of the decoder: more than a codec keeps back to bring frames into order."""

ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free")
"""Boxes with which an MP4 or MOV file may begin."""

_NO_TIME = -(2.0**62)
# the parameters of a sequence (SPS) of H.264 and H.265, which stand before a frame that builds on no other
_SEQUENCE = {
    b"h264": re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67](.+?)\x00\x00[\x00\x01]", re.DOTALL),
    b"hevc": re.compile(rb"\x00\x00\x01[\x42\x43](.+?)\x00\x00[\x00\x01]", re.DOTALL),
}


class Log:
    """What FFmpeg and libjpeg write to standard error."""

    def __init__(self) -> None:
        os.dup2(os.memfd_create("log"), 2)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(2).st_size

    def complaints(self, since: int) -> set[bytes]:
        """Return its lines since it had a size."""
        size = self.size
        return set(os.pread(2, size - since, since).splitlines()) if size > since else set()


class Packet(NamedTuple):
    """A frame as it is stored: its time stamp, place, and time in ms."""

    time: float
    place: int
    time_ms: float


class Packets:
    """The packets of a video in the order of the file, and those waiting to be shown in the order of time.

    Attributes
    ----------
    read, unreadable, shown : int
        Packets read so far, those of them that the container holds but does not give, and those shown.
    breaks : deque of int
        Places of packets before which the container is damaged.
    complaints : set of bytes
        What the log said about the container.
    reordered : int
        Most packets found so far that are stored before one that is shown earlier.
    changes_at : float
        Time at which the size or pixel format changes, which OpenCV does not notice: infinity if it does not.
    """

    def __init__(self, path: str, log: Log, codec: bytes = b"") -> None:
        self._capture, self._log = open_video(path, cv2.CAP_PROP_FORMAT, -1), log
        self._sequence, self._first_sequence = _SEQUENCE.get(codec.lower()), b""
        self.changes_at = math.inf
        self._fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._frame_ms = 1000 / self._fps if math.isfinite(self._fps) and self._fps > 0 else 0.0
        self._damage: deque[int] = deque()
        self.breaks: deque[int] = deque()
        self.complaints: set[bytes] = set()
        self._shown_ms = -self._frame_ms
        self.number = 0
        self.keys: deque[Packet] = deque()
        self.waiting: list[Packet] = []
        self.read = self.unreadable = self.shown = self.reordered = 0
        self.ended = self.damaged_end = False

    def ahead(self, number: int) -> None:
        """Read until so many packets are read, or none is left."""
        while self.read < number and not self.ended:
            before, failed = self._log.size, 0
            while not self._capture.grab():
                failed += 1
                if failed == LOOKAHEAD:
                    self.ended, self.damaged_end = True, self._log.size > before
                    return
            self.read += failed
            self.unreadable += failed
            time, time_ms = (self._capture.get(p) for p in (cv2.CAP_PROP_PTS, cv2.CAP_PROP_POS_MSEC))
            if time <= _NO_TIME:
                time, time_ms = self.read, self.read * self._frame_ms
            packet = Packet(time, self.read, time_ms)
            complaints = self._log.complaints(before)
            if failed or complaints:
                self._damage.append(self.read)
                self.breaks.append(self.read)
                self.complaints |= complaints
            if self._capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
                self.keys.append(packet)
                self._compare_sequence(time)
            self.reordered = max(self.reordered, sum(other.time > time for other in self.waiting))
            heappush(self.waiting, packet)
            self.read += 1

    def content(self) -> memoryview:
        """Return the bytes of the packet that was read last."""
        return self._capture.retrieve()[1].reshape(-1).data

    def _compare_sequence(self, time: float) -> None:
        found = self._sequence and self._sequence.search(self.content()[:8192])
        if found:
            self._first_sequence = self._first_sequence or found[1]
            if found[1] != self._first_sequence:
                self.changes_at = min(self.changes_at, time)

    def place_of(self, time: float) -> int:
        """Return how many packets come before the last one up to a time, in the order of time."""
        return self.shown + self.unreadable - 1 + sum(packet.time <= time for packet in self.waiting)

    def key_behind(self, place: int) -> float:
        """Return the time of the first frame behind a place that builds on no other; infinity without one."""
        while True:
            while self.keys and self.keys[0].place <= place:
                self.keys.popleft()
            if self.keys or self.ended:
                return self.keys[0].time if self.keys else math.inf
            self.ahead(self.read + LOOKAHEAD)

    def due(self, time: float) -> Iterator[tuple[int, Packet | None]]:
        """Yield the numbers and packets of the frames up to a time; None for one that the file lacks."""
        while self.waiting and self.waiting[0].time <= time:
            packet = heappop(self.waiting)
            self.shown += 1
            gap_ms = packet.time_ms - self._shown_ms
            if packet.time_ms < 0 or gap_ms == 0:
                continue  # cut away by an edit list, or the second field of a frame
            if self._frame_ms and self._near_damage(packet.place):
                for _ in range(min(round(gap_ms / self._frame_ms) - 1, 1000)):
                    yield self._count(), None
            self._shown_ms = packet.time_ms
            yield self._count(), packet

    def _near_damage(self, place: int) -> bool:
        while self._damage and self._damage[0] + self.reordered < place:
            self._damage.popleft()
        return bool(self._damage) and self._damage[0] - self.reordered <= place

    def _count(self) -> int:
        self.number += 1
        return self.number - 1


def open_video(path: str, *parameters: int) -> cv2.VideoCapture:
    """Open a video with OpenCV's FFmpeg."""
    return cv2.VideoCapture(path, cv2.CAP_FFMPEG, list(parameters))


def is_cut_off(path: Path) -> bool:
    """Return whether an AVI, MP4 or MOV is shorter than its headers declare; others do not declare it."""
    size, position = path.stat().st_size, 0
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] == b"RIFF":
            return int.from_bytes(head[4:], "little") + 8 > size
        if head[4:] not in ISO_BOXES:
            return False
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # the length comes behind the name
                length = int.from_bytes(head[8:], "big")
            position = position + max(8, length) if length else size
    return position > size
