from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.base import board
from train.data import Dataset, read_data, split


def write(path: Path, image: NDArray[np.integer[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def a_dataset(truth: list[int], groups: list[str] | None = None) -> Dataset:
    names = tuple(str(i) for i in range(len(truth)))
    return Dataset(
        crops=np.arange(len(truth), dtype=np.uint8).reshape(-1, 1, 1),
        truth=np.array(truth, np.int64),
        labels=("a", "b", "c"),
        names=names,
        groups=tuple(groups) if groups else names,
    )


def test_class_folders_of_every_format(tmp_path: Path) -> None:
    image = noise(200, 200)
    for k, suffix in enumerate((".png", ".tif", ".bmp", ".PNG")):
        write(tmp_path / ("b" if k < 3 else "a") / f"{k}{suffix}", image)
    write(tmp_path / "b" / "photo.jpg", cv2.GaussianBlur(image, (0, 0), 3).astype(np.uint8))
    (tmp_path / "b" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    data = read_data(tmp_path)
    assert data.labels == ("a", "b")
    assert data.names == ("a/3.PNG", "b/0.png", "b/1.tif", "b/2.bmp", "b/photo.jpg")
    assert data.truth.tolist() == [0, 1, 1, 1, 1]
    assert data.groups == data.names
    assert all(np.array_equal(crop, image) for crop in data.crops[:4])


def test_other_sizes_are_scaled_to_the_short_side_and_cut_to_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((360, 420, 3), np.uint8)
    wide[:, 30:390] = 120
    write(tmp_path / "a" / "wide.png", wide)
    write(tmp_path / "a" / "small.png", np.full((50, 50), 7, np.uint8))
    crops = read_data(tmp_path).crops
    assert crops.shape == (2, 200, 200)
    assert (crops[0] == 7).all()
    assert (crops[1][:, 2:-2] == 120).all()


def test_a_table_speaks_for_its_folder(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/3"):
        write(tmp_path / f"{name}.png", noise(200, 200))
    (tmp_path / "cells.csv").write_text("path,label,group,x\na/1.png,a,f1,0\nb/3.png,b,f1,0\na/2.png,a,,0\n")
    data = read_data(tmp_path)
    assert data.names == ("a/1.png", "b/3.png", "a/2.png")
    assert data.groups == ("f1", "f1", "a/2.png")
    assert read_data(tmp_path / "cells.csv").sha256 == data.sha256


def test_given_labels_set_the_order_and_may_be_absent(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.png", noise(200, 200))
    data = read_data(tmp_path, ["z", "a"])
    assert data.labels == ("z", "a")
    assert data.truth.tolist() == [1]
    assert data.counts() == {"z": 0, "a": 1}


def test_the_hash_knows_pixels_labels_and_groups(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.png", noise(200, 200))
    first = read_data(tmp_path)
    assert read_data(tmp_path).sha256 == first.sha256
    assert read_data(tmp_path, ["a", "b"]).sha256 != first.sha256
    write(tmp_path / "a" / "1.png", noise(200, 200, seed=1))
    assert read_data(tmp_path).sha256 != first.sha256


@pytest.mark.parametrize(
    ("files", "labels", "message"),
    [
        ({}, None, "no images found"),
        ({"a/1.png": b"image", "b/": b""}, None, "class b has no images"),
        (
            {"a/1.png": b"image", "a/2.png": b"\x89PNG broken", "a/3.jpg": b""},
            None,
            r"cannot read a/2.png \(not a PNG.*\), a/3.jpg \(the file is empty\)$",
        ),
        ({"a/1.png": b"image"}, ["x", "y"], "unknown label a; known are x, y"),
        ({"cells.csv": b"file,label\n1.png,a\n"}, None, "column path is missing"),
        ({"cells.csv": b"path,label\n"}, None, "no images found"),
        ({"cells.csv": b"path,label\n1.png,\n"}, None, "line 2: label is empty"),
        ({"cells.csv": b"path,label\ngone.png,a\n"}, None, "cannot read gone.png"),
        ({"cells.csv": b"\xff\xfe\x00"}, None, "cells.csv is not a CSV file in UTF-8: save it as UTF-8"),
        ({"cells.csv": "path,label\n1.png,ä\n".encode("latin-1")}, None, "save it as UTF-8"),
        ({"cells.csv": "path,label\ngone.png,ä\n".encode("utf-16")}, None, "cannot read gone.png"),
        ({"cells.csv": b"path;label\ngone.png;a\n"}, None, "cannot read gone.png"),
        ({"a/1.png": b"image", "A/1.png": b"image"}, None, "labels A and a differ only in case, spaces or"),
        ({"T cell/1.png": b"image", "tcell/1.png": b"image"}, None, "labels T cell and tcell differ only"),
        ({"cells.csv": "path,label\n1.png,é\n2.png,e\u0301\n".encode()}, None, "differ only in case"),
        (
            {"1.png": b"image", "2.png": b"image"},
            None,
            "2 images lie in the folder itself: put them",
        ),
        ({"1.png": b"image"}, None, "1 image lies in the folder itself"),
        (
            {"cells.csv": b"path,label\n1.png,a\n./1.png,b\n"},
            None,
            "line 3: ./1.png is listed in line 2 already",
        ),
        (
            {"cells.csv": b"path,label\n1.png, a\n2.png,\n"},
            None,
            "line 2: label ' a' has spaces at an end and 1 more",
        ),
        ({"cells.csv": b'path,label\n1.png,"a\nb"\n'}, None, "line 3: label 'a.nb' has control characters"),
        (
            {"cells.csv": b"path,label,pixel_um\n1.png,a,-1\n"},
            None,
            "line 2: pixel_um is -1: it must be 0.005 to 10 µm",
        ),
        ({"a/1.png": b"image", "a/.2.png": b"half copied"}, ["b"], "unknown label a"),
        ({"a\x1b/1.png": b"image"}, None, "class folder: label 'a.x1b' has control characters"),
    ],
)
def test_bad_data_gets_one_line(
    tmp_path: Path, files: dict[str, bytes], labels: list[str] | None, message: str
) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        elif content == b"image":
            write(path, noise(200, 200))
        else:
            path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_data(tmp_path, labels)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=2, max_size=80),
    st.floats(0.1, 0.5),
    st.integers(0, 9),
)
def test_no_group_is_on_both_sides_and_no_crop_is_lost(
    cells: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    data = a_dataset([label for label, _ in cells], [str(group) for _, group in cells])
    try:
        training, validation = split(data, fraction, seed)
    except ValueError:
        assume(False)
    assert not set(training.groups) & set(validation.groups)
    assert sorted(training.names + validation.names, key=int) == list(data.names)
    assert set(training.truth.tolist()) == set(data.truth.tolist())
    for part in (training, validation):
        assert [data.truth[int(name)] for name in part.names] == part.truth.tolist()
        assert [int(name) for name in part.names] == part.crops[:, 0, 0].tolist()
    assert split(data, fraction, seed)[1].names == validation.names


@given(st.lists(st.integers(10, 60), min_size=3, max_size=3), st.sampled_from([0.1, 0.2, 0.25, 0.5]))
def test_single_crops_are_split_in_the_same_way_in_every_class(counts: list[int], fraction: float) -> None:
    data = a_dataset(np.repeat([0, 1, 2], counts).tolist())
    validation = split(data, fraction, 3)[1].counts()
    for label, n in data.counts().items():
        assert abs(validation[label] - fraction * n) <= 0.5 + 1e-9


def test_a_class_in_one_group_stays_in_training_and_hopeless_splits_are_refused() -> None:
    data = a_dataset([0, 0, 0, 0, 0, 1, 1], ["1", "2", "3", "4", "5", "6", "6"])
    assert split(data, 0.2)[0].counts()["b"] == 2
    with pytest.raises(ValueError, match="no group is small enough"):
        split(a_dataset([0, 0], ["1", "1"]), 0.2)


def test_the_scale_of_the_crops_is_read_if_it_is_given(tmp_path: Path) -> None:
    for name, side in (("a", 200), ("b", 200), ("half", 100)):
        write(tmp_path / f"{name}.png", np.full((side, side), 90, np.uint8))
    table = tmp_path / "cells.csv"
    for rows, expected in (
        (",pixel_um\na.png,x,0.125\nb.png,y,0.125\n", 0.125),
        (",pixel_um\na.png,x,0.125\nhalf.png,y,0.25\n", 0.125),
        ("\na.png,x\nhalf.png,y\n", None),
        (",pixel_um\na.png,x,\nb.png,y,\n", None),
    ):
        table.write_text("path,label" + rows)
        assert read_data(table).pixel_um == expected
    for rows, message in (
        ("a.png,x,0.125\nb.png,y,0.25\n", "pixels of 0.125 to 0.25 µm"),
        ("a.png,x,0.125\nhalf.png,y,0.125\n", "read at 200 px, crops have pixels of 0.0625 to 0.125 µm"),
        ("a.png,x,0.125\nb.png,y,\n", "b.png has no pixel_um, others have"),
    ):
        table.write_text("path,label,pixel_um\n" + rows)
        with pytest.raises(ValueError, match=message):
            read_data(table)


def test_the_pixel_grows_when_crops_are_read_smaller(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(200, 200))
    (tmp_path / "cells.csv").write_text("path,label,pixel_um\na.png,x,0.0727\n")
    assert read_data(tmp_path, size_px=78).pixel_um == pytest.approx(0.0727 * 200 / 78)


def test_16_bits_are_read_as_8_and_unscaled_camera_counts_are_refused(tmp_path: Path) -> None:
    image = noise(200, 200)
    write(tmp_path / "a" / "8.png", image)
    write(tmp_path / "a" / "16.tif", image.astype(np.uint16) * 257)
    crops = read_data(tmp_path).crops
    assert np.array_equal(crops[0], crops[1])
    write(tmp_path / "a" / "black.png", np.zeros((200, 200), np.uint8))
    assert len(read_data(tmp_path).crops) == 3
    write(tmp_path / "b" / "12.png", image.astype(np.uint16) * 16 + 15)
    with pytest.raises(ValueError, match=r"cannot read b/12.png \(16-bit samples that use at most 12 bits"):
        read_data(tmp_path)


def test_a_single_image_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="class b has a single image, which cannot be split"):
        split(a_dataset([0] * 9 + [1]))


def test_a_table_with_windows_paths_semicolons_and_a_mark(tmp_path: Path) -> None:
    image = noise(200, 200)
    write(tmp_path / "a" / "1.png", image)
    write(tmp_path / "b" / "2.png", image)
    write(tmp_path / "b\\3.png", image)  # a name that Linux allows
    table = "path;label;pixel_um\r\na\\1.png;x;0,25\r\nb\\2.png;y;0,25\r\nb\\3.png;y;0,25\r\n"
    (tmp_path / "cells.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())
    data = read_data(tmp_path)
    assert (data.names, data.labels, data.pixel_um) == (("a/1.png", "b/2.png", "b\\3.png"), ("x", "y"), 0.25)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A table of 3,000 crops of which there are two."""
    rows = "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(3000))
    (tmp_path / "cells.csv").write_text(f"path,label\n{rows}")
    for k in (0, 2999):
        write(tmp_path / f"{k}.png", noise(20, 20))
    return tmp_path


@pytest.mark.parametrize("of_numpy", [True, False])
def test_crops_beyond_the_memory_are_one_line(
    many: Path, monkeypatch: pytest.MonkeyPatch, of_numpy: bool
) -> None:
    # either the board lacks the memory, or NumPy gets none since others hold it
    monkeypatch.setattr(board, "memory_bytes", lambda: 200_000_000 if of_numpy else 100_000_000)

    def refuse(*arguments: object) -> None:
        raise MemoryError

    if of_numpy:
        monkeypatch.setattr("train.data.np.empty", refuse)
    with pytest.raises(
        ValueError, match=r"3,000 crops of 200 px take 0\.1 GB of memory, and this machine allows 0\.[12] GB"
    ):
        read_data(many)


def test_a_table_of_crops_that_are_not_there_ends_soon(many: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read 1\.png .* and 997 more; the rest was not tried$"):
        read_data(many, size_px=8)
