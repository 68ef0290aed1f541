"""What ``install.sh`` runs before it changes anything; prints the Debian packages that a profile needs.

It runs from a checkout on the system's own Python, which has only the standard library.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge.base import visible
from firmware_config.hardware import SENSORS
from firmware_config.profile import DeviceProfile
from firmware_config.read import read_file
from firmware_config.wheels import WheelsError, verify


def packages(profile: DeviceProfile | None) -> list[str]:
    """Return the Debian packages that installation and camera need; without a profile no camera is known."""
    # picamera2 reads the cameras on the ribbon cable
    camera = SENSORS[profile.camera.sensor].camera if profile else ""
    return ["python3-venv", *(["python3-picamera2"] if camera == "picamera2" else [])]


def main(path: str, wheels: str = "", into: str = "") -> None:
    """Check a profile's single values and a folder of wheels, where given; exit 1 with what is wrong.

    The wheels are copied into an empty folder, and the copy is checked. The installed ``leuko`` later checks
    the profile for contradictions.
    """
    profile = None
    if path:
        reading = read_file(Path(path))
        if reading.profile is None or reading.problems:
            sys.exit("\n".join(problem.named(path) for problem in reading.problems))
        profile = reading.profile
    try:
        if wheels:
            verify(Path(wheels), Path(into))
    except (WheelsError, OSError) as error:
        sys.exit(visible(str(error)))
    print(*packages(profile))


if __name__ == "__main__":
    main(*sys.argv[1:])
