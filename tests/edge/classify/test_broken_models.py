"""A model that loads and does not run is refused in one line, also where it takes the interpreter down."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from edge.classify import Classifier
from edge.classify.trial import crash_reason
from edge.model import BundleError, load_bundle

CRASHING = """
import dataclasses, random, sys
from edge.classify import Classifier
from edge.model import BundleError, load_bundle
bundle = load_bundle("phantom3")
said = set()
for seed in range(12):
    draw, changed = random.Random(seed), bytearray(bundle.flatbuffer)
    for _ in range(8):
        changed[draw.randrange(4096)] = draw.randrange(256)
        changed[-1 - draw.randrange(12000)] = draw.randrange(256)
    try:
        Classifier(dataclasses.replace(bundle, flatbuffer=bytes(changed)), sys.argv[1])
    except BundleError as error:
        said.add("down (SIG" in str(error))
        assert str(error).isprintable()
print(sorted(said))
"""


def test_a_crash_and_an_endless_run_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert crash_reason(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == "SIGSEGV"
    assert crash_reason(lambda: 1 / 0) == ""
    monkeypatch.setattr("edge.classify.trial.LIMIT_S", 0.2)
    assert crash_reason(lambda: time.sleep(60)) == "no answer in 0.2 s"


def test_a_model_that_takes_tflite_runtime_down_is_refused() -> None:
    pytest.importorskip("tflite_runtime", reason="needs the runtime that crashes")
    # two runtimes in one process collide
    command = [sys.executable, "-c", CRASHING, "tflite-runtime"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[False, True]\n"), done.stderr[-1000:]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_model_that_is_cut_short_is_refused_in_one_line(kept: float) -> None:
    bundle = load_bundle("phantom3")
    short = bundle.flatbuffer[: int(kept * len(bundle.flatbuffer))]
    with pytest.raises(BundleError, match=f"bundle {bundle.manifest.name}: ") as refused:
        Classifier(dataclasses.replace(bundle, flatbuffer=short), "litert")
    assert str(refused.value).isprintable()
