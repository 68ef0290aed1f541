"""The program that decodes one video in a process of its own: what kills or hangs FFmpeg ends no count.

``python -m edge.capture.video_decoder FILE`` writes records to standard output, each a `RECORD` and the bytes
that it announces. FFmpeg conceals damage, or admits it in its log only, so the log is watched; and a second
reading of the file, which decodes nothing, tells which frames there are.
"""

from __future__ import annotations

import math
import os
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from edge.capture.decode_image import is_padding
from edge.capture.grey import to_grey
from edge.capture.page import MAX_DECODER_BYTES
from edge.capture.video_packets import LOOKAHEAD, Log, Packets, is_cut_off, open_video
from edge.capture.video_records import RECORD, Kind, Record

_LOST = b"damaged: the frame cannot be decoded"
_DOUBTFUL = b"damaged: the frame, or one before it that it builds on"
_GAP = b"damaged: the file lacks the frame"
_CUT_OFF = b"truncated: the frame ends early"
_CHANGES = b"the size or pixel format of the video changes here: split it into a file of each"
_UNSTAMPED = b"damaged from here on: an AVI with B-frames does not say which frames follow"

_STATUS = Path("/proc/self/status")
_JPEG_SIZE = re.compile(rb"\xff[\xc0-\xc2]\x00[\x0b-\x14]\x08(..)(..)", re.DOTALL)  # frame header of 8 bits
_VIDEO_RANGE = b"CS=ITU601"  # a comment in a JPEG whose grey levels are 16 to 235
_FULL_RANGE = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
# these codecs give each frame as soon as they have its packet
_AT_ONCE = frozenset(
    {b"FFV1", b"ffv1", b"HFYU", b"FFVH", b"MPNG", b"MJPG", b"apch", b"apcn", b"apcs", b"ap4h"}
)


def records(path: str, log: Log) -> Iterator[Record]:
    """Yield the records of a video; only END if there is none in the file."""
    capture = open_video(path)
    width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    declared = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    opened = capture.isOpened()
    capture.release()
    number, damaged_end = 0, False
    if opened:
        yield Record(Kind.OPENED, declared, 0, width, height)
        if codec == b"MJPG" and _are_whole(path, width, height, log):
            packets = Packets(path, log)
            yield from _stored(packets, log)
        else:
            decoding = _Decoding(path, codec, log, threads=0)  # as many as there are cores
            yield from decoding.records()
            if decoding.doubtful:  # by one thread, whose log says what is damaged
                before, decoding = decoding.packets.number, _Decoding(path, codec, log, threads=1)
                yield from (record for record in decoding.records() if record.number >= before)
            packets = decoding.packets
        number, damaged_end = packets.number, packets.damaged_end
    yield Record(Kind.END, number, width=damaged_end)


def _are_whole(path: str, width: int, height: int, log: Log) -> bool:
    """Return whether the JPEGs of a video are pictures of its size, not fields of such."""
    packets = Packets(path, log)
    for number in range(1, 9):  # the first may be damaged
        packets.ahead(number)
        found = None if packets.ended else _JPEG_SIZE.search(packets.content())
        if found:
            return [int.from_bytes(side, "big") for side in found.groups()] == [height, width]
    return False


def _stored(packets: Packets, log: Log) -> Iterator[Record]:
    """Yield frames that are JPEGs, each decoded as a still image is."""
    while not packets.ended:
        packets.ahead(packets.read + 1)
        for number, packet in packets.due(math.inf):
            if packet is None:
                yield Record(Kind.DAMAGED, number, content=_GAP)
                continue
            stored, before, grey = bytes(packets.content()), log.size, None
            with suppress(cv2.error):  # over the limit of pixels
                data = np.frombuffer(stored, np.uint8)
                grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
            if grey is None or any(not is_padding(line, stored) for line in log.complaints(before)):
                ends = stored[-64:].rstrip(b"\0").endswith(b"\xff\xd9")
                yield Record(Kind.DAMAGED, number, content=_LOST if ends else _CUT_OFF)
            else:
                narrow = _VIDEO_RANGE in stored[:4096]
                yield _grey(cv2.LUT(grey, _FULL_RANGE) if narrow else grey, number, packet.time_ms)


class _Decoding:
    """Frames decoded by FFmpeg, each at its place in the file.

    Attributes
    ----------
    doubtful : bool
        Whether several threads have met damage: which frame is damaged only a single one can tell.
    """

    def __init__(self, path: str, codec: bytes, log: Log, threads: int) -> None:
        self.packets, self.doubtful = Packets(path, log, codec), False
        self._capture = open_video(path, *((cv2.CAP_PROP_N_THREADS, threads) if threads else ()))
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._log, self._alone, self._begun = log, threads == 1, log.size
        with Path(path).open("rb") as file:
            self._avi = file.read(4) == b"RIFF"
        self._cut_off = is_cut_off(Path(path))
        self._at_once = codec in _AT_ONCE
        self._measured: int | None = 0 if self._at_once else None
        self._clean_from, self._taken, self._unstamped = -math.inf, -1, False

    def records(self) -> Iterator[Record]:
        """Yield frames and what is lost."""
        packets = self.packets
        packets.ahead(LOOKAHEAD)
        if packets.changes_at < math.inf:  # so early that OpenCV may already have taken up the later size
            packets.changes_at = -math.inf
        while True:
            packets.ahead(self._taken + LOOKAHEAD)
            before = (
                self._log.size if self._alone else self._begun
            )  # other threads may have written meanwhile
            found = self._capture.grab()
            time = self._time(found)
            self._taken = max(self._taken + 1, packets.place_of(time) if found else 0)
            if found and not self._at_once:
                self._measure_delay()
            over = not found and packets.ended and self._taken >= packets.read
            if self._log.complaints(before) - packets.complaints or not (found or over):
                if not self._alone:
                    self.doubtful = True
                    return
                self._clean_from = packets.key_behind(self._taken + self._delay)
            while self._alone and packets.breaks and packets.breaks[0] <= self._taken + self._delay:
                self._clean_from = max(self._clean_from, packets.key_behind(packets.breaks.popleft() - 1))
            if self._unstamped and self._clean_from > -math.inf:
                yield Record(Kind.DAMAGED, packets.number, content=_UNSTAMPED)
                return
            yield from self._due(math.inf if over else time)
            if over:
                return

    def _time(self, found: bool) -> float:
        """Return the time stamp of the frame that was decoded; before all others if there is none."""
        packets, time = self.packets, self._capture.get(cv2.CAP_PROP_PTS)
        if not found:
            return -math.inf
        if self._avi and (time > self._taken + 1 or self._capture.get(cv2.CAP_PROP_FRAME_TYPE) == ord("B")):
            # packets of an AVI bear the time at which they are decoded, and so does the frame that comes then
            self._unstamped = True
        known = max((packet.time for packet in packets.waiting if packet.time <= time), default=None)
        if packets.waiting and (self._unstamped or known is None):
            return packets.waiting[0].time
        return time if known is None else known

    @property
    def _delay(self) -> int:
        return self.packets.reordered + 1 if self._measured is None else self._measured

    def _measure_delay(self) -> None:
        """Note how many packets the decoder has taken in besides those whose frames it has given."""
        packets = self.packets
        while packets.keys and packets.keys[0].place < self._taken - LOOKAHEAD:
            packets.keys.popleft()
        if self._capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):  # the packet that was taken in last
            delays = [key.place - self._taken for key in packets.keys]
            self._measured = max(
                (n for n in delays if 0 <= n <= packets.reordered + 1), default=self._measured
            )

    def _due(self, time: float) -> Iterator[Record]:
        packets = self.packets
        for number, packet in packets.due(time):
            if packet is None or packet.time != time:
                yield Record(Kind.DAMAGED, number, content=_LOST if packet else _GAP)
            elif packet.time < self._clean_from:
                yield Record(Kind.DAMAGED, number, content=_DOUBTFUL)
            elif self._cut_off and packets.ended and packet.place == packets.read - 1:
                yield Record(Kind.DAMAGED, number, content=_CUT_OFF)
            elif packet.time >= packets.changes_at:
                yield Record(Kind.DAMAGED, number, content=_CHANGES)
            else:
                grey = None
                with suppress(cv2.error):
                    found, image = self._capture.retrieve()
                    grey = to_grey(image) if found else None
                if grey is None:
                    yield Record(Kind.DAMAGED, number, content=_LOST)
                else:
                    yield _grey(grey, number, packet.time_ms)


def _grey(image: cv2.typing.MatLike, number: int, time_ms: float) -> Record:
    height, width = image.shape
    return Record(Kind.GREY, number, time_ms, width, height, image.reshape(-1).data)


def _end_with_parent() -> None:
    """End when the process that started this one does: its end of the pipe to standard input closes."""
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    """Write the records of the file that the command line names."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError, ValueError):  # a service may not be allowed either
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # when memory runs out, this process ends and not the count
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(OSError, ValueError):  # a decoder keeps frames at its file's request
        held = next(int(line.split()[1]) << 10 for line in _STATUS.open() if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (held + MAX_DECODER_BYTES,) * 2)
    output, log = os.dup(1), Log()
    os.dup2(2, 1)
    cv2.setNumThreads(1)
    for record in records(sys.argv[1], log):
        for part in (RECORD.pack(*record[:5], len(record.content)), record.content):
            left = memoryview(part)
            while left:
                left = left[os.write(output, left) :]


if __name__ == "__main__":
    main()
