"""The table of image formats: what is read, and what is refused, as files of other programs prove it.

``python -m tests.system.format_table FOLDER`` checks the files of `tests.system.image_files` and writes
docs/formats.md. ``--digest`` prints a digest of all pixels and reasons instead, to compare runs.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edge.base import FailedFrame, Frame
from edge.capture import Encoded, read_encoded
from tests.system.image_files import LOSSLESS, ImageFile, read_list

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
READ, REFUSED = "read", "refused"

Outcome = Mapping[tuple[str, str], set[str]]
"""Format and kind of pixels → whether such files are read, or refused."""


def decode_all(folder: Path, files: Iterable[ImageFile], threads: int) -> list[Frame | FailedFrame]:
    """Return what each file is read as, decoded by several threads."""
    encoded = [next(iter(read_encoded([folder / file.name]))) for file in files]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda one: one.decode() if isinstance(one, Encoded) else one, encoded))


def digest(frames: Iterable[Frame | FailedFrame]) -> str:
    """Return a digest of all pixels and reasons."""
    whole = hashlib.sha256()
    for frame in frames:
        whole.update(frame.reason.encode() if isinstance(frame, FailedFrame) else frame.image.tobytes())
    return whole.hexdigest()


def wrong_pixels(
    folder: Path, files: Iterable[ImageFile], frames: Iterable[Frame | FailedFrame]
) -> list[str]:
    """Return one line per file that is read as other than what it holds."""
    lines = []
    for file, frame in zip(files, frames, strict=True):
        if isinstance(frame, FailedFrame):
            continue
        where = f"{file.name}: {file.container}, {file.kind} ({file.how})"
        if not file.grey:
            lines.append(f"{where}: read, and it must be refused")
            continue
        grey = np.load(folder / file.grey)
        if frame.image.shape != grey.shape:
            lines.append(f"{where}: read as {frame.image.shape}")
            continue
        off = np.abs(frame.image - grey)
        # at the edge, decoders of lossy files differ in how they continue the colours
        off = (off if file.tolerance == LOSSLESS else off[:-1, :-1]).max()
        if off > file.tolerance:
            lines.append(f"{where}: a grey level is off by {off:.1f}")
    return lines


def outcomes(files: Iterable[ImageFile], frames: Iterable[Frame | FailedFrame]) -> Outcome:
    """Return what becomes of each format and kind of pixels; two outcomes say that the layout matters."""
    found = defaultdict(set)
    for file, frame in zip(files, frames, strict=True):
        found[file.container, file.kind].add(REFUSED if isinstance(frame, FailedFrame) else READ)
    return found


def page(found: Outcome) -> str:
    """Return docs/formats.md."""
    kinds = list(dict.fromkeys(kind for _, kind in found))
    formats = list(dict.fromkeys(container for container, _ in found))
    tiffs = [container for container in formats if container.startswith("TIFF")]
    others = [container for container in formats if container not in tiffs]
    some = [
        container for container in others if any(READ in found.get((container, kind), ()) for kind in kinds)
    ]
    none = [container for container in others if container not in some]
    return _TEXT.format(
        tiffs=_table(found, kinds, tiffs), others=_table(found, kinds, some), refused=", ".join(sorted(none))
    )


def cells(table: str) -> dict[tuple[str, str], str]:
    """Return a page's outcomes: format and kind of pixels → READ or REFUSED."""
    found: dict[tuple[str, str], str] = {}
    columns: list[str] = []
    for line in table.splitlines():
        words = [word.strip() for word in line.strip("| ").split("|")] if line.startswith("|") else []
        if words and words[0] == "pixels":
            columns = words[1:]
        elif words and not set(words[0]) <= set("-"):
            found |= {
                (column, words[0]): word
                for column, word in zip(columns, words[1:], strict=True)
                if word != "–"
            }
    return found


def _table(found: Outcome, kinds: Sequence[str], formats: Sequence[str]) -> str:
    rows = [["pixels", *formats], ["---"] * (len(formats) + 1)]
    for kind in kinds:
        row = [" and ".join(sorted(found.get((container, kind), ()))) or "–" for container in formats]
        if set(row) != {"–"}:
            rows.append([kind, *row])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_TEXT = """\
# Image formats

Each image is recognised by its content and checked before it is decoded: it is read exactly, or refused by
name, with what to save it as. `python -m tests.system.format_table` writes these tables from files that
tifffile, Pillow, imagecodecs, ImageMagick and ffmpeg wrote in every layout that they have: strips and tiles,
both byte orders, BigTIFF, planar and interleaved samples, with and without a predictor, progressive and
interlaced. `–`: no program wrote such a file.

A JPEG has no checksum. Of those whose data lost or changed several bytes, nine in ten are refused, and so are
most in which a changed bit greys or shifts the picture; one that alters a single block, or the brightness, is
not noticed.

## TIFF

{tiffs}

Also read: OME-TIFF, ImageJ stacks, MetaMorph STK and Zeiss LSM; see [Counting](count.md).

## Others

{others}

Refused by name: {refused}. Save such images as PNG or TIFF.
"""


def main(folder: Path, *, only_digest: bool) -> int:
    """Check the files, and write the page."""
    files = list(read_list(folder))
    frames = decode_all(folder, files, 1)
    if only_digest:
        print(digest(frames))
        return 0
    lines = wrong_pixels(folder, files, frames)
    for threads in (2, 4):
        if digest(decode_all(folder, files, threads)) != digest(frames):
            lines.append(f"{threads} threads read other pixels than one")
    print("\n".join([*lines, f"{len(files)} files, {len(lines)} wrong"]))
    PAGE.write_text(page(outcomes(files, frames)))
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), only_digest="--digest" in sys.argv))
