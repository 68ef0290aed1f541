"""What files state of themselves decides a count, or is remarked: pixel size, channels, focal planes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from edge.base.frame import Frame
from edge.calibration.file import write_calibration
from edge.calibration.flat_field import estimate_illumination, write_flat_field
from edge.count.result import CountResult
from edge.run.config import FROM_CALIBRATION, CameraConfig
from edge.run.count_run import run_count
from edge.run.instrument import Instrument, camera_calibration
from edge.run.pixel_size import FROM_BUNDLE, choose_pixel
from edge.run.remarks import opening_remarks
from edge.run.sessions import ResumedSession, header_of, resume
from edge.session.writer import create_session
from edge.simulate.frame import simulate_frame
from tests.edge.run.test_count_run import (
    CALIBRATION,
    NOW,
    PIXEL,
    PIXEL_UM,
    SCENE,
    Recorder,
    comparable,
    config_for,
    counted,
)

STATED_UM = 0.2
"""Of the frames after `reduced`."""


def reduced(index: int) -> NDArray[np.uint8]:
    image = simulate_frame(3, index, scene=SCENE).image
    factor = PIXEL_UM / STATED_UM
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def write_ome(path: Path, image: NDArray[np.uint8], um: float | None, down_um: float | None = None) -> None:
    sizes = {} if um is None else {"PhysicalSizeX": um, "PhysicalSizeY": down_um or um}
    tifffile.imwrite(path, image, ome=True, photometric="minisblack", metadata={"axes": "YX", **sizes})


@pytest.fixture(scope="module")
def stating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames whose files state another pixel than the bundle's."""
    folder = tmp_path_factory.mktemp("stating")
    for k in range(4):
        write_ome(folder / f"{k}.ome.tif", reduced(k), STATED_UM)
    return folder


def leuko(*words: str | Path) -> Any:
    command = [sys.executable, "-m", "edge.cli", "count", "--bundle", "phantom3", "--json", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def chosen(folder: Path, given: float | None = None, calibration: Path | None = None) -> tuple[float, str]:
    instrument = Instrument.load("phantom3", None if calibration is None else str(calibration))
    return choose_pixel(given, instrument, [str(folder)])


def test_the_option_comes_before_calibration_files_and_bundle(stating: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, replace(CALIBRATION, pixel=replace(PIXEL, pixel_um=0.13)))
    assert chosen(stating, 0.3, path) == (0.3, "from --pixel-um")
    assert chosen(stating, None, path) == (0.13, FROM_CALIBRATION)
    assert chosen(stating) == (STATED_UM, "from the files (OME-XML)")
    assert chosen(Path(f"watch:{stating}")) == (STATED_UM, "from the files (OME-XML)")
    assert chosen(tmp_path) == chosen(Path("simulate")) == (0.125, FROM_BUNDLE)


def test_files_that_do_not_agree_leave_the_bundles_pixel(stating: Path, tmp_path: Path) -> None:
    for k in range(2):
        write_ome(tmp_path / f"{k}.tif", reduced(k), STATED_UM)
    write_ome(tmp_path / "silent.tif", reduced(3), None)
    assert chosen(tmp_path) == (0.125, FROM_BUNDLE)
    write_ome(tmp_path / "silent.tif", reduced(3), 0.201)
    assert chosen(tmp_path)[0] == STATED_UM
    write_ome(tmp_path / "silent.tif", reduced(3), 0.21)
    assert chosen(tmp_path) == (0.125, FROM_BUNDLE)
    write_ome(tmp_path / "silent.tif", reduced(3), STATED_UM, 2 * STATED_UM)
    assert chosen(tmp_path) == (0.125, FROM_BUNDLE)


def test_a_command_states_the_files_pixel_and_counts_with_it(stating: Path, tmp_path: Path) -> None:
    found = leuko(stating, "--out", tmp_path / "out")
    assert found["pixel"] == {"um": STATED_UM, "from": "from the files (OME-XML)"}
    assert found["parameters"]["pixel_um"] == STATED_UM
    assert not any("state another pixel" in remark for remark in found["remarks"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "0.2 µm, from the files (OME-XML)" in page
    given = leuko(stating, "--pixel-um", str(STATED_UM))
    assert given["pixel"]["from"] == "from --pixel-um"
    assert (given["counts"], given["identifier"]) == (found["counts"], found["identifier"])


def remarks(folder: Path, **changes: Any) -> tuple[str, ...]:
    return tuple(remark for remark in counted(config_for(folder, **changes)).remarks if " state " in remark)


def test_files_that_contradict_the_pixel_are_remarked_with_both_numbers(
    stating: Path, tmp_path: Path
) -> None:
    assert remarks(stating, pixel_um=STATED_UM) == remarks(stating, pixel_um=STATED_UM * 1.04) == ()
    assert remarks(stating, pixel_um=0.125) == (
        "the images state another pixel than the 0.125 µm that is used (from --pixel-um): 0.2 µm (OME-XML) "
        "in 4 of 4; if the files are right, pass --pixel-um 0.2",
    )
    for k, um in enumerate((0.125, 0.2, 0.2)):
        write_ome(tmp_path / f"{k}.tif", reduced(k), um)
    (remark,) = remarks(tmp_path, pixel_from=FROM_BUNDLE)
    assert "0.2 µm (OME-XML) in 2 of 3; count the images of each magnification by themselves" in remark
    watched = {"sources": (f"watch:{tmp_path}",), "camera": CameraConfig(name=f"watch:{tmp_path}")}
    limit = replace(config_for(tmp_path).stop_rule, until_seconds=6)
    assert remarks(tmp_path, pixel_from=FROM_BUNDLE, stop_rule=limit, **watched) == (remark,)
    write_ome(tmp_path / "3.tif", reduced(3), 0.2, 0.4)
    assert "0.2 × 0.4 µm (OME-XML) in 1 of 4" in remarks(tmp_path, pixel_from=FROM_BUNDLE)[0]


def interrupted(
    folder: Path, sessions: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any]
) -> CountResult:
    """Count two frames, lose the rest, and resume."""
    config = config_for(folder, **changes)
    begun = create_session(header_of(config, Instrument.load("phantom3", None)), sessions)
    stop, carried = threading.Event(), ResumedSession(begun, config)
    monkeypatch.setattr(carried, "finish", lambda result: None)  # as if it were killed
    counted(config, Recorder(lambda frames: stop.set() if frames == 2 else None), session=carried, stop=stop)
    return run_count(resume(begun.path), stop=threading.Event(), observer=Recorder())


def test_a_resumed_count_keeps_its_pixel_and_remarks_the_same(
    stating: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"pixel_um": 0.125, "pixel_from": FROM_BUNDLE}
    run = interrupted(stating, tmp_path / "sessions", monkeypatch, changes)
    assert comparable(run) == comparable(counted(config_for(stating, **changes)))
    for words in ("0.2 µm (OME-XML) in 4 of 4", "cells just above: it may cut through the cells"):
        assert any(words in remark for remark in run.remarks)
    assert run.pixel_from == FROM_BUNDLE


def test_a_stack_counts_once_and_says_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field in two channels at three focal planes, at three times, is three fields."""
    names = {"Channel": {"Name": ["DAPI", "BF"]}}
    plain, stacks = tmp_path / "plain", tmp_path / "stacks"
    plain.mkdir()
    stacks.mkdir()
    for k in range(3):
        sharp = simulate_frame(3, k, scene=SCENE).image
        blurred = [cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (3, 2)]
        planes = [[255 - plane, plane] for plane in (blurred[0], sharp, blurred[1])]
        tifffile.imwrite(
            stacks / f"{k}.ome.tif", np.array(planes), ome=True, metadata={"axes": "ZCYX", **names}
        )
        cv2.imwrite(str(plain / f"{k}.png"), sharp)
    run, expected = counted(config_for(stacks)), counted(config_for(plain))
    assert (run.tally.counts, run.tally.frames_read) == (expected.tally.counts, 3)
    assert run.remarks == (
        *expected.remarks,
        "of 2 channels of each field (DAPI, BF) only BF is counted; --channel chooses another",
        "the sharpest of 3 focal planes (Z) of each field is counted; --z chooses another",
    )
    assert comparable(interrupted(stacks, tmp_path / "sessions", monkeypatch, {})) == comparable(run)
    for option in (("--channel", "DAPI"), ("--z", "1")):
        other = leuko(stacks, *option)
        assert other["counts"] != run.tally.counts
        assert other["identifier"] != run.identifier


def test_frames_of_another_size_are_remarked_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(3):
        image = simulate_frame(3, k, scene=SCENE).image
        cv2.imwrite(str(tmp_path / f"{k}.png"), image[:400, :500] if k == 1 else image)
    run = counted(config_for(tmp_path))
    (remark,) = [remark for remark in run.remarks if "size" in remark]
    assert remark.startswith("frames differ in size: 2 of 820 x 616 px, 1 of 500 x 400; ")
    assert comparable(interrupted(tmp_path, tmp_path / "sessions", monkeypatch, {})) == comparable(run)


@pytest.mark.parametrize(
    ("side", "pixel_um", "tiny"), [(8, 0.125, True), (400, 0.125, False), (400, 0.02, True)]
)
def test_frames_without_room_for_a_cell_are_remarked(
    tmp_path: Path, side: int, pixel_um: float, tiny: bool
) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), simulate_frame(3, 0, scene=SCENE).image[:side, :side])
    found = [
        remark for remark in counted(config_for(tmp_path, pixel_um=pixel_um)).remarks if "too small" in remark
    ]
    assert bool(found) == tiny
    if tiny:
        assert f"{side} x {side} px are {side * pixel_um:.3g} x {side * pixel_um:.3g} µm" in found[0]


def test_the_simulated_camera_never_takes_the_devices_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path))
    own = tmp_path / "calibration.toml"
    write_calibration(own, CALIBRATION)
    assert camera_calibration(None, "picamera2") == camera_calibration(None, "v4l2:0") == str(own)
    assert camera_calibration(None, "simulate") is camera_calibration(None, "simulate:7") is None
    assert camera_calibration("other.toml", "simulate") == "other.toml"


@pytest.mark.parametrize(
    ("made_with", "camera", "remarked"),
    [
        ("picamera2", "v4l2:0", True),
        ("picamera2", "picamera2:0", False),
        ("picamera2", "watch:frames", False),
        ("picamera2", None, False),
        ("", "v4l2:0", False),
    ],
)
def test_a_calibration_of_another_camera_is_remarked(
    tmp_path: Path, made_with: str, camera: str | None, remarked: bool
) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, replace(CALIBRATION, pixel=replace(PIXEL, camera=made_with)))
    config = config_for(tmp_path, calibration=str(path))
    config = replace(config, camera=CameraConfig(name=camera) if camera else None)
    found = opening_remarks(config, Instrument.load("phantom3", str(path)))
    assert [remark for remark in found if "made with" in remark] == (
        [
            f"calibration {path} was made with camera picamera2, and this count's is v4l2: calibrate it "
            "(leuko calibrate), or name its own --calibration"
        ]
        if remarked
        else []
    )


def test_pixel_and_flat_field_of_different_frames_are_refused(stating: Path, tmp_path: Path) -> None:
    levels = [Frame(np.full((480, 640), 150 + k, np.uint8), str(k), k, 0) for k in range(5)]
    section = write_flat_field(tmp_path, estimate_illumination(levels), NOW)
    write_calibration(tmp_path / "c.toml", replace(CALIBRATION, flat_field=section))
    config = config_for(stating, calibration=str(tmp_path / "c.toml"), pixel_from=FROM_CALIBRATION)
    with pytest.raises(ValueError, match="is for frames of 820 x 616 px, and its flat field for 640 x 480"):
        counted(config)


def test_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for k, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "f.png"), simulate_frame(3, k, scene=SCENE).image)
    found = leuko(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    with (tmp_path / "out" / "cells.csv").open(newline="") as file:
        frames = Counter(row["frame"] for row in csv.DictReader(file))
    assert frames.total() == found["cells"]
    assert list(frames) == [str(tmp_path / folder / "f.png") for folder in ("a", "b")]
    assert len(list((tmp_path / "out" / "annotated").iterdir())) == 2


def test_channels_in_files_of_their_own_are_remarked(tmp_path: Path) -> None:
    """Nothing in the files says that they show one field: only a person knows."""
    for k in range(2):
        for name in ("BF", "DAPI"):
            cv2.imwrite(str(tmp_path / f"{k}_{name}.png"), np.full((200, 200), 150 + k, np.uint8))
    found = opening_remarks(config_for(tmp_path), Instrument.load("phantom3", None))
    assert [remark[:50] for remark in found if "channels" in remark] == [
        "files differ in BF, DAPI alone, and each was count"
    ]
    files = tuple(str(tmp_path / f"{k}_BF.png") for k in range(2))
    alone = replace(config_for(tmp_path), sources=(f"{tmp_path}/*_BF.png",), files=files)
    assert not any("channels" in one for one in opening_remarks(alone, Instrument.load("phantom3", None)))
