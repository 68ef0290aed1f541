"""Facts about a Raspberry Pi: a test of one holds on a camera as described, and fails on another."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.base import board
from edge.cli import main
from edge.run import silicon
from edge.run.silicon import answers, silicon_page
from edge.run.silicon_facts import FACTS, Fact
from edge.run.silicon_tests import TESTS, Answer, on_a_pi
from tests.edge.capture.fake_picamera2 import Picamera2, modules

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    found = modules()
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    faked: type[Picamera2] = found["picamera2"].Picamera2
    faked.booted_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 10**9
    return faked


def test_every_fact_has_a_name_of_its_own_and_a_file_that_relies_on_it() -> None:
    names = [fact.name for fact in FACTS]
    assert len(set(names)) == len(names)
    assert set(TESTS) < set(names)
    for fact in FACTS:
        assert all((ROOT / used).exists() for used in fact.used.split(", ")), fact
        assert fact.source
        assert fact.by_hand


@pytest.mark.parametrize("name", ["tuning", "tuning-read", "modes", "lock", "times"])
def test_a_camera_as_described(picamera2: type[Picamera2], name: str) -> None:
    said = TESTS[name]()
    assert said.holds, said
    assert all(camera.closed for camera in picamera2.opened)


@pytest.mark.parametrize(
    ("name", "attribute", "value", "found"),
    [
        ("tuning", "tunings", {}, "none for this sensor"),
        ("tuning-read", "looks_again", False, "grey level"),
        ("lock", "flicker_when_locked", 0.01, "asked"),
        ("times", "booted_ns", 0, "s old"),
        ("modes", "known", (), "no camera"),
        ("tuning", "known", (), "no camera is found on the ribbon cable"),
    ],
)
def test_a_camera_that_is_otherwise(
    picamera2: type[Picamera2], name: str, attribute: str, value: Any, found: str
) -> None:
    setattr(picamera2, attribute, value)
    result = TESTS[name]()
    assert not result.holds
    assert found in result.found


def test_the_range_of_the_gain_is_shown(picamera2: type[Picamera2]) -> None:
    assert TESTS["gain"]() == Answer(None, "0.00 to 1.00: compare it")


def test_only_a_raspberry_pi_refutes_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    no = Answer(False, "no /dev/watchdog0")
    monkeypatch.setattr(board, "model", lambda: "Raspberry Pi 5 Model B Rev 1.0")
    assert on_a_pi(no) == no
    monkeypatch.setattr(board, "model", lambda: None)
    assert on_a_pi(no) == Answer(None, "not a Raspberry Pi (no /dev/watchdog0)")
    assert on_a_pi(Answer(True, "64 bit")).holds


@pytest.mark.parametrize(
    ("name", "total", "holds"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", 262_144, True),
        ("Raspberry Pi 4 Model B Rev 1.5", 262_144, False),
        ("Raspberry Pi 5 Model B Rev 1.0", 65_536, None),
    ],
)
def test_contiguous_memory(
    monkeypatch: pytest.MonkeyPatch, name: str, total: int, holds: bool | None
) -> None:
    monkeypatch.setattr(board, "model", lambda: name)
    monkeypatch.setattr(board, "text", lambda _: f"MemTotal: 1 kB\nCmaTotal: {total} kB\nCmaFree: 9000 kB")
    assert TESTS["contiguous"]() == Answer(holds, f"9,000 of {total:,} kB free")


def test_the_list_has_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    some = tuple(fact for fact in FACTS if fact.name in ("64-bit", "pitch"))
    monkeypatch.setattr(silicon.answers, "__defaults__", (some,))
    done = CliRunner().invoke(main, ["doctor", "--silicon"])
    assert done.exit_code == 0, done.output
    rows = done.stdout.splitlines()
    assert len(rows) == 2 + len(some)
    assert rows[2].startswith("| [x] 64-bit | ")
    assert rows[2].endswith("| Holds: 64 bit |")
    assert rows[3].startswith("| [ ] pitch | ")
    assert rows[3].endswith("| Not tested: by hand |")


def test_a_fact_that_does_not_hold_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fact = FACTS[0]
    monkeypatch.setattr("edge.cli.doctor.answers", lambda: iter([(fact, Answer(False, "32 bit"))]))
    done = CliRunner().invoke(main, ["doctor", "--silicon"])
    assert done.exit_code == 1
    assert "| [ ] 64-bit |" in done.stdout
    assert "**Does not hold**: 32 bit" in done.stdout
    assert done.stderr.endswith("Error: does not hold here: 64-bit\n")
    asked = CliRunner().invoke(main, ["doctor", "--silicon", "--json"])
    (said,) = json.loads(asked.stdout)["facts"]
    assert (said["name"], said["holds"], said["found"]) == ("64-bit", False, "32 bit")


def test_a_test_that_crashes_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silicon, "TESTS", {"absent": lambda: Answer(True, "")})
    fact = Fact("absent", "", "", "", "")
    ((_, said),) = answers([fact])
    assert said.holds is False
    assert "KeyError" in said.found
    assert "| [ ] absent |" in silicon_page([(fact, said)])
