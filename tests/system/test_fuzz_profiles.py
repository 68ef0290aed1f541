"""Mutated device profiles: no command crashes, hangs or shows a traceback, and no line is injected."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from firmware_config.fence import fenced
from firmware_config.render import UNITS
from tests.system.fuzz import run_trials
from tests.system.fuzz_profiles import injected, prepare

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root, which needs root"),
    # its parsers are the judges; nothing else can stand in for them
    pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd"),
]


def test_mutated_profiles(tmp_path: Path) -> None:
    outcomes, findings = run_trials(prepare(tmp_path), 30, seed=20261127)
    assert findings == []
    assert outcomes.keys() == {"accepted", "refused"}


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
