"""An instrument whose root is read-only, in a container of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.firmware_config.root import booted
from tests.firmware_config.test_install import snapshot
from tests.firmware_config.test_profile import profile
from tests.system.test_firmware_service import (  # noqa: F401 (fixtures)
    QUICK,
    SERVICE,
    configure,
    fresh,
    instrument,
    sessions,
)

READ_ONLY = {**QUICK, "storage__read_only_root": "true", "storage__data_partition": '"LABEL=leuko-data"'}


def test_a_read_only_root_keeps_nothing_but_the_sessions(
    instrument: Path,  # noqa: F811 (the fixture)
    tmp_path: Path,
) -> None:
    configure(instrument, profile(sensor="simulated", **READ_ONLY))
    # a container has no block devices: a folder takes the partition's place
    units = instrument / "etc/systemd/system"
    override = units / "var-lib-leuko.mount.d"
    override.mkdir()
    (override / "test.conf").write_text("[Mount]\nWhat=/mnt/data\nType=none\nOptions=bind\n")
    fsck = units / r"systemd-fsck@dev-disk-by\x2dlabel-leuko\x2ddata.service"
    # as the real one, before the file systems: after them by default, it would wait for what waits for it
    fsck.write_text("[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/usr/bin/true\n")
    (instrument / "mnt/data").mkdir()
    (tmp_path / "data").mkdir()
    before = snapshot(instrument)
    options = ("--read-only", f"--bind={tmp_path / 'data'}:/mnt/data")
    ids = []
    for start in range(2):
        with booted(instrument, *options, notify=tmp_path / f"notify{start}") as container:
            container.wait_for(SERVICE, '"event": "frame"')
            assert container.tried("touch", "/etc/x").returncode != 0
            assert container.tried("ls", "/var/tmp/forgotten").returncode != 0
            container.run("touch", "/var/tmp/forgotten")
            # as systemd-timesyncd does, which a container has no use for
            clock = "/var/lib/systemd/timesync/clock"
            assert (container.tried("ls", clock).returncode == 0) == (start > 0)
            container.run("touch", clock)
            container.run("systemctl", "stop", SERVICE)
            ids = [one["id"] for one in sessions(container)]
            assert container.run("systemctl", "--failed", "--plain", "--no-legend", "--quiet") == ""
    assert len(set(ids)) == 2
    assert snapshot(instrument) == before
    shutil.rmtree(override)
    fsck.unlink()
