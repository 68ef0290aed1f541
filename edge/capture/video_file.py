"""Video files, each decoded in a process of its own: if that crashes or hangs, it costs its file only."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edge.base import FailedFrame, Frame, python_environment, python_words
from edge.capture.avi_index import empty_frames
from edge.capture.foreign import format_name
from edge.capture.page import MAX_VIDEO_INFLATION, ImageFileError, check_damaged, check_size
from edge.capture.video_packets import ISO_BOXES
from edge.capture.video_records import RECORD, Kind, Record

HANGS_S = 15.0
"""Longest wait for the decoder."""

PIPE_BYTES = 1 << 20
"""What the pipe from the decoder holds: the most that an unprivileged process may ask for."""

MOST_EMPTY = 100
"""Empty frames of an AVI for each whole one: each is listed, and they take no room in the file."""

_LEUKOS_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_ADVICE = "convert it, as with: ffmpeg -i FILE -c:v ffv1 NEW.mkv"


def is_video(file: BinaryIO) -> bool:
    """Recognise AVI (RIFF), Matroska (EBML) and MP4/MOV (ISO base media) by their first bytes."""
    head = file.read(12)
    file.seek(0)
    return (
        (head[:4] == b"RIFF" and head[8:] == b"AVI ")
        or head[:4] == b"\x1a\x45\xdf\xa3"
        or (head[4:8] in ISO_BOXES and not format_name(head))  # not AVIF
    )


def read_video(
    path: Path, name: str, time_ns: int, max_megapixels: float, *, hangs_s: float = HANGS_S
) -> Iterator[Frame | FailedFrame]:
    """Yield the frames of a video, named ``name#0`` …, all with index 0; `time_ns` is that of the first.

    Frames that are damaged, or lost, are failures at their place; the others keep their numbers.

    Raises
    ------
    ImageFileError
        If no frame can be decoded, the decoder crashes or hangs, or the video is over the limit or truncated.
    """
    declared, whole, damaged, lost, pixels = 0, 0, 0, list[FailedFrame](), 0
    most = 1e6 * max_megapixels + MAX_VIDEO_INFLATION * (path.stat().st_size if path.exists() else 0)
    with closing(_Decoder(path, max_megapixels, hangs_s)) as decoder:
        while (record := decoder.next()).kind != Kind.END:
            item = _item(record, f"{name}#{record.number}", time_ns)
            if item is None:
                declared = record.number
                continue
            pixels += record.width * record.height
            if pixels > most:
                raise ImageFileError(
                    f"the video has more than {MAX_VIDEO_INFLATION:,} pixels per byte of the file, and is "
                    f"not read beyond frame {record.number}: {_ADVICE}"
                )
            if isinstance(item, Frame):
                whole += 1
            else:
                damaged += 1
                check_damaged(damaged, whole, "of its frames")
            if isinstance(item, Frame) or whole:
                yield from lost
                lost.clear()
                yield item
            else:
                lost.append(item)  # if no frame is whole, one line says so
    if not whole:
        other = {item.reason for item in lost if not item.reason.startswith("damaged")}
        raise ImageFileError("; ".join(other) or "truncated, damaged, or of a kind that cannot be decoded")
    # a container counts its frames, or estimates them from its duration: one in a hundred is tolerated
    tolerated = 0 if record.width else 1 + declared / 100
    if declared - record.number > tolerated:
        empty = empty_frames(path)
        if declared - record.number - len(empty) > tolerated:
            raise ImageFileError(
                f"the video ends after {record.number} of its {declared} frames: copy it again, or {_ADVICE}"
            )
        if len(empty) > MOST_EMPTY * max(1, record.number):
            raise ImageFileError(
                f"its index lists {len(empty):,} empty frames, {record.number:,} are whole: {_ADVICE}"
            )
        for number in empty:
            yield FailedFrame(
                f"{name}#empty{number}", 0, "an empty frame, shows the one before again", "repeat"
            )


def _item(record: Record, name: str, start_ns: int) -> Frame | FailedFrame | None:
    if record.kind == Kind.OPENED:
        return None
    if record.kind == Kind.DAMAGED:
        return FailedFrame(name, 0, bytes(record.content).decode())
    image = np.frombuffer(record.content, np.uint8).reshape(record.height, record.width)
    return Frame(image, name, 0, start_ns + round(record.time_ms * 1e6))


class _Decoder:
    """`edge.capture.video_decoder` at work on one file."""

    def __init__(self, path: Path, max_megapixels: float, hangs_s: float) -> None:
        inherited = python_environment().items()
        environment = {name: value for name, value in inherited if not name.startswith("OPENCV_")} | {
            "OPENCV_LOG_LEVEL": "SILENT",
            "OPENCV_FFMPEG_LOGLEVEL": "16",  # errors
            "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file",
            "OPENCV_IO_MAX_IMAGE_PIXELS": str(max(1, int(max_megapixels * 1e6))),
        }
        # a signal to leuko, or to all of a service, is leuko's to answer: it still counts the frames in hand
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEUKOS_SIGNALS)
        try:
            self._child = subprocess.Popen(
                python_words("edge.capture.video_decoder", os.path.abspath(path)),  # noqa: PTH100
                bufsize=0,
                stdin=subprocess.PIPE,  # never written to: its end tells the child that leuko has ended
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._pipes = (self._child.stdin, self._child.stdout)
        self._output, self._hangs_s, self._frames = self._child.stdout.fileno(), hangs_s, 0
        self._max_megapixels = max_megapixels
        with suppress(OSError):  # the memory that one user may take for pipes is limited
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)

    def next(self) -> Record:
        """Return the next record.

        Raises
        ------
        ImageFileError
            If it is of a frame over the limit, or the decoder has ended or hangs.
        """
        kind, number, time_ms, width, height, length = RECORD.unpack(self._read(RECORD.size))
        if kind in (Kind.OPENED, Kind.GREY):
            check_size(width, height, self._max_megapixels)
        self._frames += kind == Kind.GREY
        return Record(Kind(kind), number, time_ms, width, height, self._read(length))

    def close(self) -> None:
        """End the process."""
        self._child.kill()
        for pipe in self._pipes:
            pipe.close()
        with suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk does not even end
            self._child.wait(1)

    def _read(self, length: int) -> memoryview:
        buffer = left = np.empty(length, np.uint8).data  # not filled before, as a bytearray is
        while left:
            if not self._poll.poll(self._hangs_s * 1000):
                raise ImageFileError(
                    f"its decoder hangs{self._where()} (no answer for {self._hangs_s:g} s): {_ADVICE}"
                )
            read = os.readv(self._output, [left])
            if not read:
                raise ImageFileError(f"its decoder {self._end()}{self._where()}: {_ADVICE}")
            left = left[read:]
        return buffer

    def _where(self) -> str:
        return f" after {self._frames} frames" if self._frames else ""

    def _end(self) -> str:
        """Return how the process ended."""
        code = self._child.wait()
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL), as when memory runs out,"
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else "failed"
