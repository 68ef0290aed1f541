"""What ``install.sh`` asks before it changes anything; it prints the Debian packages that a profile needs.

It is run from a checkout by the system's own Python, which has nothing but the standard library.
"""

from __future__ import annotations

import sys
from pathlib import Path

from firmware_config.hardware import SENSORS
from firmware_config.profile import DeviceProfile, read_file
from firmware_config.wheels import WheelsError, verify


def packages(profile: DeviceProfile) -> list[str]:
    """Debian's packages without which leuko cannot be installed or the camera cannot be read."""
    # the cameras of a Raspberry Pi are read through its own picamera2
    camera = SENSORS[profile.camera.sensor].camera
    return ["python3-venv", *(["python3-picamera2"] if camera == "picamera2" else [])]


def main(path: str, *wheels: str) -> None:
    """Check a profile's single values and, if one is named, a folder of wheels; say what is wrong and exit 1.

    What contradicts what is found later, by the ``leuko`` that is then there.
    """
    said = read_file(Path(path))
    if said.profile is None or said.problems:
        sys.exit("\n".join(problem.named(path) for problem in said.problems))
    try:
        for folder in wheels:
            verify(Path(folder))
    except (WheelsError, OSError) as error:
        sys.exit(str(error))
    print(*packages(said.profile))


if __name__ == "__main__":
    main(*sys.argv[1:])
