"""Power cuts on a real file system: what was reported as counted is there afterwards."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.power_cuts import CHECK, LONGEST_S, WRITER, kill, make_frames, power_cut
from tests.system.disks import need_mounts

NEVER_SYNCED = 'while :; do n=$((n + 1)); echo $n >> "$PLACE/log"; echo $n; done'
LAST_LINE = 'test "$(tail -n 1 "$REPORTED")" -le "$(tail -n 1 "$PLACE/log")"'


@pytest.mark.parametrize("cuts", [5, 20])
def test_no_frame_that_was_reported_is_lost(tmp_path: Path, cuts: int) -> None:
    """``python -m benchmarks.power_cuts`` makes a hundred."""
    need_mounts(tmp_path)
    make_frames(tmp_path / "frames")
    moments = random.Random(cuts)
    missed = [power_cut(WRITER, CHECK, tmp_path, moments.uniform(0, LONGEST_S)) for _ in range(cuts)]
    assert missed == [None] * cuts


def test_a_cut_loses_what_was_never_synced_and_a_kill_does_not(tmp_path: Path) -> None:
    need_mounts(tmp_path)
    assert kill(NEVER_SYNCED, LAST_LINE, tmp_path, 0.1) is None
    assert power_cut(NEVER_SYNCED, LAST_LINE, tmp_path, 0.1) is not None
