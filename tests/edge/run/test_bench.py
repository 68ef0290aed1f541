"""Timings are structured and positive; no duration is asserted."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.classify.runtime import installed_runtimes
from edge.cli.bench import bench
from edge.model.bundle import load_bundle, locate_bundle
from edge.run import bench as benchmark
from edge.run.bench import INVOKE, SEGMENT, WHOLE, Timing, describe_machine, ratios, time_bundle, warnings


def timing(runtime: str, model: str, ms: float, work: str = INVOKE, batch: int = 1) -> Timing:
    return Timing(runtime, "1", model, work, batch, 1, ms, ms, ms, ms)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "ROUND_SECONDS", 0.001)


def test_ratios_are_to_int8_on_litert_with_the_same_batch() -> None:
    rows = [
        timing("litert", "int8", 2.0),
        timing("litert", "float32", 8.0),
        timing("litert", "int8", 3.0, WHOLE),
        timing("tflite-runtime", "int8", 11.0),
        timing("tflite-runtime", "int8", 11.0, batch=8),
        timing("", "", 30.0, SEGMENT, 0),
    ]
    assert ratios(rows) == [1.0, 4.0, None, 5.5, None, None]
    assert ratios(rows[1:]) == [None] * 5
    slow = dataclasses.replace(rows[1], ms=90.0)  # another program had the core
    assert ratios([rows[0], slow]) == [1.0, 4.0]


def test_every_kind_of_work_is_timed(short: None) -> None:
    rows = time_bundle(load_bundle("phantom3"), None, [1], rounds=2)
    assert {(row.work, row.batch) for row in rows} == {
        (INVOKE, 1),
        (INVOKE, 8),
        (WHOLE, 1),
        (WHOLE, 8),
        (SEGMENT, 0),
    }
    assert all(0 < row.low <= row.ms <= row.high and row.processor_ms > 0 for row in rows)


def test_an_int8_model_is_refused_as_float32(short: None) -> None:
    path = locate_bundle("phantom3")
    with pytest.raises(ValueError, match=r"phantom3.tflite: its network computes other numbers than float32"):
        time_bundle(load_bundle("phantom3"), None, [1], float_file=path, rounds=1)


def test_the_machine_and_its_warnings() -> None:
    about = describe_machine()
    assert about["processor"]
    assert about["cores"] >= 1
    quiet = {"load": 0.1, "governor": "performance", "throttled": "0x0"}
    assert warnings(quiet) == []
    assert warnings({"load": 0.0, "governor": None, "throttled": None}) == []
    pi = warnings({"load": 3.0, "governor": "ondemand", "throttled": "0x50005"})
    assert [words.split(":")[0] for words in pi[2:]] == ["Raspberry Pi"] * 4
    assert "3.0 cores busy" in pi[0]
    assert "ondemand" in pi[1]


def test_the_command(short: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = ["phantom3", "--runtime", installed_runtimes()[0], "--threads", "1", "--rounds", "1"]
    done = CliRunner().invoke(bench, [*one, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["bundle"]["name"] == "phantom3"
    assert result["machine"]["cores"] >= 1
    assert {row["runtime"] for row in result["timings"]} == {installed_runtimes()[0], ""}
    assert set(result["timings"][0]) == {field.name for field in dataclasses.fields(Timing)}

    canned = [timing("litert", "int8", 2.0), timing("tflite-runtime", "int8", 11.0)]
    monkeypatch.setattr("edge.cli.bench.time_bundle", lambda *_, **__: canned)
    table = CliRunner().invoke(bench, one).stdout
    assert re.search(r"tflite-runtime +int8 invoke +1 +1 +11\.00 +11\.0–11\.0 +11\.00 +5\.50", table)
    monkeypatch.undo()

    (tmp_path / "no.tflite").write_bytes(b"no model")
    for words, reason in (
        (["phantom3", "--runtime", "onnx"], "no runtime onnx"),
        ([str(tmp_path / "no.tflite")], "not a TFLite model"),
        ([*one, "--float", str(tmp_path / "no.tflite")], "no.tflite: the model points out of its file"),
    ):
        refused = CliRunner().invoke(bench, words)
        assert refused.exit_code == 1
        assert reason in refused.output
        assert len(refused.output.strip().splitlines()) == 1
