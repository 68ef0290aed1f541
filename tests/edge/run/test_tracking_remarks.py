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
    """Separate fields, a scan and a flow."""
    root = tmp_path_factory.mktemp("samples")
    separate = (simulate_frame(11, k, scene=WIDE).image for k in range(6))
    scan = (one.image for one in moving_frames(5, Scan(3, 2, 0.3), scene=WIDE))
    flow = (one.image for one in islice(moving_frames(3, Flow(200.0), scene=WIDE), 8))
    named = {"separate": separate, "scan": scan, "flow": flow}
    return {name: written(root / name, images) for name, images in named.items()}


@pytest.mark.parametrize(
    ("sample", "each_once"), [("separate", "scan"), ("scan", "scan"), ("flow", "flow"), ("separate", None)]
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


@pytest.mark.parametrize(("sample", "each_once"), [("separate", "flow"), ("flow", "scan")])
def test_a_resumed_count_says_the_same(samples: dict[str, Path], sample: str, each_once: str) -> None:
    config = config_for(samples[sample], each_once=each_once, session=SessionConfig(keep=True))
    whole = counted(config)
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(4)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(whole)
