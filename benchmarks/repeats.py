"""Does ``leuko count`` tell a field that is shown again from another one?

``python -m benchmarks.repeats FRAMES [--pixel-um 0.125] [--copied 12] [--json]``

Every frame of a folder of different fields is compared with every other one: none may be called a repeat.
Then some frames are copied (JPEG, sensor noise, another brightness, a drift): each copy must be. The two
correlations are those that `edge.track.fields` compares with its limits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame
from edge.capture import read_frames
from edge.find import Fingerprint, fingerprint, reduced, segment
from edge.track import Fields, correlation

Image = NDArray[np.uint8]


def known_by(image: Image, pixel_um: float) -> Fingerprint:
    """Return a frame's fingerprint, as the pipeline makes it."""
    work, work_um = reduced(image, pixel_um)
    return fingerprint(work, work_um, segment(image, pixel_um=pixel_um, work=work), pixel_um)


def jpeg(image: Image, quality: int) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


def again(image: Image, *, noise: float = 0, light: float = 1, drift: tuple[int, int] = (0, 0)) -> Image:
    """Return another exposure of the same field."""
    rng = np.random.default_rng(image.size)
    moved = np.roll(image, drift, axis=(0, 1)) * light + rng.normal(0, noise, image.shape)
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Image], Image]] = {
    "saved again": lambda image: image.copy(),
    "JPEG 95": lambda image: jpeg(image, 95),
    "JPEG 75": lambda image: jpeg(image, 75),
    "JPEG 60": lambda image: jpeg(image, 60),
    "noise of 2 levels": lambda image: again(image, noise=2),
    "noise of 4 levels": lambda image: again(image, noise=4),
    "10 % darker": lambda image: again(image, light=0.9),
    "drift of 2 px": lambda image: again(image, drift=(2, -2)),
    "all three": lambda image: again(image, noise=2, light=1.05, drift=(1, -2)),
}


def is_repeat(before: Fingerprint, now: Fingerprint) -> bool:
    """Return whether a count that has seen one frame calls the other a repeat."""
    fields = Fields()
    fields.add("before", before)
    return fields.shown_before(now) is not None


def measure(before: Fingerprint, now: Fingerprint) -> tuple[float, float]:
    """Return the correlations of texture and of grey; 0 for frames without cells or of another size."""
    if before.texture.shape != now.texture.shape or not now.texture.size:
        return 0.0, 0.0
    return correlation(before.texture, now.texture), correlation(before.grey, now.grey)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repeats", description=__doc__)
    parser.add_argument("frames", type=Path, help="folder of different fields")
    parser.add_argument("--pixel-um", type=float, default=0.125)
    parser.add_argument("--copied", type=int, default=12, help="frames that are copied")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    images: list[Image] = []
    shown: list[Fingerprint] = []
    every = max(1, len(list(options.frames.iterdir())) // options.copied)
    for number, frame in enumerate(read_frames([options.frames])):
        if isinstance(frame, FailedFrame):
            continue
        shown.append(known_by(frame.image, options.pixel_um))
        if number % every == 0 and len(shown[-1].places):
            images.append(frame.image)
    different = [(*measure(*pair), is_repeat(*pair)) for pair in combinations(shown, 2)]
    rows = {"different": different}
    for kind, copy in COPIES.items():
        pairs = [(known_by(one, options.pixel_um), known_by(copy(one), options.pixel_um)) for one in images]
        rows[kind] = [(*measure(*pair), is_repeat(*pair)) for pair in pairs]
    found = {
        kind: {
            "pairs": len(values),
            "repeats": sum(repeat for _, _, repeat in values),
            "texture": (max if kind == "different" else min)((value[0] for value in values), default=0.0),
            "grey": (max if kind == "different" else min)((value[1] for value in values), default=0.0),
        }
        for kind, values in rows.items()
    }
    if options.json:
        print(json.dumps(found))
        return
    print("highest correlations of different fields, lowest of copies")
    print("kind                  pairs  called repeats  texture  grey")
    for kind, one in found.items():
        print(f"{kind:20} {one['pairs']:6} {one['repeats']:15} {one['texture']:8.3f} {one['grey']:5.3f}")


if __name__ == "__main__":
    main()
