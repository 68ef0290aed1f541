"""Are the suggestions of ``leuko label`` right, is the shift found, and are blurred cells marked?

``python -m benchmarks.label_suggestions [--seeds 900 901 902] [--frames 8] [--json]``

Each seed is simulated with the mixture of blood and with equal shares of the classes. Each frame's stain
is shifted by a known vector, and once exchanged for that of the frame before, which must be refused. Counted
are leukocytes that touch neither another particle nor the frame's edge (by the simulation's truth). A
suggestion is right, wrong or unsure.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.simulate import Optics, Scene, simulate_frame
from train.boxes import corners, match_boxes
from train.label.field import label_field
from train.label.focus import BLURRED, sharpness
from train.label.register import MismatchError, take_off
from train.label.suggest import NO_NUCLEUS, SUGGESTED, UNSURE

MIXES = {"blood": (60.0, 30.0, 10.0), "equal": (1.0, 1.0, 1.0)}
LARGEST_SHIFT_UM = 6.0
OFFSETS_UM = (-6.0, -3.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)


@dataclass
class Score:
    """Suggestions against truth over the frames of one mixture."""

    fields: int = 0
    refused: list[str] = field(default_factory=list)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    bare: Counter[bool] = field(default_factory=Counter)
    error_um: list[float] = field(default_factory=list)
    exchanged: Counter[bool] = field(default_factory=Counter)

    def summary(self) -> dict[str, object]:
        """Shares and errors."""
        cells = self.answers.total()
        unsure = sum(n for (_, answer), n in self.answers.items() if answer == UNSURE)
        right = sum(n for (truth, answer), n in self.answers.items() if truth == answer)
        return {
            "fields": self.fields,
            "refused": self.refused,
            "leukocytes": cells,
            "right": right / max(1, cells - unsure),
            "unsure": unsure / max(1, cells),
            "others_without_nucleus": self.bare[True] / max(1, self.bare.total()),
            "exchanged_refused": self.exchanged[True] / max(1, self.exchanged.total()),
            "shift_error_um_median": float(np.median(self.error_um or [np.nan])),
            "shift_error_um_max": max(self.error_um, default=float("nan")),
            "answers": {
                truth: {answer: self.answers[truth, answer] for answer in (*SUGGESTED, UNSURE)}
                for truth in SUGGESTED
            },
        }


def score(seeds: Sequence[int], frames: int, shares: Sequence[float]) -> Score:
    """Simulate, shift, label and compare."""
    scene = Scene(mix=tuple(zip(SUGGESTED, shares, strict=True)))
    pixel_um = Optics().pixel_um
    total = Score()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        before = None
        for index in range(frames):
            frame = simulate_frame(seed, index, scene=scene, fluorescence=True)
            assert frame.fluorescence is not None
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, LARGEST_SHIFT_UM) / pixel_um
            shift = np.rint([length * np.cos(angle), length * np.sin(angle)]).astype(int)
            moved = take_off(frame.fluorescence, -int(shift[0]), -int(shift[1]))
            if before is not None:
                total.exchanged[_is_refused(frame.image, before)] += 1
            before = moved
            try:
                found = label_field(frame.image, moved, pixel_um=pixel_um)
            except MismatchError as error:
                total.refused.append(f"seed {seed}, frame {index}: {error}")
                continue
            total.fields += 1
            measured = np.array([found.shift.x_px, found.shift.y_px])
            total.error_um.append(float(np.linalg.norm(measured - shift)) * pixel_um)
            boxes = corners(one.cell for one in found.cells)
            for k, j in match_boxes(boxes, corners(particle.cell for particle in frame.truth), 0.3):
                known, answer = frame.truth[j], found.cells[k].suggestion
                if known.cell.touching or known.cell.border:
                    continue
                if known.label in SUGGESTED:
                    total.answers[known.label, answer.label] += 1
                else:
                    total.bare[answer.reason == NO_NUCLEUS] += 1
    return total


def _is_refused(image: NDArray[np.uint8], fluorescence: NDArray[np.uint8]) -> bool:
    try:
        label_field(image, fluorescence, pixel_um=Optics().pixel_um)
    except MismatchError:
        return True
    return False


def blurred(seeds: Sequence[int]) -> dict[str, float]:
    """Return the share of leukocytes marked, one frame per seed, by µm that the focal plane is too high."""
    values: dict[float, list[float]] = {offset: [] for offset in OFFSETS_UM}
    for seed in seeds:
        for offset, found in values.items():
            scene = Scene(focus_um=(Scene().focus_um[0] + offset, 0.3), separate=True)
            frame = simulate_frame(seed, 0, scene=scene)
            for t in frame.truth:
                if t.label in SUGGESTED and not t.cell.border:
                    found.append(sharpness(frame.image, t.cell, Optics().pixel_um))
    in_focus = np.median(values[0.0])
    return {
        f"{offset:+g}": float(np.mean(np.array(found) < BLURRED * in_focus))
        for offset, found in values.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_suggestions", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[900, 901, 902])
    parser.add_argument("--frames", type=int, default=8, help="frames per seed and mixture")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    results = {name: score(options.seeds, options.frames, shares).summary() for name, shares in MIXES.items()}
    marked = blurred(options.seeds)
    if options.json:
        print(json.dumps({**results, "marked_by_defocus_um": marked}))
        return
    for name, result in results.items():
        print(f"{name} mixture")
        for key, value in result.items():
            if key == "answers":
                continue
            print(f"  {key:24} {value:.3f}" if isinstance(value, float) else f"  {key:24} {value}")
        answers = result["answers"]
        assert isinstance(answers, dict)
        print(f"  {'truth':12}" + "".join(f"{answer:>13}" for answer in (*SUGGESTED, UNSURE)))
        for truth, row in answers.items():
            print(f"  {truth:12}" + "".join(f"{n:13}" for n in row.values()))
    print("leukocytes marked as out of focus, by µm that the focal plane is too high")
    print("  " + "  ".join(f"{offset}: {share:.0%}" for offset, share in marked.items()))


if __name__ == "__main__":
    main()
