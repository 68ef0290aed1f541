"""Simulated frames that belong together: one particle in several frames, where stage or flow put it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.cli.simulate import simulate as command
from edge.simulate.motion import Flow, Scan, moving_frames
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene, SimulatedFrame
from edge.simulate.write import simulate

SMALL = Scene(width_px=640, height_px=480, leukocytes=9, erythrocytes=5, debris=3)
PIXEL_UM = Optics().pixel_um


def whole_places(frame: SimulatedFrame) -> dict[int, tuple[int, int]]:
    """Upper left corner of every particle that no edge cuts."""
    return {
        t.particle: (t.cell.x, t.cell.y) for t in frame.truth if t.particle is not None and not t.cell.border
    }


def ways(frames: Sequence[SimulatedFrame], first: int, second: int) -> set[tuple[int, int]]:
    """How far the particles that two frames show whole lie apart in them."""
    before, now = whole_places(frames[first]), whole_places(frames[second])
    return {(now[k][0] - before[k][0], now[k][1] - before[k][1]) for k in before.keys() & now.keys()}


def test_a_scan_is_a_serpentine_over_one_slide() -> None:
    scan = Scan(3, 2, overlap=0.5, jitter_um=0)
    frames = list(moving_frames(3, scan, scene=SMALL))
    assert len(frames) == scan.frames == 6
    assert ways(frames, 0, 1) == ways(frames, 1, 2) == {(-320, 0)}
    assert ways(frames, 2, 3) == {(0, -240)}
    assert ways(frames, 3, 4) == {(320, 0)}
    assert ways(frames, 0, 5) == {(0, -240)}
    labels: dict[int | None, str] = {}
    assert all(labels.setdefault(t.particle, t.label) == t.label for f in frames for t in f.truth)
    for frame in frames:
        assert len({t.particle for t in frame.truth}) == len(frame.truth)
        assert set(np.unique(frame.labels)) == set(range(len(frame.truth) + 1))


def test_the_stage_jitters_and_the_picture_moves_with_it() -> None:
    # the lamp and its dust stay
    scene = replace(SMALL, focus_um=(6.6, 0.0), falloff=0.0, dust=0)
    frames = list(moving_frames(1, Scan(3, 1, overlap=0.5, jitter_um=4), scene=scene))
    for k in (0, 1):
        ((x, y),) = ways(frames, k, k + 1)
        assert (x, y) != (-320, 0)
        assert max(abs(x + 320), abs(y)) <= 6 * 4 / PIXEL_UM
        before, now = (
            cv2.GaussianBlur(frame.image, (0, 0), 2).astype(float) for frame in (frames[k], frames[k + 1])
        )
        top = max(-y, 0), max(y, 0)
        high, wide = 480 - abs(y), 640 + x
        first = before[top[0] : top[0] + high, -x:]
        second = now[top[1] : top[1] + high, :wide]
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


def test_cells_flow_each_at_its_own_speed() -> None:
    flow = Flow(100.0, fps=10)
    frames = list(islice(moving_frames(2, flow, scene=SMALL), 12))
    steps: dict[int, list[int]] = {}
    for before, now in pairwise(frames):
        there, here = whole_places(before), whole_places(now)
        for particle in there.keys() & here.keys():
            steps.setdefault(particle, []).append(here[particle][0] - there[particle][0])
    assert all(max(way) - min(way) <= 1 for way in steps.values())
    speeds = np.array([np.mean(way) for way in steps.values()]) * PIXEL_UM * flow.fps
    assert len(speeds) > 15
    assert speeds.mean() == pytest.approx(100, rel=0.1)
    assert 3 < speeds.std() < 20
    # who was not in the first frame came in at the left
    known = {t.particle for t in frames[0].truth}
    for frame in frames[1:]:
        for t in frame.truth:
            if t.particle not in known and t.label != "debris":
                assert t.cell.x < 130 / PIXEL_UM / flow.fps
        known |= {t.particle for t in frame.truth}


def test_more_frames_leave_the_first_unchanged() -> None:
    again = [list(islice(moving_frames(4, Flow(300.0), scene=SMALL), n)) for n in (2, 4)]
    for one, other in zip(*again, strict=False):
        assert one.truth == other.truth
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Scan, {"columns": 0, "rows": 1}),
        (Scan, {"columns": 1, "rows": 1, "overlap": 1.0}),
        (Scan, {"columns": 1, "rows": 1, "jitter_um": float("nan")}),
        (Flow, {"speed_um_s": 0.0}),
        (Flow, {"speed_um_s": 1.0, "spread": 0.5}),
        (Flow, {"speed_um_s": 1.0, "fps": float("inf")}),
    ],
)
def test_impossible_motions_are_refused(kind: type[Scan | Flow], wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        kind(**wrong)  # type: ignore[arg-type]


def test_the_written_truth_names_the_particles(tmp_path: Path) -> None:
    written = list(simulate(tmp_path, frames=3, seed=1, motion=Flow(80.0, fps=4), scene=SMALL))
    with (tmp_path / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    frames = list(islice(moving_frames(1, Flow(80.0, fps=4), scene=SMALL), 3))
    said = [(row["frame"], row["label"], int(row["particle"])) for row in rows]
    assert said == [
        (p.name, t.label, t.particle) for p, f in zip(written, frames, strict=True) for t in f.truth
    ]
    times = [path.stat().st_mtime for path in written]
    assert np.diff(times) == pytest.approx([0.25, 0.25], abs=1e-3)
    said_of_it = json.loads((tmp_path / "simulation.json").read_text())
    assert said_of_it["flow"] == {"speed_um_s": 80.0, "spread": 0.1, "fps": 4}


def test_the_command_scans(tmp_path: Path) -> None:
    few = ["--cells-per-frame", "1", "--erythrocytes", "0", "--debris", "0"]
    arguments = [str(tmp_path), "--scan", "2x1", "--overlap", "0.4", *few, "--json"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["frames"] == 2
    assert json.loads((tmp_path / "simulation.json").read_text())["scan"]["overlap"] == 0.4
    assert len(list((tmp_path / "frames").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "pass --frames"),
        (["--flow-um-s", "100"], "pass --frames"),
        (["--scan", "2x2", "--flow-um-s", "100"], "exclude each other"),
        (["--scan", "4"], "not COLUMNSxROWS"),
        (["--scan", "0x4"], "not COLUMNSxROWS"),
        (["--scan", "4x31"], "from 1 to 30"),
        (["--scan", "2x2", "--overlap", "0.95"], "range"),
        (["--frames", "2", "--overlap", "0.3"], "belongs to --scan"),
        (["--frames", "2", "--fps", "3"], "belongs to --flow-um-s"),
        (["--frames", "2", "--flow-um-s", "0"], "range"),
        (["--frames", "2", "--flow-um-s", "nan"], "not a finite number"),
    ],
)
def test_incompatible_options_are_usage_errors(tmp_path: Path, arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "new"), *arguments])
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_shortened_scan_is_reported(tmp_path: Path) -> None:
    few = ["--cells-per-frame", "1", "--erythrocytes", "0", "--debris", "0"]
    result = CliRunner().invoke(command, [str(tmp_path / "part"), "--scan", "2x2", "--frames", "1", *few])
    assert result.exit_code == 0
    assert result.stderr == "simulated frames: 1 of the scan's 4, seed: 0\n"
    whole = CliRunner().invoke(command, [str(tmp_path / "whole"), "--scan", "2x1", *few])
    assert whole.stderr == "simulated frames: 2, seed: 0\n"


def test_more_frames_than_fields_are_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path), "--scan", "2x1", "--frames", "3"])
    assert result.exit_code == 1
    assert "the scan has 2 fields, not 3" in result.stderr
