"""What a dataclass holds is written and read back; whatever else a mapping says is refused with its path."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import MISSING, asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.base.schema import ANY_CHARACTER, Problem, SchemaError, collect, declare, keys, read, shown


@dataclass(frozen=True)
class Lens:
    magnification: float = declare("from specimen to sensor", 0.1, 200, unit="times")
    name: str = declare("in words", characters="[^x]", max_length=20)


@dataclass(frozen=True)
class Sample:
    lens: Lens
    count: int = declare("cells counted", 0, 1000, unit="cells")
    share: float = declare("share of them", 0, 1, high_open=True)
    scale: float = declare("a factor", 0, low_open=True, high=1e9)
    taken: datetime = declare("when")
    labels: tuple[str, ...] = declare("labels", choices=("a", "b", "c"))
    matrix: tuple[tuple[int, ...], ...] = declare("in cells", 0, 9)
    areas: Mapping[str, float] = declare("label and area", 0, 1)
    gain: float | None = declare("by default automatic", 0.5, 16)
    mode: Literal["scan", "flow"] | None = declare("how frames follow each other", default=None)
    times: Literal[1, 8] = declare("views", default=1)
    size: tuple[int, int] | None = declare("in px", 1, 100, default=None)
    keep: bool = declare("keep crops", default=False)
    note: str = declare("in words", default="")
    path: str = declare("a file", characters=ANY_CHARACTER, default="x")
    spare: Lens | None = None
    sha256: str = declare("of the file", pattern="[0-9a-f]{4}", form="4 hexadecimal digits", default="00ff")


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
lenses = st.builds(Lens, st.floats(0.1, 200), texts.map(lambda text: text.replace("x", "y")))
whens = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC))
samples = st.builds(
    Sample,
    lens=lenses,
    count=st.integers(0, 1000),
    share=st.floats(0, 1, exclude_max=True),
    scale=st.floats(0, 1e9, exclude_min=True),
    taken=whens,
    labels=st.lists(st.sampled_from("abc")).map(tuple),
    matrix=st.lists(st.lists(st.integers(0, 9)).map(tuple)).map(tuple),
    areas=st.dictionaries(texts, st.floats(0, 1), max_size=3),
    gain=st.none() | st.floats(0.5, 16),
    mode=st.sampled_from([None, "scan", "flow"]),
    times=st.sampled_from([1, 8]),
    size=st.none() | st.tuples(st.integers(1, 100), st.integers(1, 100)),
    keep=st.booleans(),
    note=st.just("") | texts,
    path=st.text(min_size=1).filter(str.strip),
    spare=st.none() | lenses,
    sha256=st.sampled_from(["0000", "abcd"]),
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [10**400, "a", datetime(2026, 1, 1), datetime.min.replace(tzinfo=timezone(timedelta(hours=2))), b"a"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(samples)
def test_the_values_of_a_dataclass_are_read_back(sample: Sample) -> None:
    assert read(Sample, asdict(sample)) == sample
    as_json = json.loads(json.dumps(asdict(sample), default=str)) | {"taken": sample.taken}
    assert read(Sample, as_json) == sample


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a mapping."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


def replaced(raw: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = deepcopy(raw)
    place = copy
    for name in path[:-1]:
        place = place[name]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


def same(raw: Any, read: Any) -> bool:
    """Compare a mapping with what was read from it: a default may be left out, 1 is 1.0 but not True."""
    if isinstance(raw, Mapping) and isinstance(read, Mapping):
        return raw.keys() <= read.keys() and all(same(raw[name], read[name]) for name in raw)
    if isinstance(raw, list) and isinstance(read, tuple | list):
        return len(raw) == len(read) and all(map(same, raw, read))
    return bool(raw == read) and isinstance(raw, bool) == isinstance(read, bool)


def as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_lists(one) for name, one in value.items()}
    return [as_lists(one) for one in value] if isinstance(value, tuple) else value


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_mutation_is_refused_with_its_path_or_read(data: st.DataObject) -> None:
    raw = as_lists(asdict(data.draw(samples)))
    path = data.draw(st.sampled_from(list(places(raw))))
    if path and data.draw(st.booleans()):
        mutated = replaced(raw, path, MISSING)
    elif isinstance(raw, dict) and data.draw(st.booleans()):
        groups = [place for place in ((), ("lens",), ("spare",)) if not place or raw[place[0]] is not None]
        path = (*data.draw(st.sampled_from(groups)), data.draw(st.text(min_size=1).filter(str.isupper)))
        mutated = replaced(raw, path, 1)
    else:
        mutated = replaced(raw, path, data.draw(anything))
    reading = collect(Sample, mutated)
    for problem in reading.problems:
        shorter = min(len(path), len(problem.path))
        assert problem.path[:shorter] == path[:shorter]
        assert problem.why
        assert problem.allowed
        assert str(SchemaError((problem,))).isprintable()
    assert reading.problems or same(mutated, asdict(reading.value))


WHEN = datetime(2026, 1, 1, tzinfo=UTC)
VALID: dict[str, Any] = {
    "lens": {"magnification": 40, "name": "air"},
    "count": 3,
    "share": 0.5,
    "scale": 1,
    "taken": WHEN,
    "labels": ["a"],
    "matrix": [[1, 2]],
    "areas": {"a": 1},
    "gain": None,
}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("count",),
            True,
            "count is true; expected a whole number from 0 to 1_000 cells",
        ),
        (("count",), 1.0, "count is 1.0;"),
        (("count",), 1001, "count is 1001; expected a whole number from 0 to 1_000 cells"),
        (("share",), 1, "share is 1; expected a number from 0 to 1 (excluded)"),
        (("scale",), 0, "scale is 0; expected a number from 0 (excluded) to 1e+09"),
        (("scale",), math.nan, "scale is NaN"),
        (("scale",), math.inf, "scale is Infinity"),
        (("scale",), "1", 'scale is "1"; expected a number'),
        (("lens", "name"), " ", "lens.name is blank; expected a text"),
        (("lens", "name"), "axe", 'lens.name contains "x", which is not allowed'),
        (("lens", "name"), "a" * 21, "lens.name has 21 characters, more than 20"),
        (("note",), "a\nb", 'note contains "\\n", which is not allowed'),
        (("lens",), 3, "lens is 3; expected a group of the keys magnification, name"),
        (("lens", "nane"), 3, "lens.nane is not a known key; expected one of magnification, name"),
        (
            ("lens",),
            MISSING,
            "lens.magnification is missing; expected a number from 0.1 to 200 times (and 1 more)",
        ),
        (("labels", 0), "d", 'labels.0 is "d"; expected "a", "b", "c"'),
        (("labels",), "a", 'labels is "a"; expected a list, each "a", "b", "c"'),
        (("matrix", 0, 1), 10, "matrix.0.1 is 10"),
        (("areas", "a"), -1, "areas.a is -1"),
        (("areas",), {" ": 1}, "areas.  is blank; expected a text"),
        (("areas",), [], "areas is []; expected names, each with a number from 0 to 1"),
        (("mode",), "rest", 'mode is "rest"; expected "scan", "flow"'),
        (("times",), True, "times is true; expected 1, 8"),
        (("size",), [1], "size is [1]; expected a list of 2, each a whole number from 1 to 100"),
        (("sha256",), "00FF", 'sha256 is "00FF"; expected 4 hexadecimal digits'),
        (
            ("taken",),
            WHEN.replace(tzinfo=None),
            'taken is "2026-01-01 00:00:00"; expected a date and time',
        ),
        (("taken",), "2026-01-01", 'taken is "2026-01-01"; expected a date and time'),
        ((), [], "is []; expected a group of the keys lens, count, share"),
    ],
)
def test_messages_are_one_line(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(SchemaError) as error:
        read(Sample, replaced(VALID, path, value))
    assert str(error.value).startswith(message)


def test_every_problem_is_collected_and_the_rest_is_read() -> None:
    wrong = VALID | {"count": -1, "note": 3, "lens": {"name": "air"}, "other": 1}
    reading = collect(Sample, wrong)
    assert [problem.path for problem in reading.problems] == [
        ("other",),
        ("lens", "magnification"),
        ("count",),
        ("note",),
    ]
    assert reading.problems[2] == Problem(("count",), "is -1", "a whole number from 0 to 1_000 cells")
    value = reading.value
    assert asdict(value) | {"count": None, "note": "", "share": 0.5} == asdict(value)
    assert value.lens == Lens(None, "air")  # type: ignore[arg-type]  # a stand-in
    assert not collect(Sample, VALID).problems


def test_a_message_counts_the_problems_it_does_not_name() -> None:
    with pytest.raises(SchemaError, match=r"^a is not a known key; expected one of .* \(and 1 more\)$"):
        read(Lens, {"a": 1, "name": "air", "magnification": True})


def test_dates_are_kept_in_utc() -> None:
    east = WHEN.astimezone(timezone(timedelta(hours=2)))
    assert read(Sample, VALID | {"taken": east}).taken.utcoffset() == timedelta(0)


def test_keys_state_what_documentation_needs() -> None:
    stated = {key.name: key for key in keys(Sample)}
    assert list(stated) == list(asdict(read(Sample, VALID)))
    gain, mode, count = stated["gain"], stated["mode"], stated["count"]
    assert (gain.type, gain.optional, gain.default) == (float, True, MISSING)
    assert (mode.optional, mode.default, mode.allowed) == (True, None, '"scan", "flow"')
    assert (count.description, count.unit, count.low, count.high) == ("cells counted", "cells", 0, 1000)


@given(anything)
def test_any_value_is_shown_on_one_short_line(value: Any) -> None:
    assert len(shown(value)) <= 60
    assert shown(value).isprintable()
