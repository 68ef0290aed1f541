"""``leuko plan``: the table, the sentence with what to do, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli.plan import plan

BLOOD = ["--pixel-um", "0.0727", "--depth-um", "100", "--dilution", "20", "--expected", "7000"]


def run(*words: str) -> str:
    done = CliRunner().invoke(plan, [*BLOOD, *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def plan_json(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*words, "--json"))
    return found


def refused(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(plan, [*BLOOD, *words])
    return done.exit_code, done.stderr.splitlines()[-1]


def test_the_table_and_what_to_do() -> None:
    first, heading, *rows = run().splitlines()
    assert first == (
        "a field of 4056×3040 px, 100 µm deep, shows 6.517 nL of the sample diluted 20 times: "
        "2.28 leukocytes expected"
    )
    assert heading.split() == ["Fields", "Leukocytes", "Time", "95", "%", "interval", "of", "cells/µL"]
    assert [row.split()[:2] for row in rows[:5]] == [
        ["44", "100"],
        ["88", "200"],
        ["176", "400"],
        ["439", "1,000"],
        ["877", "2,000"],
    ]
    assert rows[5] == (
        "400 leukocytes (leuko count --until-cells 400) take 176 fields, 15 min at 5 s per field, and give "
        "±9.9 % (coefficient of variation 5.0 %)"
    )
    assert rows[6].startswith("half the magnification (0.145 µm per pixel) would take 44 fields, 4 min, with")
    assert rows[7].startswith("depth and dilution taken as exact: --depth-uncertainty-um and --dilution-unc")
    assert "cover 11.5 mm², and one grid of an improved Neubauer chamber has 9 mm²" in rows[8]
    assert rows[9].startswith("cells must have settled; clumps and the bundle's own errors come on top, and")


def test_a_share_has_points() -> None:
    text = run("--class", "monocyte", "--share", "0.06", "--halfwidth", "0.02", "--seconds-per-field", "2")
    assert "95 % interval of the monocyte share" in text
    assert "593 leukocytes (leuko count --until-cells 593) take 260 fields, 9 min at 2 s per field" in text
    assert "and give ±2.0 points" in text
    assert "exact" not in text


def test_json_has_the_numbers_of_the_table() -> None:
    found = plan_json("--cv", "0.1", "--size", "2028x1520", "--dilution-uncertainty", "exact")
    assert found["asked"] in found["rows"]
    assert found["asked"]["cells"] == 100
    assert found["asked"]["seconds"] == 5 * found["asked"]["fields"]
    assert found["field"]["leukocytes"] == pytest.approx(2.281 / 4, rel=1e-3)
    assert [row["cells"] for row in found["rows"]] == [100, 200, 400, 1000, 2000]
    assert [(one["pixel_um"], one["fields"], one["suits"]) for one in found["objectives"]] == [
        (0.1454, 44, None),
        (0.2908, 11, None),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--bundle", "hemocytometer"),
            "a 20× objective (0.145 µm per pixel) would take 44 fields, 4 min, but hemocytometer was trained "
            "at 0.0727 µm per pixel: it takes another bundle",
        ),
        (
            ("--bundle", "phantom3"),
            "a 20× objective (0.145 µm per pixel) would take 44 fields, 4 min; phantom3 knows cells of such "
            "pixels",
        ),
    ],
)
def test_a_bundle_says_which_objective_it_knows(words: tuple[str, ...], sentence: str) -> None:
    lines = run("--magnification", "40", *words).splitlines()
    assert sentence in lines
    # the pixel in use is remarked as a count would
    assert any("times that of bundle phantom3" in line for line in lines) == ("phantom3" in words)


@pytest.mark.parametrize("words", [("--pixel-um", "0.5"), ("--dilution", "1", "--expected", "1e5")])
def test_no_objective_is_named_that_would_not_help(words: tuple[str, ...]) -> None:
    """Focus cannot be measured at 1 µm per pixel; ten fields are the fewest anyway."""
    found = plan_json(*words)
    assert found["objectives"] == []
    assert any("10 fields are the fewest" in remark for remark in found["remarks"]) == (
        found["asked"]["fields"] == 10
    )


def test_a_dense_sample_is_remarked() -> None:
    remarks = plan_json("--dilution", "1", "--expected", "100000")["remarks"]
    assert any(one.startswith("10,000 leukocytes per mm² are too dense (at most 4,000)") for one in remarks)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--share", "0.1"), 2, "Error: --class and --share belong together"),
        (("--class", "monocyte"), 2, "Error: --class and --share belong together"),
        (("--halfwidth", "0.1", "--cv", "0.1"), 2, "Error: --halfwidth and --cv exclude each other"),
        (
            ("--halfwidth", "0.1", "--depth-uncertainty-um", "6"),
            1,
            "Error: ±10 % cannot be reached: the volume",
        ),
        (
            ("--depth-uncertainty-um", "60"),
            1,
            "Error: no cells/µL: the volume of a field is uncertain by 60%",
        ),
        (
            ("--class", "basophil", "--share", "0.1", "--bundle", "phantom3"),
            1,
            "Error: phantom3 counts no bas",
        ),
        (("--bundle", "none"), 1, "Error: no bundle none: give a .tflite file"),
        (("--depth-um", "0.1"), 2, "Error: Invalid value for '--depth-um'"),
        (("--halfwidth", "10"), 2, "Error: Invalid value for '--halfwidth'"),
        (("--size", "big"), 2, "Error: Invalid value for '--size': 'big' is not WIDTHxHEIGHT"),
    ],
)
def test_what_cannot_be_planned_is_one_line(words: tuple[str, ...], code: int, line: str) -> None:
    found_code, found = refused(*words)
    assert found_code == code
    assert found.startswith(line)
