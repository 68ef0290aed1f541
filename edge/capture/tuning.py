"""The tuning of a Raspberry Pi's camera: what libcamera makes of the sensor's values, alike for every frame.

libcamera's standard tunings are for photographs. They stretch the contrast of each frame by its histogram
(``ce_enable`` is on unless a file says 0: libcamera 0.7.1, src/ipa/rpi/controller/rpi/contrast.cpp), and
``rpi.alsc`` and ``rpi.cac`` correct a lens that a microscope does not have. ``imx477_scientific.json`` does
none of this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.capture.camera import CameraError

VERSION = 2
"""Of the layout of tuning files: a list of algorithms, each an object of one name (controller.cpp)."""

OF_A_LENS = ("rpi.alsc", "rpi.cac")
"""Corrections of a lens's shading and colour fringes; libcamera does without those that a tuning lacks
(pisp.cpp and vc4.cpp, platformPrepareIsp)."""

MONOCHROME = 5
"""``ColorFilterArrangement`` of a sensor without colours (libcamera 0.7.1, property_ids_draft.yaml)."""


@dataclass(frozen=True)
class Tuning:
    """A tuning that was made constant, and its name: libcamera's file, and the hash of what is used of it."""

    name: str
    content: Mapping[str, Any]


def load_tuning(load: Callable[[str], Mapping[str, Any]], model: str, filters: int | None) -> Tuning | None:
    """Return the tuning for a sensor, made constant; None if libcamera has none for it.

    Parameters
    ----------
    load : callable
        ``Picamera2.load_tuning_file``, which looks where libcamera looks for this board.
    model : str
        As libcamera names the sensor, and the sensor's file (0.7.1, pipeline_base.cpp: loadIPA).
    filters : int or None
        The sensor's ``ColorFilterArrangement``.
    """
    files = [f"{model}_mono.json"] if filters == MONOCHROME else [f"{model}_scientific.json", f"{model}.json"]
    for file in files:
        try:
            content = constant(load(file))
        except RuntimeError:  # "Tuning file not found" (picamera2 0.3.36)
            continue
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            why = f"libcamera's tuning {file} cannot be used ({error})"
            raise CameraError(f"{why}: sudo apt install --reinstall libcamera-ipa") from error
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return Tuning(f"{file} {hashlib.sha256(canonical.encode()).hexdigest()[:16]}", content)
    return None


def constant(tuning: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tuning without what adapts to a frame's contrast, or corrects a lens."""
    version = tuning.get("version")
    if version != VERSION:
        raise ValueError(f"its version is {version}, not {VERSION}")
    algorithms: Sequence[Mapping[str, Any]] = tuning["algorithms"]
    kept = [
        {
            name: {**values, "ce_enable": 0} if name == "rpi.contrast" else values
            for name, values in algorithm.items()
        }
        for algorithm in algorithms
        if not set(OF_A_LENS) & algorithm.keys()
    ]
    if not any("rpi.contrast" in algorithm for algorithm in kept):
        raise ValueError("it has no rpi.contrast")
    return {**tuning, "algorithms": kept}
