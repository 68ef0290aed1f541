"""Power cuts on a real file system: what was reported as counted is there afterwards."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.power_cuts import CHECK, LONGEST_S, WRITER, kill, make_frames, power_cut
from tests.system.disks import need_mounts

CUTS = 20
"""``python -m benchmarks.power_cuts`` makes a hundred."""

NEVER_SYNCED = 'while :; do n=$((n + 1)); echo $n >> "$PLACE/log"; echo $n; done'
LAST_LINE = 'test "$(tail -n 1 "$REPORTED")" -le "$(tail -n 1 "$PLACE/log")"'


def test_no_frame_that_was_reported_is_lost(tmp_path: Path) -> None:
    need_mounts(tmp_path)
    make_frames(tmp_path / "frames")
    moments = random.Random(20)
    cuts = [power_cut(WRITER, CHECK, tmp_path, moments.uniform(0, LONGEST_S)) for _ in range(CUTS)]
    assert cuts == [None] * CUTS


def test_a_cut_loses_what_was_never_synced_and_a_kill_does_not(tmp_path: Path) -> None:
    need_mounts(tmp_path)
    assert kill(NEVER_SYNCED, LAST_LINE, tmp_path, 0.1) is None
    assert power_cut(NEVER_SYNCED, LAST_LINE, tmp_path, 0.1) is not None
