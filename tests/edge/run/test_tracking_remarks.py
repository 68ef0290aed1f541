"""A count whose cells are tracked in another way than they move says so, and states no number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.count_options import SessionConfig
from edge.run.sessions import resume
from edge.session.names import unfinished_sessions
from edge.simulate.frame import simulate_frame
from edge.simulate.motion import Flow, Scan, moving_frames
from tests.edge.run.test_count_run import SCENE, Recorder, comparable, config_for, counted
from tests.edge.run.test_repeats import dies_after

WIDE = replace(SCENE, width_px=1000, height_px=800, leukocytes=14, erythrocytes=6)


def written(folder: Path, images: Iterable[NDArray[np.uint8]]) -> Path:
    folder.mkdir()
    for k, image in enumerate(images):
        cv2.imwrite(str(folder / f"{k}.png"), image)
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Separate fields, a scan, flows, and a scan whose second row is turned by 8 degrees."""
    root = tmp_path_factory.mktemp("samples")
    separate = (simulate_frame(11, k, scene=WIDE).image for k in range(6))
    scan = (one.image for one in moving_frames(5, Scan(3, 2, 0.3), scene=WIDE))
    flow = (one.image for one in islice(moving_frames(3, Flow(200.0), scene=WIDE), 8))
    slow = (one.image for one in islice(moving_frames(32, Flow(5.0), scene=WIDE), 6))
    rows = list(moving_frames(6, Scan(2, 2, 0.5), scene=WIDE))
    turned = (turned_by(8 if k >= 2 else 0, one.image) for k, one in enumerate(rows))
    named = {"separate": separate, "scan": scan, "flow": flow, "slow": slow, "turned": turned}
    return {name: written(root / name, images) for name, images in named.items()}


def turned_by(degrees: float, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned, np.uint8)


@pytest.mark.parametrize(
    ("sample", "each_once"),
    [("separate", "scan"), ("scan", "scan"), ("slow", "scan"), ("flow", "flow"), ("separate", None)],
)
def test_what_is_tracked_as_it_moves_leaves_no_remark(
    samples: dict[str, Path], sample: str, each_once: str | None
) -> None:
    run = counted(config_for(samples[sample], each_once=each_once))
    assert (run.remarks, run.unusable) == ((), "")


@pytest.mark.parametrize(
    ("sample", "each_once", "says", "remedy"),
    [
        ("separate", "flow", "contradict the one before", "leave it out for separate fields"),
        ("scan", "flow", "contradict the one before", "--each-once scan for fields that overlap"),
        ("flow", "scan", "have not moved with the others", "--each-once flow for cells that flow by"),
    ],
)
def test_what_moves_in_another_way_has_no_number(
    samples: dict[str, Path], sample: str, each_once: str, says: str, remedy: str
) -> None:
    run = counted(config_for(samples[sample], each_once=each_once))
    (remark,) = (one for one in run.remarks if says in one)
    assert remedy in remark
    assert f"(--each-once {each_once})" in run.unusable


def test_a_scan_that_turned_a_little_is_remarked(samples: dict[str, Path]) -> None:
    """The tracker joins cells within a row, and none of the other row: those are counted again."""
    config = config_for(samples["turned"], each_once="scan", session=SessionConfig(keep=True))
    run = counted(config)
    (remark,) = (one for one in run.remarks if "cells of an earlier frame" in one)
    assert f"of the {run.tally.cells} cells in the table" in remark
    assert "tracking did not recognise them" in remark
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(3)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(run)


@pytest.fixture(scope="module")
def paused(samples: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flow, which stood still for five frames after the fourth."""
    folder = tmp_path_factory.mktemp("paused")
    frames = [samples["flow"] / f"{k}.png" for k in (0, 1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 6, 7)]
    for k, frame in enumerate(frames):
        (folder / f"{k:02}.png").write_bytes(frame.read_bytes())
    return folder


@pytest.mark.parametrize("frames", [None, 4, 6, 9])
def test_a_flow_that_stood_still_is_counted_as_if_it_had_not(
    samples: dict[str, Path], paused: Path, frames: int | None
) -> None:
    steady = counted(config_for(samples["flow"], each_once="flow"))
    config = config_for(paused, each_once="flow", session=SessionConfig(keep=True))
    if frames is None:
        run = counted(config)
    else:
        with pytest.raises(RuntimeError, match="killed"):
            counted(config, Recorder(dies_after(frames)))
        (path,) = unfinished_sessions()
        resumed = resume(path)
        run = counted(resumed.config, session=resumed.session)
    assert run.tally.counts == steady.tally.counts
    (remark,) = run.remarks
    assert remark.startswith("5 frames show the field of another frame again")
    assert "the flow stood still" in remark
    assert "move to a new field" not in remark


@pytest.mark.parametrize("order", [(0, 4, 1, 7, 2, 6, 3, 5), (0, 3, 6, 1, 4, 7, 2, 5)])
def test_a_flow_out_of_order_has_no_number(
    samples: dict[str, Path], tmp_path: Path, order: tuple[int, ...]
) -> None:
    for k, number in enumerate(order):
        (tmp_path / f"{k}.png").write_bytes((samples["flow"] / f"{number}.png").read_bytes())
    run = counted(config_for(tmp_path, each_once="flow"))
    assert "out of order" in run.unusable
    assert any("in the order in which they were taken" in one for one in run.remarks)


@pytest.mark.parametrize(("sample", "each_once"), [("separate", "flow"), ("flow", "scan")])
def test_a_resumed_count_says_the_same(samples: dict[str, Path], sample: str, each_once: str) -> None:
    config = config_for(samples[sample], each_once=each_once, session=SessionConfig(keep=True))
    whole = counted(config)
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(4)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(whole)
