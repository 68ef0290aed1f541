"""A fit that is killed at any moment, or meets a full disk, resumes from its last whole epoch."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras", reason="needs the train extra")

from train.run import finished, load_run

FIT = """
import sys
from pathlib import Path
from tests.train.test_fit import BEST, spots
from train.fit import FitObserver, fit
from train.recipe import TrainingJob
report = FitObserver(on_step=lambda *_: print("step", flush=True))
try:
    fit(TrainingJob(spots(24, 1), spots(6, 2), BEST, 5), Path(sys.argv[1]), report)
except OSError as error:
    print("refused:", error, flush=True)
"""
STEPS = 9  # three epochs of three
ONE_THREAD = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def start(run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FIT, str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ONE_THREAD,
    )


def weights(run: Path) -> list[NDArray[np.float32]]:
    return [np.asarray(value) for value in load_run(run)[0].get_weights()]


def test_killed_at_any_moment_it_ends_with_the_unbroken_runs_weights(tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    with start(unbroken) as process:
        process.wait()
    moments = random.Random(1)
    kills = 0
    while not finished(killed):
        with start(killed) as process:
            assert process.stdout is not None
            # after some step, or while what follows it is computed and written
            for _ in range(moments.randint(4, 7)):
                process.stdout.readline()
            if kills < 3:
                process.kill()
                kills += 1
    assert kills == 3
    for one, other in zip(weights(unbroken), weights(killed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list(killed.glob(".*"))
    rows = [(run / "history.csv").read_text().splitlines() for run in (unbroken, killed)]
    without_seconds = [[row.rsplit(",", 1)[0] for row in table] for table in rows]
    assert without_seconds[0] == without_seconds[1]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_the_run_resumes_later(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "none", str(disk)], check=False)
    if mounted.returncode:
        # root in a container may not mount, and only a real small disk gives the real "no space left"
        pytest.skip("this machine refuses to mount a tmpfs")
    try:
        run = disk / "run"
        with start(run) as process:
            assert process.stdout is not None
            output = process.stdout.read().splitlines()
        assert output[-1].startswith("refused: ")
        assert "No space left on device" in output[-1]
        kept = len((run / "history.csv").read_text().splitlines()) if (run / "history.csv").exists() else 0
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        with start(run) as process:
            process.wait()
        assert finished(run)
        assert len((run / "history.csv").read_text().splitlines()) == 4 >= kept
    finally:
        subprocess.run(["umount", str(disk)], check=True)
