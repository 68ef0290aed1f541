from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.base import label_problem
from train.table import (
    Box,
    FoldCrop,
    LabelledCrop,
    Row,
    SplitCrop,
    SuggestedLabel,
    Verdict,
    file_name,
    read_table,
    scan_table,
    write_table,
)

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).filter(lambda s: s == s.strip())
LABEL = TEXT.filter(lambda text: not label_problem(text))
PIXEL_UM = st.none() | st.floats(0.005, 10).map(lambda value: float(f"{value:.9g}"))


@given(
    st.lists(
        st.builds(
            LabelledCrop,
            path=TEXT,
            label=LABEL,
            group=TEXT | st.just(""),
            pixel_um=PIXEL_UM,
            others=st.fixed_dictionaries({"lobes": TEXT, "notes, mine": TEXT | st.just("")}),
        )
    )
)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    write_table(path, LabelledCrop, rows)
    assert list(read_table(path, LabelledCrop).values()) == rows


@given(
    st.integers(-50, 5000),
    st.integers(-50, 5000),
    st.integers(1, 900),
    st.integers(1, 900),
    PIXEL_UM,
    st.none() | st.booleans(),
)
def test_a_box_is_the_same_in_either_convention(
    tmp_path_factory: pytest.TempPathFactory,
    x: int,
    y: int,
    width: int,
    height: int,
    pixel_um: float | None,
    touching: bool | None,
) -> None:
    folder = tmp_path_factory.mktemp("boxes")
    box = Box(
        frame="f.png", label="a", x=x, y=y, width=width, height=height, pixel_um=pixel_um, touching=touching
    )
    write_table(folder / "cells.csv", Box, [box])
    cells = box.cells()
    corners = (
        f"frame,label,xmin,ymin,xmax,ymax,pixel_um,touching\n"
        f"f.png,a,{x},{y}.0,{x + width},{y + height},{cells['pixel_um']},{cells['touching']}\n"
    )
    (folder / "boxes.csv").write_text(corners)
    assert read_table(folder / "cells.csv", Box) == {2: box}
    assert read_table(folder / "boxes.csv", Box) == {2: box}
    both = f"{x},{y},{width},{height},{x},{y},{x + width},{y + height}"
    (folder / "both.csv").write_text(
        "frame,label,x,y,width,height,xmin,ymin,xmax,ymax,pixel_um,touching\n"
        f"f.png,a,{both},{cells['pixel_um']},{cells['touching']}\n"
    )
    assert read_table(folder / "both.csv", Box) == {2: box}
    assert (box.cell.x, box.cell.y, box.cell.width, box.cell.height) == (x, y, width, height)


def test_a_pixel_of_a_crop_is_that_of_its_frame_times_the_scale(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text(
        "path,label,group,pixel_um,frame,x,y,width,height,crop_scale\na/1.png,a,f.png,0.2,f.png,1,2,3,4,2\n"
    )
    (box,) = read_table(tmp_path / "cells.csv", Box).values()
    assert box.pixel_um == pytest.approx(0.1)
    (crop,) = read_table(tmp_path / "cells.csv", LabelledCrop).values()
    assert crop.pixel_um == 0.2


HEADER = "path,label,suggestion,group,pixel_um,touching,border,out_of_focus"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (LabelledCrop, "file,label\n", r"cells\.csv: column path is missing; it has file, label"),
        (LabelledCrop, "", r"cells\.csv: column path, label is missing; it is empty"),
        (LabelledCrop, "path,label,label\n1.png,a,b\n", "column label comes twice"),
        (LabelledCrop, "path,label,reader1,reader1\n1.png,a,b,a\n", "column reader1 comes twice"),
        (LabelledCrop, "path,label,reader1, reader1\n1.png,a,b,a\n", "column reader1 comes twice"),
        (LabelledCrop, "path,label,note,note\n1.png,a,b,a\n", "column note comes twice"),
        (LabelledCrop, "path,label,Reader2\n1.png,a,b\n", "column 'Reader2': readings stand in reader2"),
        (LabelledCrop, "path,label,reader_02\n1.png,a,b\n", "column 'reader_02': readings stand in reader2"),
        (LabelledCrop, "path,label,reader\n1.png,a,b\n", "column 'reader': readings stand in reader1"),
        (
            LabelledCrop,
            f"path,label,{','.join(f'reader{k}' for k in range(1, 14))}\n1.png,a\n",
            "13 readers, more than 12: leave out some columns",
        ),
        (LabelledCrop, "path,label,pixel_um\n1.png,a,0,125\n", "line 2: more fields than the header: put"),
        (LabelledCrop, 'path,label,pixel_um\n1.png,a,"0,125"\n', "pixel_um is '0,125': it must be a number"),
        (LabelledCrop, "path,label,pixel_um\n1.png,a,0.125 µm\n", "pixel_um is '0.125 µm': it must be"),
        (LabelledCrop, "path;labels\n1.png;a\n", "column path, label is missing"),
        (LabelledCrop, "path,label\n\n,\n1.png,\n", r"cells\.csv, line 4: label is empty"),
        (LabelledCrop, "path,label\n1.png, a\n", "line 2: label ' a' has spaces at an end"),
        (LabelledCrop, 'path,label\n1.png,"a\nb"\n', "line 3: label 'a.nb' has control characters"),
        (
            LabelledCrop,
            "path,label,pixel_um\n1.png,a,-1\n",
            "line 2: pixel_um is -1: it must be 0.005 to 10 µm",
        ),
        (
            LabelledCrop,
            "path,label,pixel_um\n1.png,a,inf\n",
            "line 2: pixel_um is 'inf': it must be a number",
        ),
        (Verdict, "rank,path,verdict\nfirst,1.png,\n", "line 2: rank is 'first': it must be a number"),
        (Verdict, "path,doubt\n1.png,1\n", "column verdict is missing"),
        (Box, "frame,label,xmin,ymin,xmax\n", "column ymax is missing"),
        (Box, "frame,label,x,y,width\n", "column height is missing"),
        (Box, "frame,label,box\n", "column x, y, width, height is missing"),
        (Box, "frame,label,x,y,width,height\nf,a,1,1,0,5\n", "line 2: not a box: x 1 to 1, y 1 to 6"),
        (Box, "frame,label,xmin,ymin,xmax,ymax\nf,a,1,1,1e9,5\n", "line 2: not a box"),
        (Box, "frame,label,x,y,width,height\nf,a,1,5,2,30,30\n", "line 2: more fields than the header"),
        (
            Box,
            "frame,label,x,y,width,height,xmin,ymin,xmax,ymax\nf,a,1,2,5,5,1,2,6,9\n",
            "line 2: height is 5, but 7 by xmin, ymin, xmax, ymax",
        ),
        (Box, "frame,label,xmin,ymin,xmax,ymax\nf,a,1,,5,5\n", "line 2: ymin is '': it must be a number"),
        (Box, "frame,label,x,y,width,height\nf,a,1,,5,5\n", "line 2: y is '': it must be a number"),
        (SuggestedLabel, f"{HEADER}\n1.png,,unsure,f,0.1,yes,0,0\n", "touching is 'yes': it must be 0 or 1"),
        (SuggestedLabel, f"{HEADER}\n1.png,,unsure,f,,0,0,0\n", "pixel_um is '': it must be a number"),
    ],
)
def test_a_table_that_is_wrong_gets_one_line(
    tmp_path: Path, kind: type[Row], text: str, message: str
) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(path, kind)
    assert "\n" not in str(caught.value)


def test_short_rows_below_a_wide_header_stay_small_and_are_read(tmp_path: Path) -> None:
    path, more = tmp_path / "t.csv", [f"c{k}" for k in range(1000)]
    path.write_text(f"path,label,{','.join(more)},group\n1.png,a\n2.png,b,,x\n3.png,a{',y' * 1000},g\n")
    first, second, whole = read_table(path, LabelledCrop).values()
    assert (first, second.others) == (LabelledCrop(path="1.png", label="a"), {"c0": "", "c1": "x"})
    assert (whole.others, whole.group) == (dict.fromkeys(more, "y"), "g")
    path.write_text(f"frame,label,xmin,ymin,{','.join(more)},xmax,ymax,crop_scale,pixel_um\nf,a,1,2\n")
    with pytest.raises(ValueError, match="line 2: xmax is '': it must be a number"):
        read_table(path, Box)
    path.write_text("frame,label,xmin,ymin,xmax,ymax,note,crop_scale,pixel_um\nf,a,1,2,4,6\n")
    assert read_table(path, Box)[2] == Box(frame="f", label="a", x=1, y=2, width=3, height=4)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_has_a_bounded_number_of_columns(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(separator.join(["path", "label", *(f"c{k}" for k in range(1022))]) + "\n")
    assert read_table(path, LabelledCrop) == {}
    path.write_text(path.read_text().replace("\n", separator + "\n"))
    with pytest.raises(ValueError, match=r"t\.csv: 1,025 columns, more than 1,024: leave out those"):
        read_table(path, LabelledCrop)


def test_every_problem_is_listed_and_the_other_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("\ufeffpath,label\n1.png,a\n,b\n3.png,\n4.png,c\n", encoding="utf-8")
    rows, problems = scan_table(path, LabelledCrop)
    assert {line: row.path for line, row in rows.items()} == {2: "1.png", 5: "4.png"}
    assert problems == {3: "path is empty", 4: "label is empty"}


def test_a_table_cut_short_is_refused_where_it_must_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "doubts.csv"
    path.write_text("path,verdict,label\n1.png,wrong,a\n2.png,wro")
    assert len(read_table(path, Verdict)) == 2
    with pytest.raises(ValueError, match="line 3: fewer fields than the header"):
        read_table(path, Verdict, whole=True)
    path.write_text("path,verdict\n1.png,wrong,\n")
    with pytest.raises(ValueError, match="line 2: more fields than the header"):
        read_table(path, Verdict, whole=True)


ROWS: dict[type[Row], Row] = {
    LabelledCrop: LabelledCrop(
        path="=a/1,2.png", label="b-", group="Ä; 1", pixel_um=0.125, others={"note": "one\nline more"}
    ),
    Box: Box(frame="@1.png", label="+a", x=-3, y=4, width=50, height=60, pixel_um=0.0725, touching=True),
    SuggestedLabel: SuggestedLabel(
        path="crops/f_0001.png", label="", suggestion="unsure", group="f", pixel_um=0.5,
        touching=False, border=True, out_of_focus=False,
    ),
    Verdict: Verdict(rank=1, path="a/1.png", label="a", label_probability=0.25, verdict="wrong"),
    SplitCrop: SplitCrop(path="a/1.png", label="a", group="g, h", part="validation"),
    FoldCrop: FoldCrop(path="a/1.png", label="a", fold="1", others={"a": "0.25", "b": "0.75"}),
}  # fmt: skip


def dialect(text: str, *, separator: str = ",", ends: str = "\n", quoting: Any = csv.QUOTE_MINIMAL) -> str:
    """Return a CSV as another program would save it; its decimal separator is a comma beside semicolons."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=ends, quoting=quoting)
    for row in csv.reader(io.StringIO(text, newline="")):
        writer.writerow(
            re.sub(r"^(-?\d+)\.(\d+)$", r"\1,\2", field) if separator != "," else field for field in row
        )
    return out.getvalue()


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: dialect(text, ends="\r\n").encode(),
        lambda text: dialect(text, ends="\r", quoting=csv.QUOTE_ALL).encode(),
        lambda text: dialect(text, separator=";").encode("utf-8-sig"),
        lambda text: dialect(text, separator=";", ends="\r\n", quoting=csv.QUOTE_ALL).encode(),
        lambda text: dialect(text, separator="\t", ends="\r\n").encode("utf-16"),
        lambda text: dialect(text, quoting=csv.QUOTE_ALL).encode(),
        lambda text: text.replace("\n", "\n\n\n").encode() if "more" not in text else text.encode(),
        lambda text: (text + "," * text.splitlines()[0].count(",") + "\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        # a spreadsheet keeps an apostrophe, or shows the text as it was
        lambda text: text.replace("'", "").encode(),
    ],
    ids=[
        *("mark", "utf-16", "utf-16-be", "crlf", "cr", "semicolons", "semicolons, quoted", "excel's text"),
        *("quoted", "empty lines", "empty row", "no last end", "no apostrophes"),
    ],
)
def test_every_table_is_read_as_another_program_saves_it(
    tmp_path: Path, kind: type[Row], saved: Callable[[str], bytes]
) -> None:
    write_table(tmp_path / "made.csv", kind, [ROWS[kind]])
    (tmp_path / "saved.csv").write_bytes(saved((tmp_path / "made.csv").read_bytes().decode()))
    (row,) = read_table(tmp_path / "saved.csv", kind).values()
    plain = {name: text.replace(",", ".") for name, text in row.others.items() if kind is FoldCrop}
    assert replace(row, others=plain or row.others) == ROWS[kind]


def test_a_frame_by_its_windows_path_is_the_frame(tmp_path: Path) -> None:
    for number, path in enumerate((r"C:\data\f.png", r"..\f.png", "/home/me/f.png", r"\\server\x\f.png")):
        table = tmp_path / f"{number}.csv"
        table.write_text(f"frame,label,x,y,width,height\n{path},a,1,2,3,4\n")
        assert [file_name(box.frame) for box in read_table(table, Box).values()] == ["f.png"]


def test_columns_of_an_image_size_are_not_those_of_a_box(tmp_path: Path) -> None:
    """As annotation tools export them."""
    (tmp_path / "boxes.csv").write_text(
        "frame,width,height,label,xmin,ymin,xmax,ymax\nf.png,4000,3000,a,10,20,40,60\n"
    )
    (box,) = read_table(tmp_path / "boxes.csv", Box).values()
    assert (box.x, box.y, box.width, box.height) == (10, 20, 30, 40)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", "path,label\n1.png,ä\n".encode("latin-1")])
def test_another_encoding_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cells.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"cells\.csv is not a CSV file in UTF-8: save it as UTF-8"):
        read_table(tmp_path / "cells.csv", LabelledCrop)


def test_a_folder_is_not_a_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a regular file"):
        read_table(tmp_path, Box)
