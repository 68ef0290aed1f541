"""Frames to counts: are annotated cells found, and classified as a person classified them?

``python -m benchmarks.whole_chain FRAMES... --boxes BOXES --bundle B [--rename WBC=leukocyte,...] [--json]``
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.base import FailedFrame
from edge.capture import read_frames
from edge.classify import Classifier
from edge.model import load_bundle
from edge.run import Analysis, count_frames
from train.boxes import corners, match_boxes, read_boxes


def chain(
    frames: Sequence[str], boxes: Path, bundle: str, rename: Mapping[str, str], iou: float
) -> dict[str, dict[str, float]]:
    """Score each label of the bundle: a pair counts when box and label both agree."""
    classifier = Classifier(load_bundle(bundle))
    manifest = classifier.bundle.manifest
    truth = read_boxes(boxes)
    found: Counter[str] = Counter()
    annotated: Counter[str] = Counter()
    right: Counter[str] = Counter()
    results = count_frames(
        read_frames(frames),
        classifier,
        Analysis(pixel_um=manifest.pixel_um, reject_below=manifest.reject_below),
    )
    for result in results:
        if isinstance(result, FailedFrame):
            raise SystemExit(f"{result.name}: {result.reason}")
        rows = truth.get(Path(result.frame.name).name, [])
        labels = [rename.get(box.label, box.label) for box in rows]
        pairs = match_boxes(corners(result.cells), corners(box.cell for box in rows), iou)
        found.update(decision.label for decision in result.decisions)
        annotated.update(labels)
        right.update(labels[j] for i, j in pairs if result.decisions[i].label == labels[j])
    return {
        label: {
            "annotated": annotated[label],
            "found": found[label],
            "right": right[label],
            "precision": right[label] / max(1, found[label]),
            "recall": right[label] / max(1, annotated[label]),
            "f1": 2 * right[label] / max(1, found[label] + annotated[label]),
            "count_error": (found[label] - annotated[label]) / max(1, annotated[label]),
        }
        for label in manifest.labels
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_chain", description=__doc__)
    parser.add_argument("frames", nargs="+", help="files, folders or globs")
    parser.add_argument("--boxes", type=Path, required=True, help="CSV that leuko crops reads")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--rename", default="", help="box label to bundle label, as WBC=leukocyte,RBC=...")
    parser.add_argument("--iou", type=float, default=0.3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rename = dict(pair.split("=") for pair in options.rename.split(",") if pair)
    scores = chain(options.frames, options.boxes, options.bundle, rename, options.iou)
    if options.json:
        print(json.dumps(scores))
        return
    print(f"{'label':14} annotated found right precision recall     F1 count error")
    for label, row in scores.items():
        print(
            f"{label:14} {row['annotated']:9} {row['found']:5} {row['right']:5} {row['precision']:9.3f}"
            f" {row['recall']:6.3f} {row['f1']:6.3f} {100 * row['count_error']:+9.1f} %"
        )


if __name__ == "__main__":
    main()
