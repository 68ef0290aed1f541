from __future__ import annotations

import csv
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from edge.base.cell import Cell
from edge.capture import PlaneChoice
from edge.report.files import write_cells_header
from edge.simulate.scene import Scene
from edge.simulate.write import simulate
from train import crops
from train.boxes import MOST_BOXES
from train.crops import NO_PIXEL, CropOptions, Cut, cut, empty_places
from train.data import read_data

HEMOCYTOMETER = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "hemocytometer"


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two frames of noise and a box file with four boxes, one of them in a third frame."""
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("f1.png", "f2.png"):
        assert cv2.imwrite(str(folder / name), rng.integers(0, 256, (500, 600), np.uint8))
    (tmp_path / "boxes.csv").write_text(
        "frame,label,xmin,ymin,xmax,ymax,touching,border\n"
        "f1.png,WBC,200,150,300,250,0,0\n"
        "f1.png,RBC,-20,0,60,80,0,1\n"
        "f2.png,WBC,250,210,350,290,1,0\n"
        "f3.png,WBC,250,210,350,290,0,0\n"
    )
    return folder


def test_crops_are_centred_on_their_boxes_and_grouped_by_frame(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    counts = cut([frames], tmp_path / "boxes.csv", out, CropOptions(rename={"WBC": "leukocyte"}))
    assert counts == Cut(
        {"RBC": 1, "leukocyte": 2},
        rejected=0,
        outside=0,
        repeated=0,
        elsewhere={"f3.png": 1},
        remarks=(NO_PIXEL,),
    )
    data = read_data(out)
    assert data.labels == ("RBC", "leukocyte")
    assert data.groups == ("f1.png", "f1.png", "f2.png")
    frame = cv2.imread(str(frames / "f1.png"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(data.crops[0], frame[100:300, 150:350])
    with (out / "cells.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row == {
        "path": "leukocyte/f1_0000.png",
        "label": "leukocyte",
        "group": "f1.png",
        "pixel_um": "",
        "frame": "f1.png",
        "x": "200",
        "y": "150",
        "width": "100",
        "height": "100",
        "touching": "0",
        "border": "0",
        "crop_scale": "1",
    }


def test_only_separate_cells_of_the_chosen_frames_at_another_scale(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    assert cut(
        [frames / "f1.png"], tmp_path / "boxes.csv", out, CropOptions(scale=2.0, separate=True)
    ).counts == {"WBC": 1}
    assert read_data(out).crops.shape == (1, 200, 200)
    assert read_data(out).pixel_um is None


def test_overlapping_frames_form_one_group(frames: Path, tmp_path: Path) -> None:
    assert cv2.imwrite(str(frames / "f3.png"), np.zeros((500, 600), np.uint8))
    cut([frames], tmp_path / "boxes.csv", tmp_path / "data", CropOptions(group_frames=2))
    assert read_data(tmp_path / "data").groups == ("f1.png", "f1.png", "f1.png", "f3.png")


def test_backgrounds_hold_no_cell_and_are_read_with_the_crops(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    frame = np.full((700, 900), 128, np.uint8)
    frame[300:400, 400:500] = 250  # boxed
    cv2.circle(frame, (150, 550), 60, (60,), 3)  # not boxed, but segmented
    assert cv2.imwrite(str(frames / "f.png"), frame)
    (tmp_path / "boxes.csv").write_text("frame,label,xmin,ymin,xmax,ymax\nf.png,WBC,400,300,500,400\n")
    counts = cut([frames], tmp_path / "boxes.csv", tmp_path / "data", CropOptions(backgrounds=9))
    assert counts.counts == {"WBC": 1}
    data = read_data(tmp_path / "data")
    assert data.labels == ("WBC",)
    assert data.backgrounds.shape == (9, 200, 200)
    assert (data.backgrounds == 128).all()
    frame[:40] = 200
    assert cv2.imwrite(str(frames / "f.png"), frame)
    cut([frames], tmp_path / "boxes.csv", tmp_path / "lined", CropOptions(backgrounds=9))
    structure = read_data(tmp_path / "lined").backgrounds.std(axis=(1, 2))
    assert structure[0] > 0  # a few of the places that were drawn reach into the line: they come first
    assert (np.diff(structure) <= 0).all()
    frame[:40] = 128
    assert cv2.imwrite(str(frames / "f.png"), frame)
    cut([frames], tmp_path / "boxes.csv", tmp_path / "again", CropOptions(backgrounds=9))
    assert read_data(tmp_path / "again").sha256 == data.sha256
    (tmp_path / "data" / "cells.csv").unlink()
    assert read_data(tmp_path / "data").backgrounds.shape == (9, 200, 200)
    assert read_data(tmp_path / "data").labels == ("WBC",)


@given(
    st.lists(st.tuples(st.integers(-50, 350), st.integers(-50, 250)), max_size=12),
    st.integers(10, 120),
    st.integers(1, 20),
)
def test_empty_places_overlap_no_cell(corners: list[tuple[int, int]], side: int, count: int) -> None:
    cells = [Cell(x, y, 40, 30, area_px=0.0, border=False, touching=False) for x, y in corners]
    places = empty_places((250, 350), cells, side, count, np.random.default_rng(0))
    assert len(places) <= count
    for place in places:
        assert 0 <= place.x <= 350 - side
        assert 0 <= place.y <= 250 - side
        for cell in cells:
            apart_x = place.x + side <= cell.x or cell.x + cell.width <= place.x
            apart_y = place.y + side <= cell.y or cell.y + cell.height <= place.y
            assert apart_x or apart_y
    if not cells:
        assert len(places) == count


def test_the_scale_of_the_crops_goes_with_them(frames: Path, tmp_path: Path) -> None:
    cut([frames], tmp_path / "boxes.csv", tmp_path / "data", CropOptions(scale=2.0, pixel_um=0.1))
    assert read_data(tmp_path / "data").pixel_um == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("boxes", "rename", "message"),
    [
        ("frame,label,xmin,ymin,xmax\n", {}, "column ymax is missing"),
        (
            "frame,label,xmin,ymin,xmax,ymax\nf1.png,WBC,9,9,9,20\n",
            {},
            "line 2: not a box: x 9 to 9, y 9 to 20",
        ),
        (
            "frame,label,xmin,ymin,xmax,ymax\nf1.png,WBC,a,,9,20\n",
            {},
            "line 2: xmin is 'a': it must be a number",
        ),
        (
            "frame,label,xmin,ymin,xmax,ymax\nf9.png,WBC,1,1,9,20\n",
            {},
            "none of its frame names is among .*: f9.png is in the table, f1.png is a",
        ),
        ("frame,label,xmin,ymin,xmax,ymax\nf1.png,WBC,1,1,9,20\n", {"RBC": "x"}, "no label RBC to rename"),
        ("frame,label,xmin,ymin,xmax,ymax\nf1.png,../x,1,1,9,20\n", {}, "line 2: label '../x' cannot name a"),
        (
            "frame,label,xmin,ymin,xmax,ymax\nf1.png,cells.csv,1,1,9,20\n",
            {},
            "'cells.csv' is a heading",
        ),
        ("frame,label,x,y,width,height\nf1.png,,1,1,9,20\n", {}, "line 2: a label is empty"),
        (
            "frame,label,x,y,width,height\nf1.png,a\x1b,1,1,9,20\n",
            {},
            r"'a.x1b' has control characters",
        ),
        ("frame,label,xmin,ymin,xmax,ymax\nf1.png,backgrounds,1,1,9,20\n", {}, "'backgrounds' is a heading"),
        ("frame,label,x,y,width,height\nf1.png,WBC,900,1,9,20\n", {}, "no box has its centre in its frame"),
        ("frame,label,x,y,width,height\n", {}, "boxes.csv: it lists no box"),
        (
            "frame,label,x,y,width,height\nf1.png,WBC,1,1,9,20\nf1.png,Wbc,1,1,9,20\n",
            {},
            "labels WBC and Wbc differ only in case.*--rename",
        ),
        (
            "frame,label,x,y,width,height\nf1.png,WBC,1,1,9,20\nf1.png,RBC,1,1,9,20\n",
            {"RBC": "wbc"},
            "labels WBC and wbc differ only in case",
        ),
        (
            "frame,label,xmin,ymin,xmax,ymax,pixel_um\nf1.png,WBC,1,1,9,20,0.5\nf1.png,WBC,1,1,9,21,0.1\n",
            {},
            "pixel_um is both 0.1 and 0.5: pass --pixel-um",
        ),
    ],
)
def test_bad_boxes_get_one_line(
    frames: Path, tmp_path: Path, boxes: str, rename: dict[str, str], message: str
) -> None:
    (tmp_path / "boxes.csv").write_text(boxes)
    with pytest.raises(ValueError, match=message):
        cut([frames], tmp_path / "boxes.csv", tmp_path / "data", CropOptions(rename=rename))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.csv", "frames"]


def test_boxes_off_their_frame_and_repeated_ones_are_left_out_and_counted(
    frames: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "frame,label,xmin,ymin,xmax,ymax\n"
        "f1.png,WBC,266,10,99999,90\n"
        "f1.png,WBC,-700,10,351,90\n"
        "f2.png,WBC,10,10,90,90\n"
        "f2.png,WBC,10,10,90,90\n"
        "f2.png,RBC,10,10,90,90\n"
    )
    done = cut([frames], boxes, tmp_path / "data")
    assert done == Cut(
        {"RBC": 1, "WBC": 1}, rejected=0, outside=2, repeated=1, elsewhere={}, remarks=(NO_PIXEL,)
    )


def test_unreadable_and_repeated_frames_and_full_folders_are_refused(frames: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    with pytest.raises(ValueError, match="holds other files"):
        cut([frames], boxes, frames)
    shutil.copytree(frames, tmp_path / "more")
    with pytest.raises(ValueError, match=r"f1.png may be .*frames/f1.png or .*more/f1.png: write its folder"):
        cut([frames, tmp_path / "more"], boxes, tmp_path / "one")
    (frames / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"broken\.png: "):
        cut([frames], boxes, tmp_path / "two")


@pytest.mark.skipif(not HEMOCYTOMETER.is_dir(), reason="needs ../shared/data/hemocytometer")
def test_real_frames(tmp_path: Path) -> None:
    frame = HEMOCYTOMETER / "frames" / "frame_0349.jpg"
    done = cut(
        [frame], HEMOCYTOMETER / "boxes.csv", tmp_path / "data", CropOptions(rename={"S-RBC": "echinocyte"})
    )
    assert done.counts["echinocyte"] == 2
    data = read_data(tmp_path / "data")
    assert set(data.groups) == {"frame_0349.jpg"}
    assert data.crops.std(axis=(1, 2)).min() > 3


def test_crops_reads_what_a_count_a_simulation_and_it_itself_write(tmp_path: Path) -> None:
    scene = Scene(width_px=900, height_px=700, leukocytes=6, erythrocytes=2, debris=0)
    list(simulate(tmp_path, frames=1, seed=5, scene=scene))
    truth = cut([tmp_path / "frames"], tmp_path / "truth.csv", tmp_path / "a", CropOptions(scale=2.0))
    again = cut([tmp_path / "frames"], tmp_path / "a" / "cells.csv", tmp_path / "b", CropOptions(scale=2.0))
    assert again == truth
    first, second = read_data(tmp_path / "a"), read_data(tmp_path / "b")
    assert first.pixel_um == 0.25
    assert (second.pixel_um, second.sha256) == (first.pixel_um, first.sha256)

    with (tmp_path / "truth.csv").open(newline="") as file:
        boxes = list(csv.DictReader(file))
    with (tmp_path / "cells.csv").open("w", newline="", encoding="utf-8") as file:
        write_cells_header(file, ["x", "y"])
        for box in boxes:
            row = [str(tmp_path / box["frame"]), *(box[name] for name in ("x", "y", "width", "height"))]
            csv.writer(file).writerow([*row, box["label"], "0.9", box["label"], "", "0.9", "0.1"])
        csv.writer(file).writerow([*row, "rejected", "0.4", box["label"], "low_confidence", "0.4", "0.4"])
    counted = cut([tmp_path / "frames"], tmp_path / "cells.csv", tmp_path / "c", CropOptions(scale=2.0))
    assert counted == replace(truth, rejected=1, remarks=(NO_PIXEL,))  # it is no class
    np.testing.assert_array_equal(read_data(tmp_path / "c").crops, first.crops)


@pytest.mark.parametrize(
    "folder", ["C:\\data\\", "\\\\server\\share\\", "data\\", "C:/data/", "/home/x/", ""]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_boxes_from_other_systems_and_spreadsheets(
    frames: Path, tmp_path: Path, folder: str, separator: str, mark: bytes
) -> None:
    rows = [["frame", "label", "x", "y", "width", "height", "pixel_um"]]
    decimal = "0,25" if separator == ";" else "0.25"
    rows += [[f"{folder}{name}", "WBC", "200", "150", "100", "100", decimal] for name in ("f1.png", "f2.png")]
    boxes = tmp_path / "other.csv"
    boxes.write_bytes(mark + "\r\n".join(separator.join(row) for row in rows).encode())
    assert cut([frames], boxes, tmp_path / "data") == Cut(
        {"WBC": 2}, rejected=0, outside=0, repeated=0, elsewhere={}
    )
    data = read_data(tmp_path / "data")
    assert (data.groups, data.pixel_um) == (("f1.png", "f2.png"), 0.25)


def test_labels_that_differ_only_in_case_can_be_renamed(frames: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "other.csv"
    boxes.write_text("frame,label,x,y,width,height\nf1.png,WBC,1,1,9,20\nf1.png,Wbc,9,9,9,20\n")
    assert cut([frames], boxes, tmp_path / "a", CropOptions(rename={"Wbc": "WBC"})).counts == {"WBC": 2}


def test_names_that_look_like_formulas_go_through_every_table(frames: Path, tmp_path: Path) -> None:
    (frames / "f1.png").rename(frames / "=1+2.png")
    boxes = tmp_path / "other.csv"
    boxes.write_text("frame,label,x,y,width,height\n=1+2.png,a,200,150,100,100\nf2.png,b,200,150,100,100\n")
    cut([frames], boxes, tmp_path / "data")
    (tmp_path / "data" / "backgrounds").mkdir(exist_ok=True)
    with (tmp_path / "data" / "cells.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["path"], first["label"], first["group"]) == ("a/=1+2_0000.png", "a", "'=1+2.png")
    assert second["group"] == "f2.png"
    data = read_data(tmp_path / "data")
    assert (data.labels, data.names) == (("a", "b"), ("a/=1+2_0000.png", "b/f2_0000.png"))
    assert set(data.groups) == {"=1+2.png", "f2.png"}


def test_folders_with_files_of_the_same_name_are_told_apart(frames: Path, tmp_path: Path) -> None:
    """A count of two folders: each box is cut from its own image, also where only one folder is given."""
    for folder, level in (("a", 50), ("b", 200)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "f.png"), np.full((300, 400), level, np.uint8))
    boxes = tmp_path / "cells.csv"
    boxes.write_text("frame,label,x,y,width,height\na/f.png,x,150,100,80,80\nb/f.png,y,150,100,80,80\n")
    done = cut([tmp_path / "a", tmp_path / "b"], boxes, tmp_path / "both")
    assert done.counts == {"x": 1, "y": 1}
    data = read_data(tmp_path / "both")
    assert data.crops.mean(axis=(1, 2)).tolist() == [50, 200]
    assert data.groups == (str(tmp_path / "a" / "f.png"), str(tmp_path / "b" / "f.png"))
    done = cut([tmp_path / "b"], boxes, tmp_path / "one")
    assert (done.counts, done.elsewhere) == ({"y": 1}, {"a/f.png": 1})
    assert read_data(tmp_path / "one").crops.mean() == 200
    boxes.write_text("frame,label,x,y,width,height\nf.png,x,150,100,80,80\n")
    with pytest.raises(ValueError, match=r"^f\.png may be"):
        cut([tmp_path / "a", tmp_path / "b"], boxes, tmp_path / "none")


def test_the_pixel_is_the_options_the_tables_or_the_files(frames: Path, tmp_path: Path) -> None:
    stated = tmp_path / "stated"
    stated.mkdir()
    for path in frames.iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        resolution = {"resolution": (40_000, 40_000), "resolutionunit": 3}
        tifffile.imwrite(stated / f"{path.stem}.tif", image, **resolution)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,label,x,y,width,height\nf1.tif,a,200,150,100,100\n")
    done = cut([stated], boxes, tmp_path / "files")
    assert done.remarks == ("pixel 0.25 µm, from the files (resolution tags)",)
    assert read_data(tmp_path / "files").pixel_um == 0.25
    done = cut([stated], boxes, tmp_path / "option", CropOptions(pixel_um=0.5))
    assert (
        "than the 0.5 µm that is used (from --pixel-um): 0.25 µm (resolution tags) in 2 of 2"
        in done.remarks[0]
    )
    assert read_data(tmp_path / "option").pixel_um == 0.5
    boxes.write_text("frame,label,x,y,width,height,pixel_um\nf1.tif,a,200,150,100,100,0.1\n")
    done = cut([stated], boxes, tmp_path / "table")
    assert "than the 0.1 µm that is used (from the table): 0.25 µm" in done.remarks[0]
    assert read_data(tmp_path / "table").pixel_um == 0.1
    boxes.write_text("frame,label,x,y,width,height\nf1.tif,a,200,150,100,100\n")
    cv2.imwrite(str(stated / "f9.png"), image)
    with pytest.raises(
        ValueError, match=r"do not agree on their pixel: 0.25 µm \(resolution tags\) in 2 of 3"
    ):
        cut([stated], boxes, tmp_path / "mixed")


def test_an_output_below_a_file_is_named(tmp_path: Path) -> None:
    list(simulate(tmp_path, frames=1, scene=Scene(width_px=400, height_px=400, leukocytes=2, erythrocytes=0)))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory") as caught:
        cut([tmp_path / "frames"], tmp_path / "truth.csv", tmp_path / "file" / "out")
    assert caught.value.filename == str(tmp_path / "file" / "out")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small simulated frames with their truth."""
    folder = tmp_path_factory.mktemp("sample")
    scene = Scene(width_px=900, height_px=700, leukocytes=9, erythrocytes=3, debris=0)
    list(simulate(folder, frames=2, seed=6, scene=scene))
    return folder


def _boxes(sample: Path, out: Path, **columns: str) -> Path:
    """Write the boxes of a sample, columns of other names in the place of some."""
    with (sample / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = {name: name for name in ("frame", "label", "x", "y", "width", "height")} | columns
    with out.open("w", newline="") as file:
        csv.writer(file).writerow(names)
        csv.writer(file).writerows([row.get(names[name], names[name]) for name in names] for row in rows)
    return out


@pytest.mark.parametrize("columns", [{"x": "y", "y": "x"}, {"x": "20", "y": "30"}])
def test_boxes_that_miss_the_cells_are_remarked(
    sample: Path, tmp_path: Path, columns: dict[str, str]
) -> None:
    wrong = cut([sample / "frames"], _boxes(sample, tmp_path / "b.csv", **columns), tmp_path / "wrong")
    assert any(remark.startswith("the boxes seem to miss the cells") for remark in wrong.remarks)
    right = cut([sample / "frames"], _boxes(sample, tmp_path / "r.csv"), tmp_path / "right")
    assert right.remarks == (NO_PIXEL,)


def test_boxes_that_begin_at_the_centre_are_remarked(sample: Path, tmp_path: Path) -> None:
    right = _boxes(sample, tmp_path / "right.csv").read_text()
    rows = list(csv.DictReader(right.splitlines()))
    for row in rows:
        row |= {
            edge: str(int(row[edge]) + int(row[side]) // 2)
            for edge, side in (("x", "width"), ("y", "height"))
        }
    with (tmp_path / "centre.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    wrong = cut([sample / "frames"], tmp_path / "centre.csv", tmp_path / "wrong")
    assert any(remark.startswith("the boxes seem to lie beside the cells") for remark in wrong.remarks)


def test_boxes_of_another_sample_are_remarked(sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "frames"
    other.mkdir()
    one, two = sorted((sample / "frames").iterdir())
    shutil.copy(one, other / two.name)
    shutil.copy(two, other / one.name)
    done = cut([other], sample / "truth.csv", tmp_path / "data")
    assert len(done.remarks) == 1
    assert "check that BOXES is of these frames" in done.remarks[0]
    assert cut([sample / "frames"], sample / "truth.csv", tmp_path / "right").remarks == ()


def test_what_has_no_effect_on_these_boxes_is_remarked(sample: Path, tmp_path: Path) -> None:
    boxes = _boxes(sample, tmp_path / "b.csv", pixel_um="0.25")
    options = CropOptions(separate=True, pixel_um=0.125, bit_depth=12, planes=PlaneChoice(z="2"))
    assert cut([sample / "frames"], boxes, tmp_path / "data", options).remarks == (
        "pixel_um of the table is 0.25, and 0.125 is used (from --pixel-um): check which is right, and"
        " pass it as --pixel-um",
        "--z 2 has no effect on files that name no focal planes: leave it out, or save stacks as OME-TIFF",
        "--bit-depth 12 has no effect on files without 16-bit samples: leave it out",
        "--separate has no effect: BOXES has no column touching or border",
    )


def test_spaces_around_labels_mean_nothing(frames: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "other.csv"
    boxes.write_text("frame,label,x,y,width,height\nf1.png,WBC ,1,1,9,20\nf1.png,WBC,9,9,9,20\n")
    done = cut([frames], boxes, tmp_path / "a", CropOptions(rename={"WBC": "leukocyte"}))
    assert done.counts == {"leukocyte": 2}
    assert done.remarks == (NO_PIXEL, "spaces around 1 label are left out")


def test_memory_does_not_grow_with_the_boxes_of_a_frame(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crops, "write_png", lambda path, crop: None)
    boxes = tmp_path / "boxes.csv"
    header = "frame,label,x,y,width,height\n"
    rows = [f"f1.png,a,{k % 500},{k // 500},9,9\n" for k in range(MOST_BOXES + 1)]
    boxes.write_text(header + "".join(rows[:500]))
    tracemalloc.start()
    counts = cut([frames / "f1.png"], boxes, tmp_path / "data").counts
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts == {"a": 500}
    assert peak < 10e6  # their crops together take 20 MB
    boxes.write_text(header + "".join(rows))
    with pytest.raises(ValueError, match=r"boxes\.csv: 5,001 boxes in f1\.png, more than the 5,000"):
        cut([frames / "f1.png"], boxes, tmp_path / "more")
    assert not (tmp_path / "more").exists()
