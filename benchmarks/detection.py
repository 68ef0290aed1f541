"""Which annotated cells does segmentation find, and which boxes does it invent?

``python -m benchmarks.detection FRAMES BOXES [--iou 0.3] [--json]``
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.base import Frame
from edge.capture import read_frames
from edge.find import DEFAULT_PIXEL_UM, segment
from train.boxes import corners, match_boxes, of_frames, read_boxes

DEVELOPMENT, VALIDATION = range(0, 456), range(461, 10_000)
"""Frame numbers on which the options were chosen, and those kept apart; neighbouring frames overlap."""


@dataclass
class Score:
    """Boxes found, boxes annotated and pairs of both."""

    found: int = 0
    annotated: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, object]:
        """Counts, precision, recall, F1 and the recall of each label."""
        pairs, annotated = self.matched.total(), self.annotated.total()
        return {
            "annotated": annotated,
            "found": self.found,
            "matched": pairs,
            "precision": _ratio(pairs, self.found),
            "recall": _ratio(pairs, annotated),
            "f1": _ratio(2 * pairs, self.found + annotated),
            "label_recall": {
                label: _ratio(self.matched[label], count) for label, count in sorted(self.annotated.items())
            },
        }


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else float("nan")


def block_of(name: str) -> str:
    """Block of a frame by the number in its name."""
    digits = re.findall(r"\d+", name)
    number = int(digits[-1]) if digits else -1
    return "development" if number in DEVELOPMENT else "validation" if number in VALIDATION else "between"


def score(frames: Path, boxes: Path, iou: float, pixel_um: float) -> dict[str, Score]:
    """Segment every readable frame and count, over all frames and by block."""
    truth = of_frames(read_boxes(boxes), [frames])
    scores: dict[str, Score] = defaultdict(Score)
    for frame in read_frames([frames]):
        if not isinstance(frame, Frame):
            raise SystemExit(f"{frame.name}: {frame.reason}")
        name = Path(frame.name).name
        found = segment(frame.image, pixel_um=pixel_um)
        annotated = truth.get(frame.name, [])
        labels = [box.label for box in annotated]
        pairs = match_boxes(corners(found), corners(box.cell for box in annotated), iou)
        for one in (scores["all"], scores[block_of(name)]):
            one.found += len(found)
            one.annotated.update(labels)
            one.matched.update(labels[k] for _, k in pairs)
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("frames", type=Path, help="folder of frames")
    parser.add_argument("boxes", type=Path, help="CSV that leuko crops reads")
    parser.add_argument("--iou", type=float, default=0.3)
    parser.add_argument("--pixel-um", type=float, default=DEFAULT_PIXEL_UM)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    scores = score(options.frames, options.boxes, options.iou, options.pixel_um)
    blocks = {name: one.summary() for name, one in scores.items()}
    if options.json:
        print(json.dumps({"iou": options.iou, "blocks": blocks}))
        return
    print(f"{'block':12} annotated found matched precision recall     F1  recall by label")
    for name, row in blocks.items():
        labels = row["label_recall"]
        assert isinstance(labels, dict)
        by_label = "  ".join(f"{label} {value:.3f}" for label, value in labels.items())
        print(
            f"{name:12} {row['annotated']:9} {row['found']:5} {row['matched']:7}"
            f" {row['precision']:9.3f} {row['recall']:6.3f} {row['f1']:6.3f}  {by_label}"
        )


if __name__ == "__main__":
    main()
