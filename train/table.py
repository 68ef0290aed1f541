"""The CSV tables that training reads and writes: each kind of row is a dataclass, its fields are the columns.

A table is written in UTF-8 with commas, and read with commas, semicolons or tabs, in UTF-8 or, with its byte
order mark, in UTF-16. A column whose field has no default must be there; an empty field takes the default.
Columns that the kind does not name are kept as text in `Row.others` and written after its own.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from edge.base import PIXELS_UM, Cell, csv_writer, label_problem, open_input, unquoted, write_atomically

if TYPE_CHECKING:
    import _csv

LARGEST_PX = 100_000
"""Coordinates beyond this lie in no frame."""

TRAINING, VALIDATION = "training", "validation"
"""Parts of a split."""

CORNERS = ("xmin", "ymin", "xmax", "ymax")
"""Columns in which annotation tools write a box, max exclusive."""

_MOST_BYTES = 256 << 20

MOST_PROBLEMS = 1000
"""Lines with a problem after which no other is read."""

_MOST_COLUMNS = 1024
"""A table of predictions has one for each of at most 1,000 labels, other tables a few dozen."""


class MissingColumnError(ValueError):
    """The file may be a table of another kind; the message is one line."""


READER = re.compile(r"reader[1-9]\d{0,5}")
"""Name of a column with another person's readings of the label."""

MOST_READERS = 12

_LIKE_READER = re.compile(r"reader[\W_]*0*(\d*)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table; `others` holds the columns that its kind does not name."""

    others: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def columns(cls) -> list[str]:
        """Return the names of the kind's own columns."""
        return [one.name for one in fields(cls) if one.name != "others"]

    @classmethod
    def understood(cls) -> list[str]:
        """Return the names of all columns that `parse` looks at."""
        return cls.columns()

    @classmethod
    def missing(cls, columns: Sequence[str]) -> list[str]:
        """Return the columns that a table of this kind lacks."""
        needed = {one.name for one in fields(cls) if one.default is MISSING}
        return [name for name in cls.columns() if name in needed and name not in columns]

    @classmethod
    def parse(cls, record: Mapping[str, str]) -> Self:
        """Return the row with these fields; raises ValueError if one is not of its type or range."""
        own: dict[str, Any] = {"others": {k: text for k, text in record.items() if k not in cls.columns()}}
        for one in fields(cls):
            if one.name in record and (record[one.name] or one.default is MISSING) and one.name not in own:
                own[one.name] = _parsed(one.name, record[one.name], str(one.type).removesuffix(" | None"))
        return cls(**own)

    def __post_init__(self) -> None:
        """Refuse a pixel size that no microscope has."""
        pixel_um = getattr(self, "pixel_um", None)
        low, high = PIXELS_UM
        if pixel_um is not None and not low <= pixel_um <= high:
            raise ValueError(f"pixel_um is {pixel_um:g}: it must be {low:g} to {high:g} µm (0.125, not 125)")

    def cells(self) -> dict[str, str]:
        """Return the text of each field by its column."""
        return {name: _written(getattr(self, name)) for name in self.columns()} | dict(self.others)


AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True, kw_only=True)
class LabelledCrop(Row):
    """One labelled crop of a data set; a `group` (a frame, a patient) stays in one part of a split.

    The path is relative to the table; `pixel_um` is the side of the file's pixel in the specimen.
    """

    path: str
    label: str
    group: str = ""
    pixel_um: float | None = None

    def __post_init__(self) -> None:
        for name in ("path", "label"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        for text in (self.path, self.group):
            check_name(text)
        if problem := label_problem(self.label):
            raise ValueError(problem)
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class SuggestedLabel(Row):
    """One cell of ``labels.csv``; `label` is empty until a person confirms one. See `train.label.write`."""

    path: str
    label: str
    suggestion: str
    reason: str = ""
    group: str
    pixel_um: float
    touching: bool
    border: bool
    out_of_focus: bool


@dataclass(frozen=True, kw_only=True)
class Box(Row):
    """One labelled box in full-frame pixels; x, y is its upper left pixel.

    `frame` is a path with slashes, or a file name, `pixel_um` the side of the frame's pixel in the specimen;
    None is unknown.
    """

    frame: str
    label: str
    x: int
    y: int
    width: int
    height: int
    pixel_um: float | None = None
    touching: bool | None = None
    border: bool | None = None

    def __post_init__(self) -> None:
        right, bottom = self.x + self.width, self.y + self.height
        if min(self.width, self.height) <= 0 or max(map(abs, (self.x, self.y, right, bottom))) > LARGEST_PX:
            raise ValueError(f"not a box: x {self.x} to {right}, y {self.y} to {bottom}")
        super().__post_init__()

    @classmethod
    def understood(cls) -> list[str]:
        """Return the columns of both conventions."""
        return [*cls.columns(), *CORNERS, "crop_scale"]

    @classmethod
    def missing(cls, columns: Sequence[str]) -> list[str]:
        """Return the columns that are missing of either convention."""
        if "x" in columns or not set(CORNERS) & set(columns):
            return super().missing(columns)
        return [name for name in ("frame", "label", *CORNERS) if name not in columns]

    @classmethod
    def parse(cls, record: Mapping[str, str]) -> Self:
        """Return the box of a row with x, y, width and height, or with `CORNERS`.

        In a list of crops, ``pixel_um`` is the crop's: ``crop_scale`` frame pixels.
        """
        record = {**record, "frame": record["frame"].replace("\\", "/")}
        scale, crop_um = record.pop("crop_scale", ""), record.get("pixel_um", "")
        if scale and crop_um:
            frame_um = _parsed("pixel_um", crop_um, "float") / _parsed("crop_scale", scale, "float")
            record["pixel_um"] = f"{frame_um:.9g}"
        corners = {name: record.pop(name) for name in CORNERS if name in record}
        if "x" not in record:
            record |= _from_corners(corners)
        elif all(corners.get(name) for name in CORNERS):
            for name, text in _from_corners(corners).items():
                # either may be rounded
                if abs(_parsed(name, record[name], "int") - int(text)) > 1:
                    raise ValueError(f"{name} is {record[name]}, but {text} by {', '.join(CORNERS)}")
        return super().parse(record)

    @property
    def cell(self) -> Cell:
        """The box as a cell whose area was not measured."""
        box = (self.x, self.y, self.width, self.height)
        return Cell(*box, area_px=0.0, border=bool(self.border), touching=bool(self.touching))


@dataclass(frozen=True, kw_only=True)
class Verdict(Row):
    """A person's verdict on one label that networks may have doubted; see `train.check.doubts`."""

    rank: int | None = None
    path: str
    label: str = ""
    suggested: str = ""
    label_probability: float | None = None
    suggested_probability: float | None = None
    verdict: str

    @property
    def is_wrong(self) -> bool:
        """Whether the person found the label plainly wrong."""
        return self.verdict.strip().lower() == "wrong"


@dataclass(frozen=True, kw_only=True)
class SplitCrop(Row):
    """One crop of a training run; `part` is ``training`` or ``validation``."""

    path: str
    label: str = ""
    group: str = ""
    part: str

    def __post_init__(self) -> None:
        if self.part not in (TRAINING, VALIDATION):
            raise ValueError(f"part is {self.part!r}: it must be training or validation")


@dataclass(frozen=True, kw_only=True)
class FoldCrop(Row):
    """One crop predicted by a network that never saw it; `others` holds a probability per label."""

    path: str
    label: str
    fold: str


def read_table(path: Path, kind: type[AnyRow], *, whole: bool = False) -> dict[int, AnyRow]:
    """Return the rows of a table by their line.

    Parameters
    ----------
    whole : bool
        Refuse a row with more or fewer fields than the header, as in a file that was cut short.

    Raises
    ------
    ValueError
        If the file is not such a table; one line that names the file and the line.
    """
    rows, problems = scan_table(path, kind, whole=whole)
    for line, problem in problems.items():
        raise ValueError(f"{path}, line {line}: {problem}")
    return rows


def scan_table(
    path: Path, kind: type[AnyRow], *, whole: bool = False
) -> tuple[dict[int, AnyRow], dict[int, str]]:
    """Return the valid rows of a table, and what is wrong with the others, by line; see `read_table`.

    Nothing is read after `MOST_PROBLEMS`.
    """
    rows: dict[int, AnyRow] = {}
    problems: dict[int, str] = {}
    for line, record, surplus, is_short in _records(path, kind):
        try:
            if any(surplus) or (whole and surplus):
                raise ValueError("more fields than the header: put a text or number with a comma into quotes")
            if whole and is_short:
                raise ValueError("fewer fields than the header")
            rows[line] = kind.parse(record)
        except ValueError as error:
            problems[line] = str(error)
            if len(problems) == MOST_PROBLEMS:
                break
    return rows, problems


def write_table(path: Path, kind: type[AnyRow], rows: Sequence[AnyRow]) -> None:
    """Write a table atomically."""
    cells = [row.cells() for row in rows]
    header = list(dict.fromkeys([*kind.columns(), *(name for row in cells for name in row)]))
    text = table_text(header, ([row.get(name, "") for name in header] for row in cells))
    write_atomically(path, text.encode())


def table_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV of any rows."""
    text = io.StringIO()
    write = csv_writer(text)
    for row in (header, *rows):
        write(row)
    return text.getvalue()


def check_name(text: str) -> None:
    """Raise ValueError for a name with control characters, bytes that are not text, or spaces at an end."""
    if text != text.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError(f"{text!r} has control characters, or spaces at an end")


def file_name(path: str) -> str:
    """Return the last part of a path, whichever system wrote it."""
    return path.replace("\\", "/").rpartition("/")[2]


def _from_corners(corners: Mapping[str, str]) -> dict[str, str]:
    """Return x, y, width and height of a box from its `CORNERS`."""
    left, top, right, bottom = (_parsed(name, corners[name], "int") for name in CORNERS)
    return {"x": str(left), "y": str(top), "width": str(right - left), "height": str(bottom - top)}


def _records(path: Path, kind: type[Row]) -> Iterator[tuple[int, dict[str, str], list[str], bool]]:
    """Yield line, fields by column, fields beyond the header, and whether it is short, of each filled row.

    Missing fields are empty in the columns that the kind understands, and left out of others: short rows
    below a wide header stay small.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: not a regular file")
    try:
        with open_input(path, _MOST_BYTES) as content:
            utf_16 = content.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            content.seek(0)
            file = io.TextIOWrapper(content, "utf-16" if utf_16 else "utf-8-sig", newline="")
            reader, header = _reader(file, kind)
            _check_header(path, kind, header)
            decimal_comma = reader.dialect.delimiter != ","
            empty = dict.fromkeys((name for name in header if name in kind.understood()), "")
            for row in reader:
                if any(row) or len(row) > len(header):
                    found = [_plain(text, decimal_comma) for text in row]
                    record = empty | dict(zip(header, found, strict=False))
                    yield reader.line_num, record, found[len(header) :], len(found) < len(header)
    except UnicodeError as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error


def _check_header(path: Path, kind: type[Row], header: Sequence[str]) -> None:
    """Refuse columns that are missing, that come twice or that would be passed over, and too many."""
    if len(header) > _MOST_COLUMNS:
        raise ValueError(
            f"{path}: {len(header):,} columns, more than {_MOST_COLUMNS:,}: leave out those that are "
            "not of its cells"
        )
    if missing := kind.missing(header):
        there = f"it has {', '.join(header)[:500]}" if any(header) else "it is empty"
        raise MissingColumnError(f"{path}: column {', '.join(missing)} is missing; {there}")
    if twice := [name for name, n in Counter(filter(None, header)).items() if n > 1]:
        raise ValueError(f"{path}: column {', '.join(twice)[:500]} comes twice: remove or rename one")
    readers = {name for name in header if READER.fullmatch(name)}
    if len(readers) > MOST_READERS:
        raise ValueError(
            f"{path}: {len(readers):,} readers, more than {MOST_READERS}: leave out some columns"
        )
    for name in header:
        if (like := _LIKE_READER.fullmatch(name)) and name not in readers:
            raise ValueError(f"{path}: column {name!r}: readings stand in reader{like[1] or 1}: rename it")


def _reader(file: TextIO, kind: type[Row]) -> tuple[_csv.Reader, list[str]]:
    """Return a reader with the separator that gives the kind's columns, else a comma; and the header."""
    delimiters = ",;\t"  # spreadsheets write semicolons where the comma is decimal
    for delimiter in (*delimiters, ","):
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter)
        header = [unquoted(name).strip() for name in next(reader, ())]
        if not kind.missing(header):
            break
    return reader, header


def _plain(text: str, decimal_comma: bool) -> str:
    """Return a field as it was before a table was made of it."""
    if decimal_comma and re.fullmatch(r"[+-]?\d+,\d+", text):
        return text.replace(",", ".")
    return unquoted(text)


def _parsed(name: str, text: str, kind: str) -> Any:
    """Return a field as its type: str, int (rounded), float (finite) or bool (0 or 1)."""
    if kind == "str":
        return text
    if kind == "bool":
        if text not in ("0", "1"):
            raise ValueError(f"{name} is {text!r}: it must be 0 or 1")
        return text == "1"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text!r}: it must be a number")
    return round(number) if kind == "int" else number


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"  # distinguishes all float32 numbers
    return str(int(value) if isinstance(value, bool) else value)
