"""A count in which the same field comes again, nothing can be seen, or fields overlap; also when resumed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.count_options import SessionConfig
from edge.base.frame import FailedFrame, Frame
from edge.calibration.file import write_calibration
from edge.capture.camera import CameraSettings
from edge.count.intervals import estimate_proportion
from edge.count.stop_rule import StopRule
from edge.report import words
from edge.report.files import result_summary
from edge.run import count_run
from edge.run.config import FROM_CALIBRATION, CameraConfig, CountConfig
from edge.run.sessions import resume
from edge.session.names import path_of, sessions_folder, unfinished_sessions
from edge.session.store import read_session
from edge.simulate.frame import simulate_frame
from edge.simulate.motion import Scan, moving_frames
from tests.edge.run.test_count_run import CALIBRATION, SCENE, Recorder, comparable, config_for, counted

Image = NDArray[np.uint8]


def field(number: int) -> Image:
    return simulate_frame(3, number, scene=SCENE).image


def again(image: Image, seed: int) -> Image:
    """Another exposure of a field."""
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Three fields; one is there as a copy, as a JPEG, as a TIFF of 16 bits and as another exposure."""
    folder = tmp_path / "sample"
    folder.mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / f"{k}.png"), field(k))
    (folder / "3.png").write_bytes((folder / "1.png").read_bytes())
    cv2.imwrite(str(folder / "4.jpg"), field(1), [cv2.IMWRITE_JPEG_QUALITY, 70])
    cv2.imwrite(str(folder / "5.tif"), field(1).astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "6.png"), again(field(1), 6))
    cv2.imwrite(str(folder / "7.bmp"), field(0))
    return folder


def only(folder: Path, *names: str) -> tuple[str, ...]:
    return tuple(str(folder / name) for name in names)


def test_a_field_that_is_there_again_is_listed_and_not_counted(sample: Path, tmp_path: Path) -> None:
    once = counted(replace(config_for(sample), sources=only(sample, "0.png", "1.png", "2.png")))
    run = counted(config_for(sample), out=tmp_path / "report")
    assert run.tally.counts == once.tally.counts
    assert run.identifier == once.identifier
    assert run.tally.frames_read == 3
    assert [(Path(one.name).name, one.kind) for one in run.tally.failed] == [
        (name, "repeat") for name in ("3.png", "4.jpg", "5.tif", "6.png", "7.bmp")
    ]
    assert run.tally.failed[-1].reason.endswith("0.png again")
    assert words.frames(run.tally) == "3 read, 5 repeat another"
    (remark,) = run.remarks
    assert remark.startswith("5 frames show the field of another frame again and are not counted")
    assert "--count-repeats" in remark
    assert remark in (tmp_path / "report" / "report.html").read_text().replace("&amp;", "&")


def test_repeats_are_counted_if_asked_for(sample: Path) -> None:
    run = counted(config_for(sample, count_repeats=True))
    assert run.tally.frames_read == 8
    assert run.tally.failed == ()


def test_a_cell_limit_is_not_reached_by_one_field(tmp_path: Path) -> None:
    for k in range(12):
        cv2.imwrite(str(tmp_path / f"{k:02}.png"), again(field(0), k))
    cells = counted(replace(config_for(tmp_path), sources=only(tmp_path, "00.png"))).tally.leukocytes
    run = counted(config_for(tmp_path, stop_rule=StopRule(until_cells=3 * cells)))
    assert (run.tally.leukocytes, run.ended, len(run.tally.failed)) == (cells, "", 11)


@pytest.mark.parametrize("frames", [1, 3, 4, 6])
def test_a_resumed_count_knows_the_fields_before(sample: Path, tmp_path: Path, frames: int) -> None:
    keep = SessionConfig(keep=True)
    whole = counted(config_for(sample, session=keep))
    # a count that dies, rather than one that is stopped: its session stays unfinished
    with pytest.raises(RuntimeError, match="killed"):
        counted(config_for(sample, session=keep), Recorder(dies_after(frames)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    run = counted(resumed.config, session=resumed.session)
    assert comparable(run) == comparable(whole)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_sharper_frame_of_a_focus_series_is_named(tmp_path: Path, frames: int) -> None:
    for k, sigma in enumerate((4.0, 2.0, 0.0, 4.0)):
        image = cv2.GaussianBlur(field(0), (0, 0), sigma) if sigma else field(0)
        cv2.imwrite(str(tmp_path / f"z{k}.png"), image)
    config = config_for(tmp_path, session=SessionConfig(keep=True))
    whole = counted(config)
    assert [one.reason.rpartition(" ")[2] for one in whole.tally.failed] == ["sharper", "sharper", "again"]
    assert any("2 of them are sharper than the frame that is counted" in one for one in whole.remarks)
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(frames)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(whole)


def dies_after(frames: int) -> Any:
    def die(done: int) -> None:
        if done == frames:
            raise RuntimeError("killed")

    return die


def test_frames_that_show_nothing_take_no_part(tmp_path: Path) -> None:
    good, all_of_them = tmp_path / "good", tmp_path / "all"
    for folder in (good, all_of_them):
        folder.mkdir()
        for k in range(2):
            cv2.imwrite(str(folder / f"{k}.png"), field(k))
    cv2.imwrite(str(all_of_them / "2.png"), np.zeros((616, 820), np.uint8))
    cv2.imwrite(str(all_of_them / "3.png"), np.full((616, 820), 255, np.uint8))
    run, expected = counted(config_for(all_of_them)), counted(config_for(good))
    assert run.identifier == expected.identifier
    assert [one.kind for one in run.tally.failed] == ["unseen", "unseen"]
    assert run.remarks == (
        "2 frames show nothing (1 black, 1 white) and are part neither of the count nor of its volume:"
        " check the lamp, the shutter, the exposure and the focus",
    )


def test_overlap_is_remarked_with_the_option_unless_that_is_given(tmp_path: Path) -> None:
    scene = replace(SCENE, width_px=1000, height_px=800, leukocytes=14, separate=True)
    for k, simulated in enumerate(moving_frames(5, Scan(3, 1, 0.5), scene=scene)):
        cv2.imwrite(str(tmp_path / f"{k}.png"), simulated.image)
    plain = counted(config_for(tmp_path))
    (remark,) = plain.remarks
    assert "are cells of an earlier frame, counted again: pass --each-once scan" in remark
    assert counted(config_for(tmp_path, each_once="scan")).remarks == ()
    cv2.imwrite(str(tmp_path / "3.png"), cv2.imread(str(tmp_path / "2.png"), cv2.IMREAD_GRAYSCALE))
    (remark,) = counted(config_for(tmp_path, each_once="scan")).remarks
    assert remark.startswith("1 frame shows the field of another one again")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Two fields, and both again: turned, mirrored, and at another size."""
    folder = tmp_path / "copies"
    folder.mkdir()
    for k in range(2):
        cv2.imwrite(str(folder / f"{k}.png"), field(k))
    cv2.imwrite(str(folder / "2.png"), np.rot90(field(0)))
    cv2.imwrite(str(folder / "3.jpg"), field(1)[:, ::-1])
    cv2.imwrite(
        str(folder / "4.png"), cv2.resize(field(1), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    )
    return folder


@pytest.mark.parametrize("each_once", [None, "scan"])
def test_copies_that_were_turned_or_resized_are_not_counted(copies: Path, each_once: str | None) -> None:
    config = config_for(copies, each_once=each_once, session=SessionConfig(keep=True))
    once = counted(replace(config, sources=only(copies, "0.png", "1.png")))
    run = counted(config)
    assert run.tally.counts == once.tally.counts
    ways = [one.reason.rpartition(" again")[2] for one in run.tally.failed]
    assert ways == [", turned", ", mirrored", ", at another size"]
    (remark,) = run.remarks
    assert "2 turned or mirrored and 1 of another size of them" in remark
    assert "as the camera took it" in remark
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(3)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(run)


def test_repeats_that_are_counted_all_the_same_count_once_in_intervals(sample: Path) -> None:
    """Field 0 is there twice, field 1 five times: Kish's design effect, and no cells/µL."""
    calibration = sample.parent / "calibration.toml"
    write_calibration(calibration, CALIBRATION)
    config = config_for(
        sample,
        calibration=str(calibration),
        pixel_from=FROM_CALIBRATION,
        count_repeats=True,
        session=SessionConfig(keep=True),
    )
    recorder = Recorder()
    run = counted(config, recorder)
    n0, n1, n2 = (len(frame.cells) for frame in recorder.frames[:3])
    times = (4 * n0 + 25 * n1 + n2) / (2 * n0 + 5 * n1 + n2)
    assert max(run.tally.dispersion.values()) >= 0.95 * times
    for label, share in run.tally.fractions.items():
        plain = estimate_proportion(run.tally.counts[label], run.tally.leukocytes)
        wide = estimate_proportion(run.tally.counts[label], run.tally.leukocytes, 0.95 * times)
        assert share.high - share.low >= wide.high - wide.low > 1.3 * (plain.high - plain.low)
    assert run.concentrations == {}
    assert run.no_concentration.startswith("no cells/µL: cells are counted more than once")
    assert any("counted again" in one and "cells that are counted once" in one for one in run.remarks)
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(5)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(run)


@pytest.fixture
def passes(tmp_path: Path) -> Path:
    """Three fields in two passes, of which the second is shifted; neighbouring frames share nothing."""
    folder = tmp_path / "passes"
    folder.mkdir()
    scene = replace(SCENE, width_px=1000, height_px=800, leukocytes=14, separate=True)
    fields = [simulate_frame(4, k, scene=scene).image for k in range(3)]
    for k, image in enumerate(fields):
        cv2.imwrite(str(folder / f"{k}.png"), image[:700, :880])
        cv2.imwrite(str(folder / f"{k + 3}.png"), image[100:, 120:])
    return folder


def test_fields_that_come_again_later_are_remarked(passes: Path) -> None:
    config = config_for(passes, session=SessionConfig(keep=True))
    run = counted(config)
    (remark,) = run.remarks
    assert "are cells of an earlier frame, counted again: pass --each-once scan" in remark
    assert "leave out copies and parts of other frames" in remark
    with pytest.raises(RuntimeError, match="killed"):
        counted(config, Recorder(dies_after(4)))
    (path,) = unfinished_sessions()
    resumed = resume(path)
    assert comparable(counted(resumed.config, session=resumed.session)) == comparable(run)
    assert counted(config_for(passes, each_once="scan")).remarks == ()


def test_the_share_of_cells_seen_again_is_one_of_the_table(passes: Path) -> None:
    """Each field is there twice, the second time turned by 2 degrees: half of the cells are copies."""
    for k in range(3):
        image = cv2.imread(str(passes / f"{k}.png"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        height, width = image.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2, 1)
        turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(passes / f"{k + 3}.png"), turned)
    run = counted(config_for(passes))
    (remark,) = run.remarks
    found = re.match(r"about (\d+) of the (\d+) cells in the table \((\d+) %\)", remark)
    assert found is not None
    again, cells, percent = map(int, found.groups())
    assert cells == run.tally.cells
    assert 0.4 * cells < again <= 0.55 * cells
    assert percent == round(100 * again / cells)


def test_turned_fields_are_remarked_where_cells_are_tracked(passes: Path) -> None:
    image = cv2.imread(str(passes / "3.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    cv2.imwrite(str(passes / "3.png"), np.rot90(image))
    (remark,) = (one for one in counted(config_for(passes, each_once="scan")).remarks if "size" not in one)
    assert "1 frame shows them turned or mirrored, which tracking does not recognise" in remark


class StillCamera:
    """A device over fields that are each shown for some frames."""

    name, paced = "v4l2:0", True

    def __init__(self, frames: list[Image]) -> None:
        self._frames: Iterator[Image] = iter(frames)

    def settle(self, timeout_s: float) -> CameraSettings:
        return CameraSettings()

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        raise AssertionError

    def grab(self, timeout_s: float) -> Frame | None:
        image = next(self._frames, None)
        return None if image is None else Frame(image, "", 0, 0)

    def close(self) -> None:
        pass


def live(monkeypatch: pytest.MonkeyPatch, frames: list[Image], **changes: Any) -> CountConfig:
    monkeypatch.setattr(count_run, "open_camera", lambda *args, **options: StillCamera(frames))
    camera = CameraConfig(name="v4l2:0", when_behind="wait")
    config = config_for(Path("v4l2:0"), camera=camera, session=SessionConfig(keep=True), **changes)
    return replace(config, sources=("v4l2:0",))


def test_a_device_waits_for_the_next_field(monkeypatch: pytest.MonkeyPatch) -> None:
    black = np.zeros((616, 820), np.uint8)
    frames = [again(field(0), k) for k in range(10)] + [black] * 5 + [again(field(1), k) for k in range(4)]
    recorder = Recorder()
    run = counted(live(monkeypatch, frames), recorder)
    assert run.tally.frames_read == 2
    assert run.tally.left_out == {"repeat": 12, "unseen": 5}
    assert words.frames(run.tally) == "2 read, 5 show nothing, 12 repeat another"
    # the observer sees every frame, the list and the session only the first of each kind
    assert len(recorder.results) == len(frames)
    shown = [one for one in recorder.results if isinstance(one, FailedFrame) and one.kind == "repeat"]
    assert all(one.reason.endswith("again: move the stage") for one in shown)
    assert [(one.index, one.kind) for one in run.tally.failed] == [
        (1, "repeat"),
        (10, "unseen"),
        (16, "repeat"),
    ]
    assert result_summary(run)["frames"]["unlisted"] == {"repeat": 10 - 1 - 1 + 2, "unseen": 4}
    with read_session(path_of(run.session, sessions_folder())) as stored:
        assert [record.index for record in stored.frames()] == [0, 1, 10, 15, 16]
        assert stored.finished is not None
        assert stored.finished.result is not None
        remarks = stored.finished.result["remarks"]
    assert any(one.startswith("12 frames show the field") for one in remarks)


def test_a_still_stage_is_ended_by_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [again(field(0), k) for k in range(3)]
    config = live(monkeypatch, frames, stop_rule=StopRule(until_seconds=1.5, until_cells=1000))

    class Endless(StillCamera):
        def grab(self, timeout_s: float) -> Frame | None:
            return Frame(frames[0], "", 0, 0)

    monkeypatch.setattr(count_run, "open_camera", lambda *args, **options: Endless([]))
    run = counted(config)
    assert (run.ended, run.tally.frames_read) == ("1.5 s asked for", 1)
    assert len(run.tally.failed) <= 1
