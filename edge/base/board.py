"""The board: name, cores, temperature, and what a Raspberry Pi reports of heat and supply voltage."""

from __future__ import annotations

import os
import platform
import resource
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
"""Bits of ``vcgencmd get_throttled`` as Raspberry Pi documents them; from bit 16: since it was started."""


def model() -> str | None:
    """Return the board's name from its device tree; None without one."""
    return text(MODEL)


def processor() -> str:
    """Return the name of the processor."""
    lines = (text(Path("/proc/cpuinfo")) or "").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory that this process may take: the board's, or less if its group or user is limited."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = (text(Path("/proc/self/cgroup")) or "").splitlines()
    folder = next((line.removeprefix("0::/") for line in groups if line.startswith("0::")), "")
    stated = [text(Path("/sys/fs/cgroup", *folder.split("/")[:depth], "memory.max")) for depth in range(9)]
    limits = [int(limit) for limit in stated if limit and limit.isdecimal()]
    address, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([total, *limits, *([address] if address != resource.RLIM_INFINITY else [])])


def temperature_c() -> float | None:
    """Return the temperature of the processor in °C; None if the system does not report it."""
    millidegrees = text(THERMAL)
    return int(millidegrees) / 1000 if millidegrees and millidegrees.lstrip("-").isdigit() else None


def throttled() -> str | None:
    """Return a Raspberry Pi's bits of `THROTTLED`, in hexadecimal; None elsewhere.

    Without ``vcgencmd`` only the bit of a low supply voltage is known, from the kernel.
    """
    program = shutil.which("vcgencmd")
    if program is not None:
        done = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, check=False, timeout=5
        )
        bits = done.stdout.strip().removeprefix("throttled=")
        if done.returncode == 0 and bits.startswith("0x"):
            return bits
    for folder in sorted(HWMON.glob("hwmon*")):
        if text(folder / "name") == "rpi_volt":
            return "0x1" if text(folder / "in0_lcrit_alarm") == "1" else "0x0"
    return None


def throttling(bits: str | None) -> list[str]:
    """Return in words what `throttled` returned, present conditions first."""
    return [words for bit, words in THROTTLED.items() if int(bits or "0x0", 16) >> bit & 1]


def text(path: Path) -> str | None:
    """Return the text of a system file; None without one."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None
