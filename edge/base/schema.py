"""Validation: the keys of a file or of a configuration are the fields of a frozen dataclass, declared once.

`declare` states a field's description, unit, range, choices and form. From it come the strict reader (`read`,
`collect`) and whatever shows the key to a person (`keys`: help, comments in a new file, documentation).
`dataclasses.asdict` gives the mapping that `read` takes back.

A field is a bool, int, float, str, datetime (aware; kept in UTC), Literal, Any, another dataclass, a tuple
or a Mapping with text keys of these, a number or a Literal, or any of them ``| None``. What is declared of a
tuple or a Mapping holds for each value in it. A dataclass that the mapping leaves out reads as an empty one:
each required key is named.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import takewhile
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edge.base.visible import visible

T = TypeVar("T")
N = TypeVar("N")

MOST_PROBLEMS = 1000
"""Problems after which no more are looked for."""

ANY_CHARACTER = "(?s:.)"
"""For `declare(characters=…)`: texts such as paths, which need not be printable."""

_FIRST, _LAST = (end.replace(tzinfo=UTC) for end in (datetime.min, datetime.max))
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    datetime: "a date and time with its offset, like 2026-01-31T09:30:00Z",
    Any: "anything",
}


def declare(description: str, low: float = -math.inf, high: float = math.inf, **options: Any) -> Any:
    """Return a dataclass field that carries the attributes of `Key`.

    Parameters
    ----------
    options : Any
        Other attributes of `Key`, and ``default`` or ``default_factory``, without which the key is required.
    """
    defaults = {name: options.pop(name) for name in ("default", "default_factory") if name in options}
    return field(metadata={"description": description, "low": low, "high": high, **options}, **defaults)


def redeclare(kind: type[Any], name: str, low: float | None = None, high: float | None = None) -> Any:
    """Return a field as another dataclass declares it, in a narrower range if one is given."""
    (declared,) = (one for one in fields(kind) if one.name == name)
    narrower = {"low": low, "high": high}
    narrower = {end: value for end, value in narrower.items() if value is not None}
    open_ends = {f"{end}_open": False for end in narrower}
    return field(metadata={**declared.metadata, **narrower, **open_ends}, default=declared.default)


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key: its name, meaning, and what it may hold.

    Attributes
    ----------
    type : Any
        Without ``| None``, which `optional` states.
    default : Any
        `dataclasses.MISSING` for a required key.
    blank : bool
        Whether a text may be blank; if its default is, it may be so too.
    low, high : float
        Range of a number, both ends included unless `low_open` or `high_open`.
    pattern, characters : str
        Regular expressions of the whole text and of each character; by default any printable characters.
    form : str
        What pattern and characters ask for, in words.
    option : str
        Command-line option, where it is not the key's name with hyphens.
    """

    name: str = ""
    type: Any = str
    optional: bool = False
    default: Any = field(default_factory=lambda: MISSING)  # as its own default, MISSING would mean "none"
    description: str = ""
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    pattern: str = ""
    characters: str = ""
    max_length: int = 4000
    blank: bool = False
    form: str = ""
    option: str = ""

    @property
    def allowed(self) -> str:
        """What the key may hold, in words."""
        return _allowed(self, self.type)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a mapping.

    Attributes
    ----------
    path : tuple of str or int
        Keys, and positions in lists, that lead to it; empty for the mapping itself.
    why : str
        What is wrong, to follow the key's name.
    allowed : str
        What the key may hold; for an unknown key, the known ones.
    """

    path: tuple[str | int, ...]
    why: str
    allowed: str

    @property
    def name(self) -> str:
        """The path with dots, in printable characters."""
        return _printable(".".join(map(str, self.path)))

    def __str__(self) -> str:
        return f"{self.name} {self.why}; expected {self.allowed}".lstrip()


class SchemaError(ValueError):
    """A mapping that cannot be read; the message is one line and names the first of its `problems`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{others}")
        self.problems = problems


@dataclass(frozen=True)
class Reading(Generic[T]):
    """A mapping read as far as possible; a value with a problem is at its default, or None."""

    value: T
    problems: tuple[Problem, ...]


def read(kind: type[T], raw: Mapping[str, Any]) -> T:
    """Read a mapping into a dataclass.

    Raises
    ------
    SchemaError
        If a key is unknown, missing, of another type (a bool is no number), out of range or not finite.
    """
    reading = collect(kind, raw)
    if reading.problems:
        raise SchemaError(reading.problems)
    return reading.value


def collect(kind: type[T], raw: Mapping[str, Any]) -> Reading[T]:
    """Read a mapping into a dataclass and list every problem, for a report that names them all."""
    problems: list[Problem] = []
    value = _group(kind, raw, (), problems)
    return Reading(value, tuple(problems))


def keys(kind: type[Any]) -> tuple[Key, ...]:
    """Return the declared keys of a dataclass, in order."""
    return _keys(kind)  # type: ignore[arg-type]  # a type can be hashed


@cache
def _keys(kind: type[Any]) -> tuple[Key, ...]:
    found, hints = [], get_type_hints(kind)
    for declared in fields(kind):
        hint, factory = hints[declared.name], declared.default_factory
        optional = NoneType in get_args(hint)
        if optional:
            hint = Union[tuple(kind for kind in get_args(hint) if kind is not NoneType)]  # noqa: UP007  # of a list
        default = declared.default if factory is MISSING else factory()
        key = Key(name=declared.name, type=hint, optional=optional, default=default, **declared.metadata)
        found.append(key)
    return tuple(found)


def shown(value: Any) -> str:
    """Spell a value in at most 60 printable characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return _printable(text)


def _printable(text: str) -> str:
    text = visible(text).replace("\t", "\\t").replace("\n", "\\n")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _group(kind: Any, raw: Any, path: tuple[str | int, ...], problems: list[Problem]) -> Any:
    """Read a dataclass; what is wrong goes to `problems`."""
    known, values = {key.name: key for key in keys(kind)}, {}
    if not isinstance(raw, Mapping):
        problems.append(Problem(path, f"is {shown(raw)}", _allowed(Key(), kind)))
        raw = {}
    for name in _until_enough(raw, problems):
        if name not in known:
            problems.append(Problem((*path, name), "is not a known key", f"one of {', '.join(known)}"))
    for name, key in known.items():
        earlier, place = len(problems), (*path, name)
        if name in raw:
            absent = key.optional and raw[name] is None
            values[name] = None if absent else _value(key, key.type, raw[name], place, problems)
        elif key.default is MISSING and is_dataclass(key.type) and not key.optional:
            values[name] = _group(key.type, {}, place, problems)
        elif key.default is MISSING:
            problems.append(Problem(place, "is missing", key.allowed))
        if len(problems) > earlier and not is_dataclass(key.type):
            values[name] = None if key.default is MISSING else key.default
    return kind(**values)


def _until_enough(names: Iterable[N], problems: list[Problem]) -> Iterator[N]:
    """Yield names until there are `MOST_PROBLEMS`: a file of a few megabytes may hold a million."""
    return takewhile(lambda _: len(problems) < MOST_PROBLEMS, names)


def _value(key: Key, kind: Any, raw: Any, path: tuple[str | int, ...], problems: list[Problem]) -> Any:
    """Read a value of a key, or one within it, as a `kind`."""
    if kind is Any:
        return raw
    if is_dataclass(kind):
        return _group(kind, raw, path, problems)
    origin, inner = get_origin(kind), get_args(kind)
    try:
        if origin is tuple:
            if not isinstance(raw, list | tuple) or (inner[-1] is not ... and len(raw) != len(inner)):
                raise ValueError(f"is {shown(raw)}")
            kinds = inner[:1] * len(raw) if inner[-1] is ... else inner
            numbers = _until_enough(range(len(raw)), problems)
            return tuple(_value(key, kinds[i], raw[i], (*path, i), problems) for i in numbers)
        if origin in (dict, Mapping):
            if not isinstance(raw, Mapping):
                raise ValueError(f"is {shown(raw)}")
            if inner[1] is Any:
                return dict(raw)
            for name in _until_enough(raw, problems):
                _value(Key(), str, name, (*path, name), problems)
            names = _until_enough(raw, problems)
            return {n: _value(key, inner[1], raw[n], (*path, n), problems) for n in names}
        if origin in (Union, UnionType):
            word = any(raw in get_args(one) for one in inner if get_origin(one) is Literal)
            return raw if word else _scalar(key, inner[0], raw)
        return _scalar(key, kind, raw)
    except ValueError as error:
        problems.append(Problem(path, str(error), _allowed(key, kind)))
        return None


def _scalar(key: Key, kind: Any, raw: Any) -> Any:
    """Return a single value as a `kind`; a ValueError says why it cannot be one."""
    if get_origin(kind) is Literal:
        right = any(raw == choice and type(raw) is type(choice) for choice in get_args(kind))
    else:
        accepted: Any = (int, float) if kind is float else kind
        right = isinstance(raw, accepted) and isinstance(raw, bool) == (kind is bool)
    if right and kind is str:
        _check_characters(key, raw)
        right = not key.choices or raw in key.choices
        right = right and (not key.pattern or re.fullmatch(key.pattern, raw) is not None)
    elif right and kind in (int, float):
        above = raw > key.low if key.low_open else raw >= key.low
        below = raw < key.high if key.high_open else raw <= key.high
        right = above and below and (kind is int or abs(raw) <= sys.float_info.max)
    elif right and kind is datetime:
        right = raw.utcoffset() is not None and _FIRST <= raw <= _LAST
    if not right:
        raise ValueError(f"is {shown(raw)}")
    if kind is datetime:
        return raw.astimezone(UTC)
    return kind(raw) if kind is float else raw


def _check_characters(key: Key, raw: str) -> None:
    allowed = re.compile(key.characters).fullmatch if key.characters else str.isprintable
    # of 300,000 names at a stroke
    if not (re.fullmatch(f"(?:{key.characters})*", raw) if key.characters else raw.isprintable()):
        wrong = next(one for one in raw if not allowed(one))
        raise ValueError(f"contains {shown(wrong)}, which is not allowed")
    if not key.blank and not raw.strip() and raw != key.default:
        raise ValueError("is blank")
    if len(raw) > key.max_length:
        raise ValueError(f"has {len(raw)} characters, more than {key.max_length}")


def _allowed(key: Key, kind: Any) -> str:
    """Say in words what a value may be."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return f"a group of the keys {', '.join(field.name for field in fields(kind))}"
    if origin is tuple:
        count = "" if inner[-1] is ... else f" of {len(inner)}"
        return f"a list{count}, each {_allowed(key, inner[0])}"
    if origin in (dict, Mapping):
        return f"names, each with {_allowed(key, inner[1])}"
    if origin in (Union, UnionType):
        return " or ".join(_allowed(key, one) for one in inner)
    if choices := inner if origin is Literal else key.choices:
        return ", ".join(json.dumps(choice) for choice in choices)
    if key.form or key.pattern:
        return key.form or f"a text that matches {key.pattern}"
    limits = (("from", key.low, key.low_open), ("to", key.high, key.high_open))
    ends = [
        f" {word} {_number(end)}{' (excluded)' * open_}" for word, end, open_ in limits if math.isfinite(end)
    ]
    return f"{_NAMES[kind]}{''.join(ends)}{key.unit and ' ' + key.unit}"


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "_") if isinstance(value, int) else f"{value:g}"
