"""A whole count: with a calibration, with quality limits, each cell once, and resumed."""

from __future__ import annotations

import csv
import json
import resource
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.exceptions import Exit
from numpy.typing import NDArray

from edge.base.count_options import SessionConfig
from edge.base.frame import FailedFrame, Frame
from edge.calibration.file import Calibration, PixelCalibration, VolumeCalibration, write_calibration
from edge.calibration.flat_field import estimate_illumination, read_flat_field_gain, write_flat_field
from edge.calibration.volume import field_volume
from edge.capture.camera import CameraError
from edge.cli.screen import Screen
from edge.count.concentration import estimate_concentration, in_field
from edge.count.counted_frame import CountedFrame
from edge.count.dispersion import of_concentration
from edge.count.result import LEUKOCYTES, CountResult
from edge.count.stop_rule import StopRule, after_stopping, halfwidth
from edge.count.totals import Totals
from edge.find.quality import QualityLimits
from edge.find.segmentation import Gates
from edge.model.bundle import load_bundle, locate_bundle, write_bundle
from edge.report.files import result_summary
from edge.run.config import FROM_CALIBRATION, Analysis, CameraConfig, CountConfig
from edge.run.count_run import run_count
from edge.run.instrument import Instrument
from edge.run.pixel_size import FROM_OPTION
from edge.run.same_files import file_names
from edge.run.sessions import Count, ResumedSession, SessionSink, begin, config_of, header_of, resume
from edge.run.sinks import ReportSink
from edge.session.files import SessionError
from edge.session.names import list_sessions
from edge.session.store import read_session
from edge.session.writer import create_session
from edge.simulate.frame import simulate_frame
from edge.simulate.motion import Scan, moving_frames
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PIXEL_UM = Optics().pixel_um
SCENE = Scene(width_px=820, height_px=616, leukocytes=8, erythrocytes=2, debris=0)
PIXEL = PixelCalibration(PIXEL_UM, PIXEL_UM / 100, 820, 616, "simulated", NOW)
CALIBRATION = Calibration(PIXEL, None, VolumeCalibration(20.0, 0.4, 10.0, NOW))


class Recorder:
    """An observer that remembers, and may do something after a frame."""

    def __init__(self, then: Callable[[int], None] = lambda frames: None) -> None:
        self.results: list[CountedFrame | FailedFrame] = []
        self.remarks: list[str] = []
        self._then = then

    def on_start(self, seconds: float) -> None:
        assert not self.results
        assert seconds >= 0

    def on_warning(self, words: str) -> None:
        assert not self.results
        self.remarks.append(words)

    def on_wait(self, words: str) -> None:
        """Not needed."""

    def on_session(self, session: str) -> None:
        assert not self.results

    def on_frame(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        self.results.append(result)
        self._then(len(self.results))

    @property
    def frames(self) -> list[CountedFrame]:
        return [result for result in self.results if isinstance(result, CountedFrame)]


def config_for(folder: Path, **changes: Any) -> CountConfig:
    analysis = Analysis(pixel_um=PIXEL_UM, reject_below=0.5)
    analysis = replace(analysis, **{name: changes.pop(name) for name in vars(analysis) if name in changes})
    config = CountConfig(
        sources=(str(folder),),
        folder=str(Path.cwd()),
        files=None if "camera" in changes else file_names((str(folder),)),
        bundle="phantom3",
        pixel_from="from --pixel-um",
        analysis=analysis,
    )
    return replace(config, **changes)


def counted(
    config: CountConfig,
    recorder: Recorder | None = None,
    *,
    session: SessionSink | None = None,
    out: Path | None = None,
    stop: threading.Event | None = None,
    threads: int | None = None,
) -> CountResult:
    instrument = Instrument.load(config.bundle, config.calibration)
    each_once = config.analysis.each_once is not None
    manifest = instrument.bundle.manifest
    reports = [ReportSink(out, manifest, replace=False, each_once=each_once)] if out else []
    return run_count(
        Count(config, instrument, session) if session else begin(config, instrument),
        stop=stop or threading.Event(),
        observer=recorder or Recorder(),
        sinks=reports,
        threads=threads,
    )


def comparable(run: CountResult) -> dict[str, Any]:
    summary = result_summary(run)
    del summary["quality"]["measures"]["late_ms"]
    return {name: value for name, value in summary.items() if name not in ("seconds", "finished", "session")}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for k in range(5):
        cv2.imwrite(str(folder / f"{k}.png"), simulate_frame(3, k, scene=SCENE).image)
    return folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Overlapping fields, and how many particles that leave nothing to doubt they show."""
    folder = tmp_path_factory.mktemp("scan")
    scene = replace(SCENE, width_px=1000, height_px=800, leukocytes=12, separate=True)
    recorder = set()
    for k, simulated in enumerate(moving_frames(5, Scan(3, 2, 0.4), scene=scene)):
        cv2.imwrite(str(folder / f"{k}.png"), simulated.image)
        recorder |= {t.particle for t in simulated.truth if not t.cell.border}
    return folder, len(recorder)


@pytest.fixture
def of_before(tmp_path: Path) -> str:
    """A bundle that does not say what it misses: its cells/µL are of named cells."""
    bundle, path = load_bundle("phantom3"), tmp_path / "before.tflite"
    described = replace(bundle.manifest, answers=None)
    write_bundle(path, described, bundle.flatbuffer, bundle.golden_crops, bundle.golden_outputs)
    return str(path)


def test_cells_per_ul_are_corrected_for_what_the_bundle_is_known_to_miss(
    frames: Path, of_before: str, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, CALIBRATION)
    config = config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION)
    named, known = counted(replace(config, bundle=of_before)), counted(config)
    assert (named.corrected.misses, known.corrected.misses) == (False, True)
    for label in (*known.manifest.counted, LEUKOCYTES):
        plain, corrected = named.concentrations[label], known.concentrations[label]
        assert plain.value is not None
        assert corrected.value is not None
        assert corrected.value == pytest.approx(plain.value, rel=0.1)
    every, corrected = named.concentrations[LEUKOCYTES], known.concentrations[LEUKOCYTES]
    assert (corrected.value or 0) > (every.value or 0)
    assert corrected.high > every.high
    unusual = replace(config, analysis=replace(config.analysis, gates=Gates(min_diameter_um=7)))
    assert not counted(unusual).corrected.misses


def test_a_calibration_gives_the_pixel_and_the_concentration(
    frames: Path, of_before: str, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, CALIBRATION)
    config = config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION, bundle=of_before)
    recorder = Recorder()
    run = counted(config, recorder)
    inside = [
        decision.label
        for result in recorder.frames
        for decision, here in zip(result.decisions, in_field(result.cells, 820, 616), strict=True)
        if here
    ]
    volume = field_volume(CALIBRATION)
    manifest = load_bundle("phantom3").manifest
    for label in manifest.counted:
        found, spread = run.concentrations[label], of_concentration(counted_in(recorder, [label]), np.ones(5))
        assert found == estimate_concentration(inside.count(label), 5, volume, dispersion=spread.ratio)
    together = sum(map(inside.count, manifest.counted))
    every = of_concentration(counted_in(recorder, manifest.counted), np.ones(5)).ratio
    assert run.concentrations[LEUKOCYTES] == estimate_concentration(together, 5, volume, dispersion=every)
    assert every > 1
    assert any("5 fields cannot show whether cells lie in clumps" in remark for remark in run.remarks)
    assert 0 < together <= run.tally.leukocytes
    assert result_summary(run)["no_cells_per_ul"] is None


def test_without_a_volume_it_says_why(frames: Path, scan: tuple[Path, int], tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, replace(CALIBRATION, volume=None))
    run = counted(config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION))
    assert (run.concentrations, run.no_concentration) == (
        {},
        "no cells/µL: the chamber's depth is not known (leuko calibrate volume)",
    )
    write_calibration(path, replace(CALIBRATION, pixel=replace(PIXEL, width_px=1000, height_px=800)))
    run = counted(config_for(scan[0], calibration=str(path), pixel_from=FROM_CALIBRATION, each_once="flow"))
    assert run.no_concentration.startswith("no cells/µL: cells that flow by show an unknown volume")
    assert "leuko calibrate volume" in counted(config_for(frames)).no_concentration
    run = counted(config_for(frames, calibration=str(path), pixel_from=FROM_OPTION))
    assert run.no_concentration.endswith("is for the calibrated pixel size (leave out --pixel-um)")
    write_calibration(path, CALIBRATION)
    config = config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION)
    run = counted(replace(config, analysis=replace(config.analysis, gates=Gates(keep_border=False))))
    assert run.concentrations == {}
    assert run.no_concentration.startswith("no cells/µL: --drop-border leaves out cells")


def counted_in(recorder: Recorder, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return how many cells with some of the labels have their middle in each frame."""
    return np.array(
        [
            sum(
                one.label in labels and here
                for one, here in zip(frame.decisions, in_field(frame.cells, 820, 616), strict=True)
            )
            for frame in recorder.frames
        ]
    )


def test_a_count_until_a_half_width_ends_by_the_intervals_that_are_printed(tmp_path: Path) -> None:
    """Fields of few and of many granulocytes: as if cells lay at random, the intervals are narrow early."""
    for k in range(5):
        few, many = (10.0, 90.0) if k % 2 else (90.0, 10.0)
        mix = ("granulocyte", few), ("lymphocyte", many)
        image = simulate_frame(8, k, scene=replace(SCENE, leukocytes=16, mix=mix)).image
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    wide = counted(config_for(tmp_path, stop_rule=StopRule(until_halfwidth=0.13)))
    assert (wide.ended, wide.tally.frames_read) == ("", 5)
    assert halfwidth(replace(wide.tally, dispersion={})) < 0.13 < halfwidth(wide.tally)
    enough = halfwidth(wide.tally) + 0.001
    run = counted(config_for(tmp_path, stop_rule=StopRule(until_halfwidth=enough)))
    assert (
        run.ended == f"fractions within ±{100 * halfwidth(run.tally):.1f} points, ±{100 * enough:g} asked for"
    )


def test_a_count_until_a_number_of_cells_has_unbiased_concentrations(
    frames: Path, of_before: str, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, CALIBRATION)
    config = config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION, bundle=of_before)
    recorder = Recorder()
    run = counted(replace(config, stop_rule=StopRule(until_cells=12)), recorder)
    assert "12 asked for" in run.ended
    manifest = load_bundle("phantom3").manifest
    of_each = [sum(one.label in manifest.counted for one in frame.decisions) for frame in recorder.frames]
    factor = after_stopping(of_each, [1.0] * len(of_each), 12)
    volume, inside = field_volume(CALIBRATION), counted_in(recorder, manifest.counted)
    assert factor < 1
    whole = run.concentrations[LEUKOCYTES].value
    plain = int(inside.sum()) * volume.dilution / (len(inside) * volume.field_ul)
    assert whole == pytest.approx(factor * plain)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float, int]:
    """A scan without an error of the stage, the fields that it covers, and the leukocytes that it shows."""
    folder = tmp_path_factory.mktemp("slide")
    scene = replace(SCENE, leukocytes=13, erythrocytes=5)
    columns, rows, overlap = 4, 3, 0.3
    shown = set()
    for k, simulated in enumerate(moving_frames(8, Scan(columns, rows, overlap, jitter_um=0), scene=scene)):
        cv2.imwrite(str(folder / f"{k:02}.png"), simulated.image)
        middles = in_field([t.cell for t in simulated.truth], 820, 616)
        leukocytes = [t.label in load_bundle("phantom3").manifest.counted for t in simulated.truth]
        shown |= {t.particle for t, a, b in zip(simulated.truth, middles, leukocytes, strict=True) if a and b}
    return folder, (1 + (columns - 1) * (1 - overlap)) * (1 + (rows - 1) * (1 - overlap)), len(shown)


def test_a_scan_has_the_concentration_of_the_area_that_it_covers(
    slide: tuple[Path, float, int], tmp_path: Path
) -> None:
    folder, fields, leukocytes = slide
    path = tmp_path / "calibration.toml"
    write_calibration(path, CALIBRATION)
    config = config_for(folder, calibration=str(path), pixel_from=FROM_CALIBRATION, each_once="scan")
    run = counted(config)
    assert run.no_concentration == ""
    volume = field_volume(CALIBRATION)
    truth = leukocytes * volume.dilution / (fields * volume.field_ul)
    found = run.concentrations[LEUKOCYTES]
    # segmentation misses some cells that touch
    assert found.value == pytest.approx(truth, rel=0.1)
    assert found.low < truth < found.high
    # as separate fields most cells would count twice, and so would their volume
    assert run.detections is not None
    assert run.detections > 1.5 * run.tally.cells


def test_a_resumed_scan_has_the_same_concentration(
    slide: tuple[Path, float, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, CALIBRATION)
    config = config_for(slide[0], calibration=str(path), pixel_from=FROM_CALIBRATION, each_once="scan")
    whole, stop = counted(config), threading.Event()
    config = replace(config, session=SessionConfig(keep=True))
    begun = create_session(header_of(config, Instrument.load(config.bundle, config.calibration)), tmp_path)
    carried = ResumedSession(begun, config)
    monkeypatch.setattr(carried, "finish", lambda result: None)  # as if it were killed
    recorder = Recorder(lambda frames: stop.set() if frames == 5 else None)
    part = counted(config, recorder, session=carried, stop=stop)
    assert part.concentrations != whole.concentrations
    run = run_count(resume(begun.path), stop=threading.Event(), observer=Recorder())
    assert comparable(run) == comparable(whole)


def test_fields_of_a_scan_that_share_no_cell_show_an_unknown_area(
    slide: tuple[Path, float, int], tmp_path: Path
) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, CALIBRATION)
    config = config_for(slide[0], calibration=str(path), pixel_from=FROM_CALIBRATION, each_once="scan")
    two = tuple(str(slide[0] / name) for name in ("00.png", "11.png"))
    run = counted(replace(config, sources=two, files=two))
    assert run.concentrations == {}
    assert "not all fields could be laid out, they form 2 groups" in run.no_concentration


def test_what_a_field_stop_hides_is_no_volume(frames: Path, tmp_path: Path) -> None:
    """The same cells/µL as without one, of fewer cells."""
    path, stopped = tmp_path / "calibration.toml", tmp_path / "stopped"
    write_calibration(path, CALIBRATION)
    stopped.mkdir()
    across = np.arange(820)
    for file in frames.iterdir():
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(stopped / file.name), np.where(across < 500, image, 5).astype(np.uint8))
    config = config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION)
    whole = counted(config).concentrations[LEUKOCYTES]
    config = config_for(stopped, calibration=str(path), pixel_from=FROM_CALIBRATION)
    run = counted(config)
    part = run.concentrations[LEUKOCYTES]
    assert whole.value is not None
    assert part.low < whole.value < part.high
    assert any("39 % of the field is hidden" in r or "40 % of the field is hidden" in r for r in run.remarks)


def test_a_frame_of_another_size_than_the_calibrations_is_not_counted(frames: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, replace(CALIBRATION, pixel=replace(PIXEL, width_px=640)))
    run = counted(config_for(frames, calibration=str(path), pixel_from=FROM_CALIBRATION))
    assert run.tally.frames_read == 0
    assert {failed.reason for failed in run.tally.failed} == {
        "820 x 616 px, and the calibration is for frames of 640 x 616 px: calibrate frames of this size, or "
        "name another --calibration"
    }
    assert run.no_concentration == "no cells/µL: no frame was read"
    camera = CameraConfig(name="simulate")
    with pytest.raises(
        CameraError, match=r"#0: 820 x 616 px, and calibration .* is for frames of 640 x 616 px: choose"
    ):
        counted(
            config_for(
                frames,
                sources=("simulate",),
                camera=camera,
                calibration=str(path),
                pixel_from=FROM_CALIBRATION,
            )
        )


@pytest.mark.parametrize(("factor", "words"), [(0.5, "0.5 times"), (0.72, ""), (1.39, ""), (2.0, "2 times")])
def test_a_pixel_far_from_the_bundles_gets_a_remark(
    frames: Path, tmp_path: Path, factor: float, words: str
) -> None:
    bundle_um = load_bundle("phantom3").manifest.pixel_um
    path = tmp_path / "calibration.toml"
    write_calibration(path, Calibration(replace(PIXEL, pixel_um=factor * bundle_um)))
    for changes in ({"calibration": str(path), "pixel_from": FROM_CALIBRATION}, {}):
        config = config_for(frames, pixel_um=factor * bundle_um, stop_rule=StopRule(until_cells=1), **changes)
        recorder = Recorder()
        run = counted(config, recorder)
        assert list(run.remarks) == result_summary(run)["remarks"]
        # what follows is of the cells: at such a pixel size they are lost or rejected
        assert list(run.remarks[: len(recorder.remarks)]) == recorder.remarks
        assert len(recorder.remarks) == bool(words)
        assert all(f" is {words} that of bundle phantom3 (0.125 µm)" in remark for remark in recorder.remarks)


def test_a_refused_folder_follows_no_remark(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "cells.csv").touch()
    recorder = Recorder()
    with pytest.raises(ValueError, match="holds a count; give another name, or pass --force"):
        counted(config_for(frames, pixel_um=2 * PIXEL_UM), recorder, out=tmp_path)
    assert recorder.remarks == []


def test_the_flat_field_is_applied_before_anything_is_looked_for(frames: Path, tmp_path: Path) -> None:
    light = np.linspace(0.6, 1.0, 820, dtype=np.float32)[None].repeat(616, axis=0)
    levels = (160.0, 160.4, 160.8, 161.2, 161.6)  # no two frames are the same
    blank = [Frame(np.rint(level * light).astype(np.uint8), str(k), k, 0) for k, level in enumerate(levels)]
    section = write_flat_field(tmp_path, estimate_illumination(blank), NOW)
    path = tmp_path / "calibration.toml"
    write_calibration(path, replace(CALIBRATION, flat_field=section))
    shaded = tmp_path / "shaded"
    shaded.mkdir()
    for file in frames.iterdir():
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(shaded / file.name), np.rint(image * light).astype(np.uint8))
    recorder = Recorder()
    corrected = counted(config_for(shaded, calibration=str(path), pixel_from=FROM_CALIBRATION), recorder)
    gain = read_flat_field_gain(tmp_path, section)
    assert gain.shape == (616, 820)
    plain = counted(config_for(frames))
    assert abs(corrected.tally.cells - plain.tally.cells) <= 1
    for result in recorder.frames:
        left, right = result.frame.image[:, :80], result.frame.image[:, -80:]
        assert abs(float(np.median(left)) - float(np.median(right))) < 12
        assert result.quality is not None
        assert result.quality.brightness_drift is not None


def test_limits_of_quality_mark_frames_and_are_kept(frames: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    write_calibration(path, Calibration(quality=QualityLimits(max_brightness=100.0)))
    config = config_for(frames, calibration=str(path))
    instrument = Instrument.load("phantom3", str(path))
    session = create_session(header_of(config, instrument), tmp_path / "sessions")
    recorder = Recorder()
    run = counted(config, recorder, session=ResumedSession(session, config))
    assert [name for name, _ in run.out] == [result.frame.name for result in recorder.frames]
    assert all(words[0].startswith("too bright") for _, words in run.out)
    measures = result_summary(run)["quality"]["measures"]
    assert 100 < measures["brightness"]["low"] <= measures["brightness"]["median"]
    with read_session(session.path) as stored:
        assert stored.header.calibration_sha256 == instrument.calibration_sha256
        for record, result in zip(stored.frames(), recorder.frames, strict=True):
            assert record.breaches == result.breaches
            assert record.quality["brightness"] == result.quality.brightness  # type: ignore[union-attr]
    write_calibration(path, Calibration(quality=QualityLimits(max_brightness=101.0)))
    other = create_session(header_of(config, instrument), tmp_path / "sessions")
    other.close()
    with pytest.raises(SessionError, match=r"calibration .* is not the one that the session began with"):
        resume(other.path)


def test_each_cell_once(scan: tuple[Path, int], tmp_path: Path) -> None:
    folder, particles = scan
    run = counted(config_for(folder, each_once="scan"), out=tmp_path / "result")
    assert run.detections is not None
    assert run.tally.cells < run.detections == counted(config_for(folder)).tally.cells
    assert abs(run.tally.cells - particles) <= 0.1 * particles
    with (tmp_path / "result" / "cells.csv").open(newline="") as file:
        track_ids = [row["track_id"] for row in csv.DictReader(file)]
    assert len(track_ids) == run.detections
    assert len(set(track_ids)) == run.tally.cells


@pytest.fixture(params=["files", "scan", "camera"])
def config(request: pytest.FixtureRequest, frames: Path, scan: tuple[Path, int]) -> CountConfig:
    """Counts of each kind."""
    if request.param == "files":
        return config_for(frames, session=SessionConfig(keep=True))
    if request.param == "scan":
        return config_for(scan[0], each_once="scan", session=SessionConfig(keep=True))
    return config_for(
        frames,
        sources=("simulate:4",),
        camera=CameraConfig(name="simulate:4", size=(640, 480)),
        stop_rule=StopRule(until_cells=25),
        session=SessionConfig(keep=True, keep_crops=True),
    )


def pipeline_threads() -> int:
    """Threads but for a camera's, which is left alone while it is busy (`edge.capture.live`)."""
    return sum(thread.name != "camera" for thread in threading.enumerate())


@pytest.mark.parametrize("threads", [1, 3])
def test_interrupted_after_any_frame_it_ends_as_if_it_had_not_been(
    config: CountConfig, tmp_path: Path, threads: int
) -> None:
    """Each frame is counted by a process of its own, as it were."""

    class Cut(Exception):  # noqa: N818 (a power cut is no error)
        pass

    def cut(frames: int) -> None:
        raise Cut

    instrument = Instrument.load(config.bundle, config.calibration)
    whole = create_session(header_of(config, instrument), tmp_path / "whole")
    unbroken = counted(config, session=ResumedSession(whole, config), threads=threads)
    begun = create_session(header_of(config, instrument), tmp_path / "cut")
    path, cuts = begun.path, 0
    session: SessionSink = ResumedSession(begun, config)
    running = pipeline_threads()
    while True:
        try:
            run = counted(config, Recorder(cut), session=session, threads=threads)
            break
        except Cut:
            cuts += 1
        assert pipeline_threads() == running
        resumed = resume(path)
        session = resumed.session
        assert resumed.config == config
    assert cuts == unbroken.tally.frames_read
    assert comparable(run) == comparable(unbroken)
    with read_session(whole.path) as one, read_session(path) as other:
        assert other.verify() == []
        for first, second in zip(one.frames(crops=True), other.frames(crops=True), strict=True):
            assert first.cells == second.cells
            assert (first.index, first.name, first.sha256) == (second.index, second.name, second.sha256)


def test_the_job_is_read_back_from_the_header(config: CountConfig) -> None:
    config = replace(config, sample_id="s", operator="o", calibration="c.toml", max_megapixels=50.5)
    header = header_of(config, Instrument.load(config.bundle, None))
    assert (header.sample_id, header.operator) == ("s", "o")
    as_stored = replace(header, parameters=json.loads(json.dumps(dict(header.parameters))))
    assert config_of("id", as_stored) == config


def test_a_session_of_relative_names_is_resumed_from_another_folder(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundle, calibration and frames; the working directory stays."""
    write_calibration(tmp_path / "calibration.toml", CALIBRATION)
    shutil.copy(locate_bundle("phantom3"), tmp_path / "mine.tflite")
    shutil.copytree(frames, tmp_path / "frames")
    monkeypatch.chdir(tmp_path)
    relative = config_for(Path("frames"), bundle="./mine.tflite", calibration="calibration.toml")
    instrument = Instrument.load(relative.bundle, relative.calibration)
    whole = counted(relative)
    begun = create_session(header_of(relative, instrument), tmp_path / "sessions")
    stop = threading.Event()
    carried = ResumedSession(begun, relative)
    monkeypatch.setattr(carried, "finish", lambda result: None)  # as if it were killed
    counted(
        relative, Recorder(lambda frames: stop.set() if frames == 2 else None), session=carried, stop=stop
    )
    monkeypatch.chdir("/")
    resumed = resume(begun.path)
    run = run_count(resumed, stop=threading.Event(), observer=Recorder())
    assert Path.cwd() == Path("/")
    assert comparable(run) == comparable(whole)
    with read_session(begun.path) as stored:
        assert [record.name for record in stored.frames()] == [f"frames/{k}.png" for k in range(5)]


def test_a_stop_keeps_whole_frames(frames: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def ask(frames: int) -> None:
        if frames == 2:
            stop.set()

    before = pipeline_threads()
    run = counted(config_for(frames), Recorder(ask), stop=stop, out=tmp_path / "result")
    assert (run.tally.frames_read, run.stopped, run.ended) == (2, True, "")
    assert pipeline_threads() == before
    assert len(list((tmp_path / "result" / "annotated").iterdir())) == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_stop_among_unreadable_frames_says_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    for k in range(5):
        (tmp_path / f"{k}.png").write_bytes(b"no image")
    stop = threading.Event()
    run = counted(
        config_for(tmp_path), Recorder(lambda frames: stop.set() if frames == 2 else None), stop=stop
    )
    with pytest.raises(Exit) as left, Screen(as_json) as screen:
        screen.end(run, [], live=False, as_json=False)
    assert left.value.exit_code == 130
    (line,) = capsys.readouterr().err.splitlines()
    words = json.loads(line)["message"] if as_json else line
    assert words.startswith(f"stopped after 2 frames; no frame could be read: {tmp_path / '0.png'}: ")
    assert words.endswith(" (and 1 more)")


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread outlives a count that fails."""
    before = pipeline_threads()
    yield
    assert pipeline_threads() == before


@pytest.mark.usefixtures("nothing_left")
def test_what_fails_while_counting_is_raised(frames: Path, tmp_path: Path) -> None:
    def fail(frames: int) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        counted(config_for(frames), Recorder(fail), out=tmp_path / "result")
    with pytest.raises(ValueError, match="diameter"):
        counted(config_for(frames, gates=Gates(min_diameter_um=50, max_diameter_um=20)))


def test_a_session_of_another_kind_is_not_resumed(frames: Path, tmp_path: Path) -> None:
    header = header_of(config_for(frames), Instrument.load("phantom3", None))
    create_session(replace(header, parameters={}, software="another"), tmp_path).close()
    with pytest.raises(SessionError, match=r"another began it, and this leuko cannot resume it .*; what it"):
        resume(next(tmp_path.glob("*.db")))
    fewer = {name: value for name, value in header.parameters.items() if name != "files"}
    older = create_session(replace(header, parameters=fewer, software="an older one"), tmp_path)
    older.close()
    with pytest.raises(SessionError, match=r"an older one began it, .* \(files is missing; "):
        resume(older.path)


def test_what_is_refused_leaves_no_session(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    config = config_for(frames, session=SessionConfig(keep=True))
    counted(config_for(frames), out=tmp_path / "result")
    with pytest.raises(ValueError, match="holds a count; give another name, or pass --force"):
        counted(config, out=tmp_path / "result")
    assert list_sessions() == []
    run = counted(config)
    assert [listed.id for listed in list_sessions()] == [run.session]


@pytest.mark.parametrize("at", [2, 5])
def test_a_report_that_cannot_be_written_does_not_cost_the_count(
    frames: Path, tmp_path: Path, at: int
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(frames: int) -> None:
        if frames == at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))

    config = config_for(frames)
    instrument = Instrument.load(config.bundle, None)
    report = ReportSink(tmp_path / "result", instrument.bundle.manifest, replace=False, each_once=False)
    try:
        count = begin(config, instrument)
        run = run_count(count, stop=threading.Event(), observer=Recorder(fill), sinks=[report])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert run.tally.frames_read == 5
    with pytest.raises(OSError) as refused:  # noqa: PT011 (its number is the disk's)
        report.pages()
    assert refused.value.filename == str(tmp_path / "result")
    assert list((tmp_path / "result").iterdir()) == []
    assert comparable(counted(config, out=tmp_path / "result")) == comparable(run)


def test_a_count_that_ends_before_its_first_frame_keeps_no_session(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    rule = StopRule(until_seconds=1e-9)
    run = counted(config_for(frames, stop_rule=rule, session=SessionConfig(keep=True)))
    assert (run.tally.frames_read, run.session, run.ended) == (0, "", "1e-09 s asked for")
    assert list_sessions() == []


@pytest.mark.parametrize("camera", [False, True])
def test_what_a_folder_passes_over_is_a_remark(frames: Path, tmp_path: Path, camera: bool) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(frames, folder)
    for name in ("a.webp", "b.webp", "c.czi", "boxes.csv"):
        (folder / name).write_bytes(b"x")
    changes: dict[str, Any] = {
        "sources": (f"watch:{folder}",),
        "camera": CameraConfig(name=f"watch:{folder}"),
    }
    config = config_for(folder, stop_rule=StopRule(until_seconds=8), **(changes if camera else {}))
    recorder = Recorder()
    run = counted(config, recorder)
    (remark,) = run.remarks
    assert remark.startswith("3 files of the folder were passed over (1 .czi, 2 .webp): save images as PNG")
    assert recorder.remarks == result_summary(run)["remarks"] == [remark]
    assert run.tally.frames_read == 5


def test_twelve_bits_of_a_watched_folder_count_as_those_of_files(frames: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    for path in frames.iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 16
        cv2.imwrite(str(folder / path.name), image)
    watched = {"sources": (f"watch:{folder}",), "camera": CameraConfig(name=f"watch:{folder}")}
    of_files = counted(config_for(folder, bit_depth=12))
    of_camera = counted(config_for(folder, bit_depth=12, stop_rule=StopRule(until_seconds=8), **watched))
    assert of_camera.tally.counts == of_files.tally.counts
    assert of_camera.tally.frames_read == of_files.tally.frames_read == 5
    untold = counted(config_for(folder))
    assert all("pass --bit-depth 12" in breaches[0] for _, breaches in untold.out)
    assert len(untold.out) == 5
    assert not any("too dark" in words for _, breaches in of_files.out for words in breaches)
