"""A count in one thread stays small, however many cells a large frame holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from edge.simulate import Scene, simulate_frame

MOST_MIB = 200

_COUNT = """
import sys
from pathlib import Path
from edge.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def test_dense_frames_of_12_megapixels_in_one_thread(tmp_path: Path) -> None:
    scene = Scene(width_px=1014, height_px=760, leukocytes=13, erythrocytes=0, debris=0)
    tile = simulate_frame(1, scene=scene).image
    frame = np.tile(tile, (4, 4))
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.roll(frame, 300 * k, axis=1))
    words = ("count", str(tmp_path), "--bundle", "phantom3", "--pixel-um", "0.125", "--threads", "1")
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, *words, "--count-repeats", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    assert result["frames"]["read"] == 3
    assert result["cells"] > 3 * 190
    assert int(done.stderr.splitlines()[-1]) / 1024 <= MOST_MIB
