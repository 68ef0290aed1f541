"""The device profile: one TOML file that describes an instrument, version 1.

Every key is declared once, with its range and what it means; a new profile, its check and the documentation
are made of the declarations. What a calibration measures stays in that calibration's file (`edge.calibration.file`).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from firmware_config.hardware import BOARDS, RELEASES, SENSORS

VERSION = 1
MOST_LINES = 1000
"""Of a profile: about ten times what one has that says everything, with as many comments."""
MOST_BYTES = 100 * MOST_LINES

HOME = "/var/lib/leuko"
"""Folder of the count service's state on the device."""

_LINE = "a line without a backslash, 80 signs at most"
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}

Value = str | int | float | bool


def _in_words(sign: str) -> bool:
    """All that a line of a unit file can say; after a backslash at its end it would not end there."""
    return sign.isprintable() and sign != "\\"


def _in_path(sign: str) -> bool:
    """What needs no quoting in a unit's command."""
    return re.fullmatch("[A-Za-z0-9_./+-]", sign) is not None


def _key(
    about: str,
    low: float | None = None,
    high: float | None = None,
    *,
    one_of: tuple[str, ...] = (),
    signs: Callable[[str], bool] | None = None,
    most: int = 0,
    pattern: str = "",
    like: str = "",
    **options: Any,
) -> Any:
    """Declare a key.

    Parameters
    ----------
    about : what it means, beside it in a new profile and in the documentation
    low, high : range of a number
    one_of : the texts that there are
    signs, most : whether a sign may stand in a text, and how many may
    pattern, like : regular expression of a text; and in words what it, or the signs, ask for
    options : ``default`` if it may be left out; None where there is then no such value
    """
    limits = {"low": low, "high": high, "one_of": one_of, "pattern": pattern, "like": like}
    return field(metadata={"about": about, "signs": signs, "most": most, **limits}, **options)


@dataclass(frozen=True, kw_only=True)
class Device:
    """The computer."""

    board: str = _key("which Raspberry Pi", one_of=tuple(BOARDS))
    release: str = _key("of Raspberry Pi OS Lite, 64 bit", one_of=tuple(RELEASES))


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The camera and how it exposes."""

    sensor: str = _key("which camera", one_of=tuple(SENSORS))
    overlay: str = _key(
        "device tree overlay and its parameters, empty for none",
        pattern=r"([a-z0-9-]+(,[a-z0-9-]+(=[A-Za-z0-9_]+)?)*)?",
        like="an overlay and its parameters, by comma",
        default="",
    )
    number: int = _key("which one, as leuko camera list numbers them; the simulator's seed", 0, 63, default=0)
    width_px: int = _key("sensor mode", 16, 20_000)
    height_px: int = _key("sensor mode", 16, 20_000)
    bit_depth: int = _key("sensor mode", 8, 16)
    pitch_um: float | None = _key(
        "side of a pixel on the sensor; for a USB camera, others are known", 0.3, 50, default=None
    )
    exposure_us: int | None = _key("left out, the camera settles by itself", 20, 1_000_000, default=None)
    gain: float | None = _key("left out, the camera settles by itself", 0.01, 1000, default=None)
    buffer_frames: int = _key("frames that may wait to be counted", 1, 1000, default=4)
    when_behind: str = _key(
        "what to do when more would wait",
        one_of=("drop-oldest", "drop-newest", "wait"),
        default="drop-oldest",
    )


@dataclass(frozen=True, kw_only=True)
class Optics:
    """The microscope. What was measured stands in the calibration."""

    objective: str = _key("in words", signs=_in_words, most=80, like=_LINE)
    magnification: float = _key("from the specimen to the sensor, with all adapters", 0.1, 200)
    chamber: str = _key("in words", signs=_in_words, most=80, like=_LINE)
    motion: str = _key(
        "how frames follow each other: fields apart, a scan whose frames overlap, cells that flow by",
        one_of=("fields", "scan", "flow"),
        default="fields",
    )
    calibration: str | None = _key(
        "file that leuko calibrate writes on the device: pixel size, light, depth, limits of quality; left "
        "out, the pixel size is the sensor's by the magnification",
        signs=_in_path,
        most=200,
        pattern="/.*",
        like="an absolute path of letters, digits and _ . / + -",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The network."""

    file: str = _key(
        "a shipped name, or a .tflite file, seen from the profile's folder",
        signs=str.isprintable,
        most=200,
        like="a name or a path",
    )
    sha256: str = _key(
        "of that file, as leuko bundle show says", pattern="[0-9A-Fa-f]{64}", like="64 hexadecimal digits"
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What ends a count, whichever comes first."""

    until_cells: int | None = _key("leukocytes", 1, 1_000_000, default=None)
    until_halfwidth: float | None = _key("of the widest 95 % interval, a share", 0.001, 0.5, default=None)
    until_seconds: float | None = _key("of counting", 1, 1_000_000, default=None)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What is written, and where."""

    keep_crops: bool = _key("keep each cell's image in its session", default=False)
    journal_mb: int = _key("most that the journal may take", 8, 4096, default=64)
    read_only_root: bool = _key(
        "nothing but the data partition is written; the rest is forgotten at power-off", default=False
    )
    data_partition: str | None = _key(
        f"ext4, mounted on {HOME}",
        pattern=r"(LABEL|PARTLABEL|UUID|PARTUUID)=[A-Za-z0-9_-]{1,40}",
        like="LABEL=, PARTLABEL=, UUID= or PARTUUID= and a name",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Console:
    """The page that an operator opens in a browser."""

    enabled: bool = _key("serve it; this leuko has no console yet, and refuses true", default=False)
    interface: str = _key(
        "network interface it may be reached on; lo: this device only",
        pattern=r"[a-z][a-z0-9._-]{0,14}",
        like="an interface's name",
        default="lo",
    )
    port: int = _key("TCP port", 1024, 65_535, default=8080)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The count as a service."""

    start_at_boot: bool = _key(
        "count, or go on with a count that was interrupted, when the device starts", default=True
    )
    memory_mb: int = _key("most that it may take", 128, 16_384, default=400)
    give_up_s: int = _key("a camera that fails is opened anew for so long", 1, 3600, default=60)
    watchdog_s: int = _key("without a frame for so long, it is started anew", 10, 3600, default=90)
    restart_s: int = _key("pause before that", 1, 600, default=5)


@dataclass(frozen=True, kw_only=True)
class Watchdog:
    """The counter in the chip that resets a device whose kernel hangs."""

    hardware_s: int = _key("the chip counts to 16 s; 0 leaves it off", 0, 15, default=15)


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """An instrument."""

    device: Device
    camera: Camera
    optics: Optics
    bundle: Bundle
    plan: Plan
    storage: Storage
    console: Console
    service: Service
    watchdog: Watchdog

    @property
    def pixel_um(self) -> float | None:
        """Side of a pixel in the specimen as the magnification has it; None for a pitch that is not known."""
        camera, sensor = self.camera, SENSORS[self.camera.sensor]
        mode = sensor.mode(camera.width_px, camera.height_px, camera.bit_depth)
        pitch_um = sensor.pitch_um or camera.pitch_um
        if pitch_um is None:
            return None
        return pitch_um * (mode.binning if mode else 1) / self.optics.magnification


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with a profile.

    Attributes
    ----------
    line : where, from 1; 0 for what is not there
    key : ``section.key``, a section, or ``profile``
    why : what is wrong
    remedy : what to do
    """

    line: int
    key: str
    why: str
    remedy: str

    def named(self, name: str) -> str:
        """Spell it on one line: where in the file of that name, key, why, remedy."""
        where = f"{name}:{self.line}" if self.line else name
        return f"{where}: {self.key}: {self.why}; {self.remedy}"


@dataclass(frozen=True)
class Read:
    """What a profile says.

    Attributes
    ----------
    text : as it was read
    profile : with a stand-in for each value that is missing or wrong; None for what is not TOML
    problems : all of them
    lines : section or ``section.key`` → where it stands
    """

    text: str
    profile: DeviceProfile | None
    problems: tuple[Problem, ...]
    lines: Mapping[str, int]


SECTIONS: Mapping[str, type[Any]] = get_type_hints(DeviceProfile)
"""Name → what it declares, in order."""


def read_file(path: Path) -> Read:
    """Read the profile in a file; see `read`. A file that cannot be read is a problem of the profile too."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            return _unread("", _whole(f"is larger than {MOST_BYTES} bytes", "leave out what is no key"))
        text = content.decode("utf-8-sig")  # editors of Windows begin a file with a mark
    except OSError as error:
        return _unread("", _whole(f"cannot be read ({error.strerror})", "name a file that can be read"))
    except UnicodeDecodeError:
        return _unread("", _whole("is not UTF-8", "write it anew as a plain text"))
    return read(text)


def read(text: str) -> Read:
    """Read a profile, and find all that is wrong with its single values.

    See Also
    --------
    firmware_config.check.check : what is wrong between them
    """
    if text.count("\n") > MOST_LINES:
        return _unread(text, _whole(f"has more than {MOST_LINES} lines", "leave out what is no key"))
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return _unread(text, _syntax(text, error))
    lines = _lines(text)
    problems: list[Problem] = []
    if type(raw.get("version")) is not int or raw["version"] != VERSION:
        why = f"is {_said(raw['version'])}" if "version" in raw else "is missing"
        remedy = f"write version = {VERSION}, the only one that this leuko reads"
        problems.append(Problem(lines.get("version", 0), "version", why, remedy))
    for name in raw.keys() - SECTIONS.keys() - {"version"}:
        known = f"there are {', '.join(SECTIONS)}"
        problems.append(Problem(lines.get(name, 0), name, "there is no such section", f"remove it; {known}"))
    sections = {name: _section(name, raw.get(name), lines, problems) for name in SECTIONS}
    return Read(text, DeviceProfile(**sections), tuple(sorted(problems)), lines)


def _unread(text: str, problem: Problem) -> Read:
    return Read(text, None, (problem,), {})


def _whole(why: str, remedy: str) -> Problem:
    return Problem(0, "profile", why, remedy)


def _syntax(text: str, error: Exception) -> Problem:
    """Name the line, and the key on it, that is not TOML."""
    said = str(error).splitlines()[0] if str(error) else "nested too deeply"
    numbered = re.search(r"at line (\d+), column \d+", said)
    rows = text.splitlines() or [""]
    line = min(int(numbered[1]), len(rows)) if numbered else len(rows)
    why = "is not TOML: " + said.partition(" (at ")[0]
    section = ""
    for row in rows[:line]:
        if header := re.match(r"\s*\[\s*([\w-]+)", row):
            section = header[1]
    named = re.match(r"""\s*["']?([\w-]+)["']?\s*=""", rows[line - 1])
    key = ".".join(part for part in (section, named[1] if named else "") if part) or "profile"
    # other refusals are of what the parser, not TOML, has limits for: numbers of many digits, deep nesting
    wrong = isinstance(error, tomllib.TOMLDecodeError)
    remedy = "texts stand in quotes, each key but once" if wrong else "no key has a value like that"
    return Problem(line, key, why, f"correct that line; {remedy}")


def _lines(text: str) -> dict[str, int]:
    """Section and ``section.key`` → line where it stands complete, of a text that is TOML.

    A parser forgets where things stood. The beginnings of the text are read one after the other: what is new
    in the first that is TOML ends on its last line.
    """
    lines: dict[str, int] = {}
    rows = text.split("\n")
    for number in range(1, len(rows) + 1):
        if not rows[number - 1].strip() or rows[number - 1].lstrip().startswith("#"):
            continue
        try:
            raw = tomllib.loads("\n".join(rows[:number]))
        except ValueError:
            continue
        for name, section in raw.items():
            lines.setdefault(name, number)
            for key in section if isinstance(section, dict) else ():
                lines.setdefault(f"{name}.{key}", number)
    return lines


def _section(name: str, raw: Any, lines: Mapping[str, int], problems: list[Problem]) -> Any:
    """Read a section; what is wrong goes to `problems`, and a stand-in takes its place."""
    line = lines.get(name, 0)
    if raw is not None and not isinstance(raw, dict):
        problems.append(Problem(line, name, f"is {_said(raw)}", f"make it a section, [{name}]"))
        raw = {}
    raw = raw or {}
    kind = SECTIONS[name]
    declared = {key.name: key for key in fields(kind)}
    for odd in raw.keys() - declared.keys():
        known = f"there are {', '.join(declared)}"
        problem = (lines.get(f"{name}.{odd}", line), f"{name}.{odd}", "there is no such key")
        problems.append(Problem(*problem, f"remove it; {known}"))
    values: dict[str, Value | None] = {}
    for key, type_, where in _typed(kind):
        try:
            values[key.name] = _value(key, type_, raw)
        except ValueError as error:
            values[key.name] = None if key.default is MISSING else key.default
            named = f"{name}.{key.name}"
            remedy = f"write {_allowed(key, type_)}: {where}"
            problems.append(Problem(lines.get(named, line), named, str(error), remedy))
    return kind(**values)


def _typed(kind: type[Any]) -> Iterator[tuple[Field[Any], type[Any], str]]:
    """Yield each key of a section, the type that its value has, and what it means."""
    hints = get_type_hints(kind)
    for key in fields(kind):
        named = [one for one in get_args(hints[key.name]) or (hints[key.name],) if one is not type(None)]
        yield key, named[0], key.metadata["about"]


def _value(key: Field[Any], type_: type[Any], raw: Mapping[str, Any]) -> Value | None:
    if key.name not in raw:
        if key.default is MISSING:
            raise ValueError("is missing")
        default: Value | None = key.default
        return default
    value, asked = raw[key.name], key.metadata
    if isinstance(value, bool) != (type_ is bool) or not isinstance(
        value, (int, float) if type_ is float else type_
    ):
        raise ValueError(f"is {_said(value)}, not {_KINDS[type_]}")
    if isinstance(value, str):
        if asked["one_of"] and value not in asked["one_of"]:
            raise ValueError(f"is {_said(value)}, which there is not")
        if asked["signs"]:
            _check_signs(value, asked)
        if asked["pattern"] and not re.fullmatch(asked["pattern"], value):
            raise ValueError(f"is {_said(value)}, not {asked['like']}")
    elif not isinstance(value, bool) and not asked["low"] <= value <= asked["high"]:  # nor is NaN
        raise ValueError(f"is {_said(value)}, out of its range")
    checked: Value = type_(value)
    return checked


def _check_signs(value: str, asked: Mapping[str, Any]) -> None:
    if odd := [sign for sign in value if not asked["signs"](sign)]:
        raise ValueError(f"has {_said(odd[0])}, which cannot stand there")
    if not value.strip():
        raise ValueError("says nothing")
    if len(value) > asked["most"]:
        raise ValueError(f"has {len(value)} signs, more than {asked['most']}")


def _said(value: Any) -> str:
    """Spell a value on one line, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    text = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _allowed(key: Field[Any], type_: type[Any]) -> str:
    """Say what a value may be."""
    asked = key.metadata
    if asked["one_of"]:
        return ", ".join(f'"{one}"' for one in asked["one_of"])
    if asked["like"]:
        return str(asked["like"])
    if asked["low"] is not None:
        return f"{_KINDS[type_]} from {_number(asked['low'])} to {_number(asked['high'])}"
    return _KINDS[type_]


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "_") if isinstance(value, int) else f"{value:g}"


def write(values: Mapping[str, Value]) -> str:
    """Write a commented profile.

    Parameters
    ----------
    values : ``section.key`` → value, at least of the keys without a default

    Returns
    -------
    TOML with every key; those without a value are commented out
    """
    rows = [
        "# Device profile of a leuko instrument; leuko firmware check says what is wrong with it.",
        f"version = {VERSION}",
    ]
    for name, kind in SECTIONS.items():
        rows += ["", f"# {' '.join((kind.__doc__ or '').split())}", f"[{name}]"]
        for key, type_, about in _typed(kind):
            value = values.get(f"{name}.{key.name}", key.default)
            rows += [f"# {about}; {_allowed(key, type_)}"]
            spelt = json.dumps(value, ensure_ascii=False)
            rows += [f"# {key.name} =" if value is None else f"{key.name} = {spelt}"]
    return "\n".join(rows) + "\n"


def documentation() -> str:
    """All keys as a table in Markdown: key, what it may be, default, what it means."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, kind in SECTIONS.items():
        for key, type_, about in _typed(kind):
            default = "required" if key.default is MISSING else "none" if key.default is None else ""
            shown = default or f"`{json.dumps(key.default)}`"
            rows.append(f"| `{name}.{key.name}` | {_allowed(key, type_)} | {shown} | {about} |")
    return "\n".join(rows) + "\n"
