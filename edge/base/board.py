"""The board this runs on: name, cores, temperature, and what a Raspberry Pi says of heat and supply."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MODEL = Path("/proc/device-tree/model")
THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
HWMON = Path("/sys/class/hwmon")

THROTTLED = {
    0: "supply voltage too low",
    1: "clock held down",
    2: "throttled",
    3: "soft temperature limit",
    16: "supply voltage was too low",
    17: "clock was held down",
    18: "was throttled",
    19: "soft temperature limit was reached",
}
"""Bits of ``vcgencmd get_throttled``, as Raspberry Pi documents them; from 16 on: since it was started."""


def model() -> str | None:
    """Name of a board that has one in its device tree; None elsewhere."""
    return text(MODEL)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def temperature_c() -> float | None:
    """Temperature of the processor in °C, None where the system does not tell."""
    said = text(THERMAL)
    return int(said) / 1000 if said and said.lstrip("-").isdigit() else None


def throttled() -> str | None:
    """Return what a Raspberry Pi's firmware says of heat and supply, hexadecimal `THROTTLED`; None elsewhere.

    Without ``vcgencmd`` the kernel still tells whether the supply voltage is too low.
    """
    program = shutil.which("vcgencmd")
    if program is not None:
        done = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, check=False, timeout=5
        )
        said = done.stdout.strip().removeprefix("throttled=")
        if done.returncode == 0 and said.startswith("0x"):
            return said
    for folder in sorted(HWMON.glob("hwmon*")):
        if text(folder / "name") == "rpi_volt":
            return "0x1" if text(folder / "in0_lcrit_alarm") == "1" else "0x0"
    return None


def throttling(word: str | None) -> list[str]:
    """Put what `throttled` returned into words, what holds now first."""
    bits = int(word or "0x0", 16)
    return [words for bit, words in THROTTLED.items() if bits >> bit & 1]


def text(path: Path) -> str | None:
    """Return a system file's text, None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None
