"""A calibration keeps a person's comments, and is refused if any key is invalid."""

from __future__ import annotations

import errno
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.calibration import file as module
from edge.calibration.file import (
    Calibration,
    CalibrationFileError,
    FlatFieldCalibration,
    PixelCalibration,
    VolumeCalibration,
    default_calibration_path,
    read_calibration,
    write_calibration,
)
from edge.find.quality import QualityLimits

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WHOLE = Calibration(
    PixelCalibration(0.0728, 1e-4, 4908, 3264, "counting-chamber grid, pitch 50 µm", NOON),
    FlatFieldCalibration("flatfield-0123456789ab.png", "0" * 64, 150.5, 20, 4908, 3264, NOON),
    VolumeCalibration(100.0, 2.0, 1.0, NOON),
    QualityLimits(),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calibration.toml"


def test_a_written_calibration_is_read_back(path: Path) -> None:
    for written in (
        WHOLE,
        Calibration(),
        replace(WHOLE, flat_field=None),
        replace(WHOLE, quality=QualityLimits(0.4)),
        replace(WHOLE, volume=VolumeCalibration(100.0, "exact", 20.0, NOON, 0.4)),
        replace(WHOLE, volume=VolumeCalibration(100.0, 1.0, 20.0, NOON, "exact")),
        replace(WHOLE, pixel=PixelCalibration(0.1, 1e-4, 9, 9, "grid", NOON, "", 0.01)),
    ):
        path.unlink(missing_ok=True)
        write_calibration(path, written)
        assert read_calibration(path) == written
        assert read_calibration(path).sha256 == written.sha256


def test_a_new_file_explains_every_limit(path: Path) -> None:
    write_calibration(path, Calibration())
    lines = path.read_text().splitlines()
    for declared in fields(QualityLimits):
        (line,) = [line for line in lines if line.startswith(f"{declared.name} = ")]
        assert line == f"{declared.name} = {declared.default} # {declared.metadata['description']}"


def test_comments_order_and_other_sections_stay(path: Path) -> None:
    path.write_text(
        "# our microscope, room 12\n"
        "version = 1\n\n"
        "[quality]\n"
        "max_dropped = 2   # the old camera drops\n\n"
        "# chamber 7\n"
        "[volume]\n"
        "date = 2026-06-01T12:00:00Z\n"
        "dilution = 2  # in saline\n"
        "depth_um = 20.0 # from its certificate\n"
        "depth_uncertainty_um = 0.5\n"
        "# end\n"
    )
    before = read_calibration(path)
    assert before.volume == VolumeCalibration(20.0, 0.5, 2.0, NOON)
    assert before.quality == QualityLimits(max_dropped=2)
    write_calibration(path, replace(before, pixel=WHOLE.pixel, volume=replace(before.volume, depth_um=100.0)))
    text = path.read_text()
    for kept in (
        "# our microscope, room 12",
        "max_dropped = 2   # the old camera drops",
        "# chamber 7\n[volume]\ndate",
        "dilution = 2  # in saline",
        "depth_um = 100.0 # from its certificate",
        "# end",
    ):
        assert kept in text
    assert "min_focus" not in text  # a default that nobody wrote down stays away
    assert read_calibration(path).pixel == WHOLE.pixel
    write_calibration(path, replace(read_calibration(path), volume=None))
    assert "[volume]" not in path.read_text()


def test_the_hash_is_of_the_content(path: Path) -> None:
    write_calibration(path, WHOLE)
    same = path.read_text().replace("# when", "# at noon").replace("depth_um = 100.0", "depth_um = 1e2")
    same = same.replace("date = 2026-06-01T12:00:00Z", "date = 2026-06-01T14:00:00+02:00")
    assert same != path.read_text()
    path.write_text(same)
    assert read_calibration(path).sha256 == WHOLE.sha256
    assert replace(WHOLE, quality=QualityLimits(max_dropped=1)).sha256 != WHOLE.sha256
    east = replace(WHOLE.volume, date=NOON.astimezone(timezone(timedelta(hours=2))))  # type: ignore[type-var]
    assert replace(WHOLE, volume=east).sha256 == WHOLE.sha256
    # pinned: sessions refer to it
    assert WHOLE.sha256 == "1e7c6fd0e3a841fb880c2e2b44bb096a6b3cfc4347d3cc3ee0cd0c5ee07ee337"
    assert Calibration().sha256 == "d6ef7c3d314e7a77692532b481ed667c3d05d3206802d74b4e4ce8dbdb9581d8"


def test_an_uncertainty_is_a_number_or_exact(path: Path) -> None:
    write_calibration(path, replace(WHOLE, volume=VolumeCalibration(100.0, "exact", 20.0, NOON, "exact")))
    text = path.read_text()
    assert 'depth_uncertainty_um = "exact" #' in text
    write_calibration(path, WHOLE)  # which states no uncertainty of the dilution
    assert "dilution_uncertainty" not in path.read_text()
    assert read_calibration(path) == WHOLE
    for wrong in ('"Exact"', "-1", "true", "nan", "[1]"):
        path.write_text(text.replace('depth_uncertainty_um = "exact"', f"depth_uncertainty_um = {wrong}"))
        with pytest.raises(CalibrationFileError) as refused:
            read_calibration(path)
        assert 'expected a number from 0 to 10_000 µm or "exact"; correct it, or run leuko' in str(
            refused.value
        )


@settings(max_examples=25)
@given(
    pixel=st.floats(0.005, 10),
    depth=st.floats(2, 10_000),
    focus=st.floats(0, 1),
    method=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
)
def test_any_calibration_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, pixel: float, depth: float, focus: float, method: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "calibration.toml"
    calibration = Calibration(
        PixelCalibration(pixel, 0.0, 1, 1, method, NOON),
        None,
        VolumeCalibration(depth, 0.0, 1.0, NOON),
        QualityLimits(focus),
    )
    write_calibration(path, calibration)
    assert read_calibration(path) == calibration


VOLUME = "[volume]\ndepth_um = {}\ndepth_uncertainty_um = 0\ndilution = 1\ndate = 2026-06-01T12:00:00Z\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = 2", "version is 2; this leuko reads version 1: move"),
        ("version = true", "version is true; "),
        (
            "",
            "version is missing; if it is a calibration, put version = 1 at its beginning, else move",
        ),
        ("[quality]\nversion = 1", "version is missing; "),
        (
            "version = 1\n[lens]",
            "lens is not a known key; expected one of pixel, flat_field, volume, quality",
        ),
        ("version = 1\npixel = 3", "pixel is 3; expected a group of the keys pixel_um, "),
        ("version = 1\npixel = 3", "; correct it, or run leuko calibrate pixel"),
        (
            "version = 1\n[quality]\nmin_fokus = 1",
            "quality.min_fokus is not a known key; expected one of min_focus, ",
        ),
        (
            "version = 1\n[quality]\nmin_focus = nan",
            "quality.min_focus is NaN; expected a number from 0 to 1; correct or remove it",
        ),
        ("version = 1\n[quality]\nmin_focus = -0.1", "quality.min_focus is -0.1; expected"),
        ("version = 1\n[quality]\nmin_focus = true", "quality.min_focus is true; expected"),
        ("version = 1\n[quality]\nmin_focus = '1'", 'quality.min_focus is "1"; expected'),
        ("version = 1\n[quality]\nmax_dropped = 1.0", "max_dropped is 1.0; expected"),
        (
            "version = 1\n" + VOLUME.format("inf"),
            "volume.depth_um is Infinity; expected a number from 2 to 10_000",
        ),
        ("version = 1\n[volume]\ndilution = 1", "volume.depth_um is missing; expected a number from 2"),
        ("version = 1\n[volume]\ndilution = 1", "; correct it, or run leuko calibrate volume"),
        (
            "version = 1\n" + VOLUME.format(9).replace("T12:00:00Z", ""),
            'volume.date is "2026-06-01"; expected a date and time with its offset, like',
        ),
        ("version = 1\n[volume\n", "not TOML (Expected ']'"),
        ("a" * 5 + " = " + "[" * 5000, "not TOML"),
    ],
)
def test_an_invalid_file_is_refused_in_one_line(path: Path, text: str, expected: str) -> None:
    path.write_text(text)
    with pytest.raises(CalibrationFileError) as error:
        read_calibration(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert expected in line
    assert "\n" not in line
    with pytest.raises(CalibrationFileError):  # nor is it written over
        write_calibration(path, WHOLE)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("key", "value"),
    [("file", '"../a.png"'), ("file", '"/a"'), ("file", '".a"'), ("sha256", '"0"'), ("file", '""')],
)
def test_a_flat_field_is_named_by_a_plain_name_and_its_hash(path: Path, key: str, value: str) -> None:
    write_calibration(path, WHOLE)
    lines = [
        f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in path.read_text().split("\n")
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(CalibrationFileError, match=rf"flat_field\.{key} is .*run leuko calibrate flatfield"):
        read_calibration(path)


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationFileError, match="no such calibration; leuko calibrate pixel writes one"):
        read_calibration(tmp_path / "absent.toml")
    with pytest.raises(CalibrationFileError, match="cannot be read"):
        read_calibration(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xb5m\nversion = 1\n")
    with pytest.raises(CalibrationFileError, match="not UTF-8"):
        read_calibration(tmp_path / "latin.toml")


def test_a_write_that_fails_leaves_the_old_calibration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_calibration(path, WHOLE)
    old = path.read_bytes()

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        write_calibration(path, Calibration())
    assert path.read_bytes() == old


def test_the_default_path_is_in_the_folder_of_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path))
    assert default_calibration_path() == tmp_path / "calibration.toml"


LAST_RELEASE = """\
# How this microscope and its camera were calibrated. Your own comments stay when leuko writes here.
version = 1

[pixel]
pixel_um = 0.0728 # side of a pixel in the specimen
uncertainty_um = 0.0001 # its standard uncertainty
width_px = 4908 # frames of another size have another pixel
height_px = 3264
method = "counting-chamber grid, pitch 50 µm" # how it was measured
date = 2026-06-01T12:00:00Z # when

[flat_field]
file = "flatfield-0123456789ab.png" # beside this file
sha256 = "0000000000000000000000000000000000000000000000000000000000000000" # of that file
brightness = 150.5 # mean grey level of blank frames
frames = 20 # blank frames that it was made of
width_px = 4908 # of those frames
height_px = 3264
date = 2026-06-01T12:00:00Z # when

[volume]
depth_um = 100.0 # of the chamber
depth_uncertainty_um = 2.0 # its standard uncertainty
dilution = 1.0 # volume after dilution over volume of sample; 1: undiluted
date = 2026-06-01T12:00:00Z # when

[quality]
min_focus = 0.25 # share of fine detail in all edges, 0 to 1
min_brightness = 50.0 # median grey level
max_brightness = 230.0 # median grey level
max_brightness_drift = 0.1 # relative, since the flat field
max_saturated_share = 0.01 # pixels at 255
max_density_per_mm2 = 4000.0 # cells, on the area of the frame
max_border_share = 0.5 # cells that the frame's edge cuts
max_touching_share = 0.5 # cells that touch another one
max_dropped = 0 # frames dropped before this one
max_late_ms = 2000.0 # wait between camera and counting
"""


def test_a_calibration_of_the_last_release_is_read_from_its_default_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path))
    (tmp_path / "profile.toml").write_text(LAST_RELEASE)
    path = default_calibration_path()
    assert path == tmp_path / "profile.toml"
    assert read_calibration(path) == WHOLE
    # the last release's sessions refer to it
    assert WHOLE.sha256 == "1e7c6fd0e3a841fb880c2e2b44bb096a6b3cfc4347d3cc3ee0cd0c5ee07ee337"
    write_calibration(path, replace(WHOLE, volume=None))
    assert path.read_text().startswith(LAST_RELEASE.partition("[volume]")[0])
    write_calibration(tmp_path / "calibration.toml", WHOLE)
    assert default_calibration_path() == tmp_path / "calibration.toml"


def test_a_byte_order_mark_is_read_past(path: Path) -> None:
    write_calibration(path, WHOLE)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_calibration(path) == WHOLE
    changed = replace(WHOLE, quality=QualityLimits(0.4))
    write_calibration(path, changed)
    assert read_calibration(path) == changed
