"""Frames to counts: are annotated cells found, and classified as the majority of their readers did?

``python -m benchmarks.whole_chain FRAMES... --boxes BOXES --bundle B [--rename WBC=leukocyte,...] [--json]``

BOXES with the columns reader1, reader2, … beside label hold several readings of each cell. The truth is then
the label that most readers give; a cell for which none leads counts neither way. A second score needs no
finding: the accuracy on crops around the boxes that all readers call the same. Intervals are the bootstrap's
over frames.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame
from edge.capture import read_frames
from edge.classify import Classifier
from edge.find import crop_cells
from edge.model import load_bundle
from edge.run import Analysis, count_frames
from train.bootstrap import group_interval
from train.boxes import corners, match_boxes, of_frames, read_boxes
from train.readings import majority, readings
from train.table import Box

RIGHT, FOUND, ANNOTATED = range(3)


@dataclass
class Chain:
    """Scores of a bundle, frame by frame."""

    classifier: Classifier
    truth: Mapping[str, Sequence[Box]]
    iou: float
    labels: list[NDArray[np.int64]] = field(default_factory=list)
    """Per frame, int64 [labels, 3]: cells found and called right, called so, annotated so."""
    unanimous: list[tuple[int, int]] = field(default_factory=list)
    """Per frame: right answers to crops on which all readers agree, and such crops."""

    def run(self, frames: Sequence[str]) -> None:
        """Count frames and score every cell."""
        manifest = self.classifier.bundle.manifest
        analysis = Analysis(pixel_um=manifest.pixel_um, reject_below=manifest.reject_below)
        for result in count_frames(self._answered(read_frames(frames)), self.classifier, analysis):
            if isinstance(result, FailedFrame):
                raise SystemExit(f"{result.name}: {result.reason}")
            boxes = self.truth.get(result.frame.name, [])
            held = [majority(readings(box).values()) for box in boxes]
            given = [decision.label for decision in result.decisions]
            part = np.zeros((len(manifest.labels), 3), np.int64)
            for i, j in match_boxes(corners(result.cells), corners(box.cell for box in boxes), self.iou):
                if held[j] is None:
                    given[i] = ""  # neither right nor wrong
                elif given[i] == held[j]:
                    part[manifest.labels.index(given[i]), RIGHT] += 1
            for k, label in enumerate(manifest.labels):
                part[k, FOUND], part[k, ANNOTATED] = given.count(label), held.count(label)
            self.labels.append(part)

    def _answered(self, frames: Iterator[Frame | FailedFrame]) -> Iterator[Frame | FailedFrame]:
        """Pass frames on, and classify the crops around their boxes on which all readers agree."""
        classifier = Classifier(self.classifier.bundle)  # frames are read in a thread of their own
        labels, side = classifier.bundle.manifest.labels, classifier.bundle.manifest.crop_px
        for frame in frames:
            if isinstance(frame, Frame):
                read = [(box, [*readings(box).values()]) for box in self.truth.get(frame.name, [])]
                agreed = [(box, names[0]) for box, names in read if len(names) > 1 and len({*names}) == 1]
                crops = crop_cells(frame.image, [box.cell for box, _ in agreed], size_px=side, scale=1.0)
                answers = classifier.probabilities(crops).argmax(axis=1) if agreed else []
                right = sum(labels[k] == name for k, (_, name) in zip(answers, agreed, strict=True))
                self.unanimous.append((right, len(agreed)))
            yield frame

    def summary(self) -> dict[str, Any]:
        """Return the scores of each label, and the accuracy on unanimous crops; None without any."""
        parts, sums = np.array(self.labels), np.sum(self.labels, axis=0)
        return {
            "labels": {
                label: _label_scores(parts[:, k], *sums[k].tolist())
                for k, label in enumerate(self.classifier.bundle.manifest.labels)
            },
            "unanimous": _accuracy(np.array(self.unanimous)),
            "frames": len(parts),
        }


def _label_scores(parts: NDArray[np.int64], right: int, found: int, annotated: int) -> dict[str, Any]:
    return {
        "annotated": annotated,
        "found": found,
        "right": right,
        "precision": right / max(1, found),
        "recall": right / max(1, annotated),
        "f1": 2 * right / max(1, found + annotated),
        "f1_interval": group_interval(
            parts, lambda sums: 2 * sums[:, RIGHT] / np.maximum(1, sums[:, FOUND] + sums[:, ANNOTATED])
        ),
        "count_error": (found - annotated) / max(1, annotated),
    }


def _accuracy(parts: NDArray[np.int64]) -> dict[str, Any] | None:
    right, cells = parts.sum(axis=0).tolist()
    if not cells:
        return None
    interval = group_interval(parts, lambda sums: sums[:, 0] / np.maximum(1, sums[:, 1]))
    return {"cells": cells, "right": right, "accuracy": right / cells, "interval": interval}


def _with(interval: tuple[float, float] | None) -> str:
    return f"({interval[0]:.3f}–{interval[1]:.3f})" if interval else ""


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
    truth = of_frames(read_boxes(options.boxes, rename), options.frames)
    chain = Chain(Classifier(load_bundle(options.bundle)), truth, options.iou)
    chain.run(options.frames)
    found = chain.summary()
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'label':14} annotated found right precision recall  F1 (95 %)            count error")
    for label, row in found["labels"].items():
        print(
            f"{label:14} {row['annotated']:9} {row['found']:5} {row['right']:5} {row['precision']:9.3f}"
            f" {row['recall']:6.3f}  {row['f1']:.3f} {_with(row['f1_interval']):15}"
            f" {100 * row['count_error']:+8.1f} %"
        )
    if agreed := found["unanimous"]:
        print(
            f"unanimous boxes: {agreed['right']} of {agreed['cells']} crops right,"
            f" accuracy {agreed['accuracy']:.3f} {_with(agreed['interval'])}"
        )


if __name__ == "__main__":
    main()
