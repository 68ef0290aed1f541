"""The fuzzer of profiles finds lines that were injected."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_config.fence import fenced
from firmware_config.render import UNITS
from tests.system.fuzz_profiles import injected


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (f"{UNITS}/leuko-count.service", "User=leuko\nExecStart=/opt/leuko/bin/leuko count\nid=0; x"),
        (f"{UNITS}/leuko-count.service", "User=leuko\nExecStart=/opt/leuko/bin/leuko count; /bin/sh"),
        (f"{UNITS}/leuko-count.service", "User=leuko\nExecStart=a\nExecStartPre=b\nExecStopPost=c"),
        ("boot/firmware/config.txt", "init=/bin/sh"),
    ],
)
def test_an_injected_line_would_be_found(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(fenced(b"", f"{line}\n".encode()))
    assert injected(tmp_path)
