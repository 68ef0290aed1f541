"""Device profiles: new ones have no problem, and each problem of a wrong one is named by line and key."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from functools import cache
from inspect import signature
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from edge.calibration.file import Calibration, PixelCalibration, write_calibration
from edge.cli import main
from edge.count.stop_rule import CAMERA_CELLS
from edge.model.bundle import load_bundle, locate_bundle
from edge.model.device_settings import DeviceSettings
from edge.simulate.optics import Optics
from firmware_config.check import check
from firmware_config.fence import BEGIN, END, fenced
from firmware_config.hardware import BOARDS, RELEASES, SENSORS
from firmware_config.profile import SECTIONS
from firmware_config.read import MOST_BYTES, MOST_LINES, read, read_file
from firmware_config.rules import DERIVED, RULES
from firmware_config.start import initial_values
from firmware_config.write import documentation, new_profile

ROOT = Path(__file__).resolve().parents[2]
HEMOCYTOMETER = load_bundle("hemocytometer", DeviceSettings())
KEYS = [f"{name}.{key.name}" for name, kind in SECTIONS.items() for key in fields(kind)]


initial = cache(lambda board, sensor: initial_values(board, sensor, "bookworm"))


def profile(board: str = "pi5", sensor: str = "imx477", **changes: str) -> str:
    """A new profile with other values, ``section__key`` → TOML."""
    text = new_profile(
        {**initial(board, sensor), "optics.objective": "40x, air", "optics.chamber": "Neubauer"}
    )
    for key, value in changes.items():
        text = changed(text, key.replace("__", "."), value)
    return text


def changed(text: str, key: str, value: str) -> str:
    section, _, name = key.partition(".")
    done, count = re.subn(
        rf"(?ms)(^\[{section}\]$.*?)^(?:# )?{name} =[^\n]*$",
        lambda m: f"{m[1]}{name} = {value}",
        text,
        count=1,
    )
    assert count == 1, key
    return done


def line_of(text: str, key: str) -> int:
    section, _, name = key.partition(".")
    rows = text.splitlines()
    start = rows.index(f"[{section}]")
    return next(n + 1 for n, row in enumerate(rows) if n > start and row.startswith(f"{name} ="))


def default_of(key: str) -> object:
    section, _, name = key.partition(".")
    return next(one.default for one in fields(SECTIONS[section]) if one.name == name)


def problems(text: str, root: Path = Path("/nonexistent")) -> dict[str, str]:
    return {problem.key: problem.why for problem in check(read(text), ROOT, root).problems}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("board", BOARDS)
def test_a_new_profile_has_every_key_and_only_placeholders_for_problems(
    board: str, sensor: str, release: str, tmp_path: Path
) -> None:
    words = ["firmware", "init", "--board", board, "--sensor", sensor, "--release", release]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    assert done.stderr == ""
    for key in KEYS:
        assert re.search(rf"^(# )?{key.partition('.')[2]} =", done.stdout, re.MULTILINE)
    path = tmp_path / "device.toml"
    path.write_text(done.stdout)
    checked = CliRunner().invoke(main, ["firmware", "check", str(path)])
    assert checked.exit_code == 1
    assert [row.split(": ", 1)[1] for row in checked.stdout.splitlines()] == [
        f"optics.{key}: still says 'say which'; describe it in your own words"
        for key in ("objective", "chamber")
    ]
    path.write_text(done.stdout.replace('"say which"', '"this one"'))
    filled_in = CliRunner().invoke(main, ["firmware", "check", str(path)])
    assert (filled_in.exit_code, filled_in.stdout) == (0, "")
    found = read(done.stdout).profile
    assert found is not None
    assert (found.device.board, found.camera.sensor, found.device.release) == (board, sensor, release)


def test_every_key_is_documented() -> None:
    page = (ROOT / "docs" / "firmware.md").read_text()
    assert documentation() in page, "put what leuko firmware keys prints into docs/firmware.md"


def test_the_simulated_sensor_is_the_simulator() -> None:
    found = read(profile(sensor="simulated")).profile
    assert found is not None
    assert found.pixel_um == Optics().pixel_um


CONTRADICTIONS: list[tuple[str, dict[str, str], str]] = [
    (
        "camera.overlay",
        {"device__board": '"pi4"', "camera__overlay": '"imx477,cam0"'},
        "only one camera connector",
    ),
    ("camera.overlay", {"camera__overlay": '"imx708"'}, "not the overlay of imx477"),
    ("camera.overlay", {"camera__overlay": '""'}, "not the overlay of imx477"),
    ("camera.overlay", {"camera__overlay": '"imx477,spin=3"'}, "no parameter spin"),
    ("camera.overlay", {"camera__overlay": '"imx477,cam0,cam1"'}, "one camera cannot use cam0 and cam1"),
    ("camera.width_px", {"camera__width_px": "4000"}, "has no mode of 4000 x 3040 px"),
    ("camera.width_px", {"camera__bit_depth": "10"}, "has no mode"),
    # binned two by two, its pixel is twice as large
    (
        "optics.magnification",
        {"camera__width_px": "2028", "camera__height_px": "1520"},
        "too far from",
    ),
    ("camera.pitch_um", {"camera__pitch_um": "3.45"}, "1.55"),
    ("camera.gain", {"camera__gain": "100"}, "amplifies 1 to 22.26"),
    ("bundle.sha256", {"bundle__sha256": f'"{"0" * 64}"'}, HEMOCYTOMETER.sha256),
    ("bundle.file", {"bundle__file": '"nonesuch"'}, "no bundle"),
    ("bundle.file", {"bundle__file": '"pyproject.toml"'}, "not a TFLite model"),
    (
        "optics.magnification",
        {"optics__magnification": "10"},
        f"too far from the bundle's {HEMOCYTOMETER.manifest.pixel_um:.4g}",
    ),
    ("plan.until_halfwidth", {"plan__until_halfwidth": "0.05"}, "counts one label"),
    ("service.memory_mb", {"service__memory_mb": "700"}, "MiB are left for the count, not 700"),
    ("service.memory_mb", {"service__memory_mb": "200"}, "more than 200"),
    ("device.ram_mb", {"device__ram_mb": "512"}, "no Raspberry Pi 5 has 512 MB"),
    (
        "camera.width_px",
        {"device__board": '"zero2w"', "device__ram_mb": "512"},
        "a Raspberry Pi Zero 2 W has about 84 MB",
    ),
    ("optics.calibration", {"optics__calibration": '"/home/pi/profile.toml"'}, "cannot see /home,"),
    ("optics.calibration", {"optics__calibration": '"/etc/../run/user/1/p.toml"'}, "cannot see /run/user"),
    ("optics.calibration", {"optics__calibration": '"/var/tmp/profile.toml"'}, "cannot see /var/tmp"),
    ("service.memory_mb", {"camera__buffer_frames": "100"}, "114 frames of 12.3 MB"),
    (
        "service.watchdog_s",
        {"camera__exposure_us": "900000", "service__watchdog_s": "12", "service__give_up_s": "5"},
        "20 exposures",
    ),
    ("service.watchdog_s", {"service__give_up_s": "100"}, "not more than service.give_up_s"),
    ("storage.data_partition", {"storage__read_only_root": "true"}, "needs a partition"),
    ("console.enabled", {"console__enabled": "true"}, "no console"),
]


@pytest.mark.parametrize(("key", "changes", "why"), CONTRADICTIONS)
def test_contradictions_are_found(key: str, changes: dict[str, str], why: str) -> None:
    text = profile(**changes)
    found = check(read(text), ROOT, Path("/nonexistent")).problems
    assert [problem.key for problem in found] == [key]
    assert why in found[0].why
    assert found[0].remedy
    if key.replace(".", "__") in changes:
        assert found[0].line == line_of(text, key)
    assert "\n" not in found[0].named("device.toml")


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    text = profile(
        camera__overlay='"imx708"', console__port="80", plan__until_cells="true", bundle__sha256='"ab"'
    )
    text = text.replace("journal_mb", "journal_gb").replace("[watchdog]", "[wachdog]")
    path = tmp_path / "device.toml"
    path.write_text(text)
    done = CliRunner().invoke(main, ["firmware", "check", str(path), "--json"])
    assert done.exit_code == 1
    found = {problem["key"]: problem for problem in json.loads(done.stdout)["problems"]}
    assert list(found) == [
        "camera.overlay",
        "bundle.sha256",
        "plan.until_cells",
        "storage.journal_gb",
        "console.port",
        "wachdog",
    ]
    for key in ("camera.overlay", "bundle.sha256", "plan.until_cells", "console.port"):
        assert found[key]["line"] == line_of(text, key)
    assert "1024" in found["console.port"]["remedy"].replace("_", "")
    in_words = CliRunner().invoke(main, ["firmware", "check", str(path)])
    assert in_words.stdout.splitlines()[0].startswith(
        f"{path}:{found['camera.overlay']['line']}: camera.overlay: "
    )


def test_a_usb_camera_needs_its_pixel_pitch() -> None:
    text = re.sub(r"(?m)^pitch_um = .*$", "", profile(sensor="usb"))
    assert list(problems(text)) == ["camera.pitch_um"]


def measured(pixel_um: float, width_px: int, height_px: int) -> PixelCalibration:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return PixelCalibration(pixel_um, 0.0001, width_px, height_px, "stage micrometer", when)


@pytest.mark.parametrize(
    ("pixel", "why"),
    [
        (measured(0.0735, 4056, 3040), None),
        (measured(0.0735, 2028, 1520), "2028 x 1520 px"),
        (measured(0.09, 4056, 3040), "the magnification makes it"),
        (None, "has no pixel size"),
    ],
)
def test_the_calibration_is_compared(pixel: PixelCalibration | None, why: str | None, tmp_path: Path) -> None:
    text = profile(optics__calibration='"/var/lib/leuko/profile.toml"')
    place = tmp_path / "var" / "lib" / "leuko" / "profile.toml"
    absent = check(read(text), ROOT, tmp_path)
    assert not absent.problems
    assert "not there yet" in absent.notes[0]
    place.parent.mkdir(parents=True)
    write_calibration(place, Calibration(pixel=pixel))
    found = problems(text, tmp_path)
    assert ("optics.calibration" in found) == (why is not None)
    assert why is None or why in found["optics.calibration"]
    place.write_text("version = 9")
    assert "version" in problems(text, tmp_path)["optics.calibration"]


WRONG = [
    "-1",
    "1e300",
    "nan",
    "inf",
    '""',
    '"\\u0000"',
    "[]",
    "{}",
    "1979-05-27",
    '"""\na\n[b]"""',
    "99999999999",
]


def mutated(number: int) -> tuple[str, str | None]:
    """A profile changed in one way, and the key that must be named for it, if one must."""
    random = Random(number)
    text = profile(random.choice(list(BOARDS)), random.choice(list(SENSORS)))
    raw = tomllib.loads(text)
    there = [key for key in KEYS if key.partition(".")[2] in raw[key.partition(".")[0]]]
    key = random.choice(there)
    section, _, name = key.partition(".")
    kind = number % 6
    if kind == 0:
        # an empty overlay is right where there is none
        value = random.choice([v for v in WRONG if (v, name) != ('""', "overlay")])
        return changed(text, key, value), key
    if kind == 1:
        required = [k for k in there if k in initial("pi5", "usb") and "plan" not in k]
        required = [k for k in required if default_of(k) is MISSING]
        key = random.choice(required)
        section, _, name = key.partition(".")
        rows = text.splitlines()
        del rows[line_of(text, key) - 1]
        return "\n".join(rows), key
    if kind == 2:
        misspelt = name[:-1] + random.choice("xyz9_")
        text = changed(text, key, "1").replace(f"\n{name} = 1", f"\n{misspelt} = 1", 1)
        return text, f"{section}.{misspelt}"
    if kind == 3:
        row = text.splitlines()[line_of(text, key) - 1]
        return text.replace(f"\n{row}\n", f"\n{row}\n{row}\n", 1), key
    if kind == 4:
        content = bytearray(text, "utf-8")
        for _ in range(random.choice((1, 5, 50))):
            content[random.randrange(len(content))] = random.randrange(256)
        return content.decode("utf-8", "replace"), None
    cut = random.randrange(len(text))
    return text[:cut] + random.choice(("", "\0", "]" * 3000, "[" * 3000, text, '"""')), None


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_three_hundred_mutations(first: int) -> None:
    for number in range(first, first + 50):
        text, key = mutated(number)
        found = check(read(text), ROOT, Path("/nonexistent")).problems
        assert key is None or key in {problem.key for problem in found}, f"mutation {number}"
        for problem in found:
            assert re.fullmatch(r"[\w.-]+", problem.key) or "." in problem.key, f"mutation {number}"
            assert problem.why, f"mutation {number}"
            assert problem.remedy, f"mutation {number}"
            assert 0 <= problem.line <= text.count("\n") + 1, f"mutation {number}"
            assert problem.named("x").isprintable(), f"mutation {number}"


def test_no_file_makes_it_fail(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    contents = (
        b"\xff\xfe",
        b"a = 1\n" * MOST_LINES * 2,
        b"\0",
        b"#" * (MOST_BYTES + 1),
        b"a = " + b"9" * 5000,
    )
    for content in contents:
        path.write_bytes(content)
        done = CliRunner().invoke(main, ["firmware", "check", str(path)])
        assert done.exit_code == 1
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert (done.stdout + done.stderr).count("\n") == 1
        as_json = CliRunner().invoke(main, ["firmware", "check", str(path), "--json"])
        assert [problem["line"] for problem in json.loads(as_json.stdout)["problems"]] in ([0], [1])
    endless = CliRunner().invoke(main, ["firmware", "check", "/dev/zero"])
    assert "is a pipe or a device: name a file" in endless.stderr


@pytest.mark.parametrize("version", ["", "version = 2", "version = true", 'version = "1"'])
def test_another_version_hides_nothing(version: str) -> None:
    text = profile(console__port="80").replace("version = 1", version, 1)
    found = check(read(text), ROOT, Path("/nonexistent")).problems
    assert [problem.key for problem in found] == ["version", "console.port"]
    assert "version = 1, the only one" in found[0].remedy


def test_a_profile_from_an_editor_of_windows_is_one(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_bytes(b"\xef\xbb\xbf" + profile().replace("\n", "\r\n").encode())
    assert not check(read_file(path), ROOT, Path("/nonexistent")).problems


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("optics.objective", r"40x\tair", r'contains "\t", which is not allowed'),
        ("optics.objective", r"\\", r'is "\\"; write one line, at most 80 characters, no backslash'),
        ("optics.chamber", "   ", "is blank"),
        ("optics.chamber", "x" * 81, "has 81 characters, more than 80"),
        ("optics.calibration", "/var/lib/my profile.toml", 'contains " ", which is not allowed'),
        ("optics.calibration", "/var/lib/100%", 'contains "%", which is not allowed'),
        ("optics.calibration", "profile.toml", 'is "profile.toml"; write an absolute path'),
        ("camera.overlay", "imx477×", 'is "imx477×"; write an overlay and its parameters'),
    ],
)
def test_a_character_that_is_not_allowed_is_named(key: str, value: str, why: str) -> None:
    text = changed(profile(), key, f'"{value}"')
    (found,) = check(read(text), ROOT, Path("/nonexistent")).problems
    assert (found.key, found.line) == (key, line_of(text, key))
    assert why in found.named("x")


def test_words_and_names_may_be_what_people_write(tmp_path: Path) -> None:
    words = "40x/0.75 (air), 50 % = $5 & #1; it's \U0001f52c × µ"
    copy = tmp_path / "my bundle + notes.tflite"
    copy.write_bytes(locate_bundle("hemocytometer").read_bytes())
    text = profile(
        optics__objective=json.dumps(words, ensure_ascii=False),
        bundle__file=f'"{copy}"',
        bundle__sha256=f'"{HEMOCYTOMETER.sha256.upper()}"',
    )
    assert not problems(text)


def test_a_missing_bundle_is_named_once() -> None:
    (found,) = check(read(profile(bundle__file='"nonesuch"')), ROOT, Path("/nonexistent")).problems
    assert found.named("x").count("give a .tflite file") == 1


def notes(text: str, root: Path) -> str:
    return "\n".join(check(read(text), ROOT, root).notes)


def test_a_count_without_an_end_is_noted() -> None:
    text = profile()
    unended = text.replace("\nuntil_cells = 400\n", "\n")
    assert unended != text
    assert f"ends with {CAMERA_CELLS} cells" in notes(unended, Path("/nonexistent"))
    assert "ends with" not in notes(text, Path("/nonexistent"))


def test_the_users_own_lines_of_the_boot_partition_are_noted(tmp_path: Path) -> None:
    place = tmp_path / "boot/firmware/config.txt"
    text = profile()
    assert f"{place}: is missing" in notes(text, tmp_path)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"[all]\ncamera_auto_detect=1\ndtparam=i2c_arm=on,watchdog=off\n")
    assert not notes(text, tmp_path)
    installed = fenced(place.read_bytes(), b"dtoverlay=imx477\n")
    place.write_bytes(installed)
    assert not notes(text, tmp_path)
    added = (b"camera_auto_detect=1\r\n", b" dtparam=i2c_arm=on,watchdog=off\n", b"#dtoverlay=ov5647\n")
    place.write_bytes(installed + b"".join(added))
    rows = notes(text, tmp_path).splitlines()
    assert [row.split(": ", 1)[1].split(" ")[0] for row in rows] == [
        "camera_auto_detect=1",
        "dtparam=i2c_arm=on,watchdog=off",
    ]
    assert "watchdog=off" not in notes(profile(watchdog__hardware_s="0"), tmp_path)
    assert "config.txt" not in notes(profile(camera__sensor='"none"'), tmp_path)
    place.write_bytes(b"dtoverlay=imx708,cam0\n" + installed)
    assert "dtoverlay=imx708,cam0 is a camera beside the profile's" in notes(text, tmp_path)
    assert not notes(profile(sensor="usb"), tmp_path)
    place.write_bytes(END + b"\n")
    assert "was not compared: has 1 of the marks" in notes(text, tmp_path)
    place.write_bytes(b"\n" * 300_000 + b"\tdtoverlay=imx708\n" + BEGIN[:-1] + b"\n" * 300_000)
    assert "dtoverlay=imx708 is a camera beside the profile's" in notes(text, tmp_path)
    place.write_bytes((BEGIN + b"\n") * 10_000)
    assert "was not compared: has 10000 of the marks" in notes(text, tmp_path)
    place.write_bytes(b"\n" * ((1 << 20) + 1))
    assert "cannot be read (larger than 1 MiB)" in notes(text, tmp_path)


def test_a_calibration_out_of_the_root_is_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/leuko").mkdir(parents=True)
    (tmp_path / "secret").write_text("version = 9")
    (root / "var/lib/leuko/profile.toml").symlink_to(tmp_path / "secret")
    text = profile(optics__calibration='"/var/lib/leuko/profile.toml"')
    assert not problems(text, root)
    assert "leads out of" in notes(text, root)


NOT_A_VALUE = ("", "{a = 1}")
"""Written for a key of another kind; an empty one leaves the key out."""


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a config.txt and a calibration, as on every device."""
    root = tmp_path_factory.mktemp("card")
    (root / "boot/firmware").mkdir(parents=True)
    (root / "boot/firmware/config.txt").write_text("dtoverlay=imx708\ndtparam=watchdog=off\n")
    pixel = PixelCalibration(0.1, 0.001, 4056, 3040, "by hand", datetime(2026, 1, 1, tzinfo=UTC))
    (root / "var/lib/leuko").mkdir(parents=True)
    write_calibration(root / "var/lib/leuko/calibration.toml", Calibration(pixel))
    return root


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_value_is_named_and_what_reads_it_is_not_asked(key: str, card: Path) -> None:
    text = profile(optics__calibration='"/var/lib/leuko/calibration.toml"')
    assert any(not check(read(text), ROOT, card).problems for text in (text, profile()))
    for value in NOT_A_VALUE:
        wrong = changed(text, key, value)
        if not value:
            wrong = wrong.replace(f"\n{key.partition('.')[2]} = \n", "\n")
        found = {problem.key for problem in read(wrong).problems}
        checked = check(read(wrong), ROOT, card)
        assert found <= {problem.key for problem in checked.problems}
        assert (checked.profile is None) == bool(checked.problems)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_of_another_kind_is_named(section: str, card: Path) -> None:
    text = profile()
    without = re.sub(rf"(?ms)^\[{section}\]$.*?(?=^\[|\Z)", "", text)
    for value in ("5", "[]", "{}", "[[]]"):
        checked = check(read(f"{section} = {value}\n{without}"), ROOT, card)
        assert (checked.profile is None) == bool(checked.problems)
        if value != "{}":
            assert section in {problem.key for problem in checked.problems}


def test_what_was_not_compared_is_said(card: Path) -> None:
    assert "imx708 is a camera beside the profile's" in notes(profile(), card)
    said = notes(changed(profile(), "camera.sensor", "5"), card)
    assert said == "not compared with other values until it is right: camera.sensor"


def test_a_rule_sees_only_the_values_that_it_declares() -> None:
    for keys, rule in RULES:
        assert len(signature(rule).parameters) == len(keys)
        assert set(keys) <= {*KEYS, *DERIVED}


def test_lines_are_found_whatever_the_form_of_a_section() -> None:
    text = (
        "# an instrument\nversion = 2\n\n[ device ]\nboard = 'pi9'\n\n"
        'camera.sensor = "a sensor"\n[camera]\nnumber = "one"\n'
        '"width_px" = 3\nnote = """\nheight_px = 4\n"""\n[[plan]]\noptics = { objective = 5 }\n'
    ).replace("camera.sensor", "sensor", 1)
    found = {problem.key: problem.line for problem in read(text).problems}
    assert found["version"] == 2
    assert found["device.board"] == 5
    assert found["device.sensor"] == 7
    assert found["camera.number"] == 9
    assert found["camera.width_px"] == 10
    assert found["camera.note"] == 11


def test_a_long_profile_is_read_in_time_that_grows_with_its_length() -> None:
    # each beginning of the text was parsed again: minutes
    text = "version = 1\n" + "".join(f"k{k} = [{', '.join(['1'] * 40)}]\n" for k in range(990))
    lines = {problem.key: problem.line for problem in read(text).problems}
    assert lines["k989"] == 991
