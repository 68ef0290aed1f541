"""What a profile renders to: all that it says is in the files, and the same each time."""

from __future__ import annotations

import configparser
import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from edge.cli.count import count
from edge.model import Bundle, DeviceSettings, load_bundle, shipped_bundles
from edge.model.bundle import locate_bundle
from firmware_config.fence import fenced
from firmware_config.hardware import BOARDS, RELEASES, SENSORS
from firmware_config.read import read
from firmware_config.render import BUNDLE, UNITS, render
from firmware_config.tree import Block, File, Link, Tree, Word
from tests.firmware_config.test_profile import ROOT, profile

UNIT = f"{UNITS}/leuko-count.service"


def rendered(text: str) -> Tree:
    found = read(text).profile
    assert found is not None
    return render(found, text, loaded(found.bundle.file))


@cache
def loaded(file: str) -> Bundle:
    return load_bundle(file if file in shipped_bundles() else ROOT / file, DeviceSettings())


def parsed(tree: Tree, name: str) -> configparser.ConfigParser:
    entry = tree[name]
    assert isinstance(entry, File)
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, delimiters="=", comment_prefixes="#", empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(entry.content.decode())
    return parser


def rendered_block(text: str) -> bytes:
    entry = rendered(text)["boot/firmware/config.txt"]
    assert isinstance(entry, Block)
    return entry.content


def words(text: str) -> list[str]:
    command = parsed(rendered(text), UNIT)["Service"]["ExecStart"].split()
    assert command[:2] == ["/opt/leuko/bin/leuko", "count"]
    return command[2:]


def test_every_process_renders_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(profile(storage__read_only_root="true", storage__data_partition='"LABEL=a-b"'))
    trees = []
    for seed, mask in (("1", 0o077), ("2", 0o002)):
        out = tmp_path / seed
        words = [sys.executable, "-m", "edge.cli", "firmware", "render", path, "--out", out]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [*map(str, words)], check=True, cwd=ROOT, env=environment, umask=mask, capture_output=True
        )
        trees.append(
            {
                str(found.relative_to(out)): found.readlink() if found.is_symlink() else found.read_bytes()
                for found in sorted(out.rglob("*"))
                if found.is_symlink() or found.is_file()
            }
        )
        modes = {found.lstat().st_mode & 0o777 for found in out.rglob("*") if not found.is_symlink()}
        assert modes == {0o644, 0o755}
    assert trees[0] == trees[1]
    assert trees[0]["boot/firmware/config.txt"] == fenced(b"", rendered_block(path.read_text()))
    assert trees[0].keys() == rendered(path.read_text()).keys()


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("board", BOARDS)
def test_the_command_is_one_that_leuko_takes(board: str, sensor: str, release: str) -> None:
    text = profile(board, sensor, device__release=f'"{release}"', camera__exposure_us="5000")
    taken = count.make_context("count", words(text)).params
    modes = SENSORS[sensor].modes
    small = {"imx477": (2028, 1520), "imx708": (2304, 1296)} if board == "zero2w" else {}
    largest = (modes[-1].width_px, modes[-1].height_px) if modes else (1920, 1080)
    assert taken["size"] == small.get(sensor, largest)
    scarce = board == "zero2w"
    assert (taken["threads"], taken["buffer_frames"]) == ((1, 2) if scarce else (None, 4))
    few = board in ("zero2w", "pi3") and sensor.startswith("imx")
    assert taken["camera_buffers"] == (2 if few else None)
    assert taken["camera"] == f"{SENSORS[sensor].camera}:0"
    assert taken["exposure_us"] == 5000
    assert taken["bundle"] == f"/{BUNDLE}"
    assert taken["until_cells"] == 400
    assert taken["resume"]
    assert taken["wait_for_camera"] == (sensor != "simulated")
    assert taken["log_form"] == "json"


def test_keys_left_out_give_no_option() -> None:
    text = profile(
        plan__until_seconds="60.0",
        plan__until_halfwidth="0.05",
        camera__gain="2.5",
        optics__motion='"flow"',
        service__give_up_s="33",
        storage__keep_crops="true",
        optics__calibration='"/var/lib/leuko/profile.toml"',
    )
    taken = count.make_context("count", words(text)).params
    assert (taken["until_seconds"], taken["until_halfwidth"], taken["gain"]) == (60, 0.05, 2.5)
    assert taken["keep_crops"]
    assert (taken["each_once"], taken["give_up_s"]) == ("flow", 33)
    assert taken["calibration"] == "/var/lib/leuko/profile.toml"
    assert taken["pixel_um"] is None
    plain = count.make_context("count", words(profile())).params
    assert plain["pixel_um"] == pytest.approx(1.55 / 21.3, rel=1e-5)
    assert not plain["keep_crops"]
    for name in ("until_seconds", "until_halfwidth", "gain", "exposure_us", "calibration", "each_once"):
        assert plain[name] is None


def test_the_unit_has_the_profiles_limits() -> None:
    text = profile(service__memory_mb="512", service__watchdog_s="77", service__restart_s="9")
    unit = parsed(rendered(text), UNIT)["Service"]
    assert (unit["MemoryMax"], unit["WatchdogSec"], unit["RestartSec"]) == ("512M", "77", "9")
    assert "RestartSteps" not in unit, "the systemd of Bookworm has none"
    later = parsed(rendered(profile(device__release='"trixie"', service__restart_s="200")), UNIT)["Service"]
    assert (later["RestartSec"], later["RestartSteps"], later["RestartMaxDelaySec"]) == ("200", "4", "200")
    assert unit["PrivateNetwork"] == "yes"
    assert unit["OOMPolicy"] == "continue", "a decoder that runs out of memory ends itself only"


def test_characters_special_in_units_are_escaped() -> None:
    text = profile(optics__objective='"40x, 50 %n = $x"', optics__chamber='"a 100 %"')
    unit = parsed(rendered(text), UNIT)["Unit"]
    assert unit["Description"] == "Leukocyte count: imx477, 40x, 50 %%n = $x, a 100 %%"


def test_the_service_sees_no_home_and_has_a_private_tmp() -> None:
    unit = parsed(rendered(profile()), UNIT)["Service"]
    assert (unit["ProtectHome"], unit["PrivateTmp"]) == ("yes", "yes")


def test_only_the_cameras_devices_are_allowed() -> None:
    def allowed(sensor: str) -> list[str]:
        entry = rendered(profile(sensor=sensor))[UNIT]
        assert isinstance(entry, File)
        rows = entry.content.decode().splitlines()
        return [row.partition("=")[2] for row in rows if row.startswith(("DeviceAllow", "PrivateDevices"))]

    assert allowed("imx477") == ["char-video4linux rw", "char-media rw", "char-dma_heap rw"]
    assert allowed("usb") == ["char-video4linux rw"]
    assert allowed("simulated") == ["yes"]


def test_the_bundle_is_installed_with_its_hash() -> None:
    tree = rendered(profile())
    content = locate_bundle("hemocytometer").read_bytes()
    assert tree[BUNDLE] == File(content)
    digest = hashlib.sha256(content).hexdigest()
    assert tree[BUNDLE.replace(".tflite", ".sha256")] == File(f"{digest}  /{BUNDLE}\n".encode())


def test_the_boot_partition_gets_camera_and_watchdog() -> None:
    tree = rendered(profile(camera__overlay='"imx477,cam0"'))
    expected = b"[all]\ncamera_auto_detect=0\ndtoverlay=imx477,cam0\ndtparam=watchdog=on\n"
    assert tree["boot/firmware/config.txt"] == Block(expected)
    assert tree["boot/firmware/cmdline.txt"] == Word(b"cgroup_enable=memory")
    bare = rendered(profile(sensor="usb", watchdog__hardware_s="0"))
    assert bare["boot/firmware/config.txt"] == Block(b"[all]\n")
    assert "etc/systemd/system.conf.d/leuko.conf" not in bare
    watchdog = parsed(tree, "etc/systemd/system.conf.d/leuko.conf")["Manager"]
    assert watchdog["RuntimeWatchdogSec"] == "60"


def test_a_read_only_root_keeps_the_sessions_on_the_data_partition() -> None:
    ro = {"storage__read_only_root": "true", "storage__data_partition": '"PARTUUID=1a2b-02"'}
    tree = rendered(profile(**ro, device__release='"bookworm"'))
    mount = parsed(tree, f"{UNITS}/var-lib-leuko.mount")
    assert mount["Mount"]["What"] == "/dev/disk/by-partuuid/1a2b-02"
    assert mount["Unit"]["Requires"] == r"systemd-fsck@dev-disk-by\x2dpartuuid-1a2b\x2d02.service"
    assert tree[f"{UNITS}/systemd-remount-fs.service"] == Link("/dev/null")
    assert f"{UNITS}/dphys-swapfile.service" in tree
    assert f"{UNITS}/dphys-swapfile.service" not in rendered(profile(**ro, device__release='"trixie"'))
    assert tree[f"{UNITS}/fake-hwclock.service"] == Link("/dev/null")
    swap = "etc/rpi/swap.conf.d/leuko.conf"
    assert swap not in tree
    assert rendered(profile(**ro, device__release='"trixie"'))[swap] == File(b"[Main]\nMechanism=zram\n")
    clock = parsed(tree, f"{UNITS}/var-lib-systemd-timesync.mount")
    assert (clock["Mount"]["What"], clock["Mount"]["Options"]) == ("/var/lib/leuko/.timesync", "bind")
    assert clock["Unit"]["RequiresMountsFor"] == "/var/lib/leuko"
    assert f"{UNITS}/local-fs.target.wants/var-lib-systemd-timesync.mount" in tree
    assert parsed(tree, "etc/systemd/journald.conf.d/leuko.conf")["Journal"]["Storage"] == "volatile"
    plain = rendered(profile())
    assert f"{UNITS}/var.mount" not in plain
    assert parsed(plain, "etc/systemd/journald.conf.d/leuko.conf")["Journal"]["Storage"] == "persistent"


def test_the_console_is_where_the_profile_has_it() -> None:
    name = f"{UNITS}/leuko-console.service"
    assert name not in rendered(profile())
    local = parsed(rendered(profile(console__enabled="true")), name)["Service"]
    assert "--host 127.0.0.1 --port 8080" in local["ExecStart"]
    assert (local["RestrictNetworkInterfaces"], local["IPAddressAllow"]) == ("lo", "localhost")
    text = profile(console__enabled="true", console__interface='"wlan0"', console__port="8443")
    chosen = parsed(rendered(text), name)["Service"]
    assert chosen["RestrictNetworkInterfaces"] == "lo wlan0"
    assert chosen["SocketBindAllow"] == "tcp:8443"


def test_the_count_starts_at_boot_only_if_asked() -> None:
    link = f"{UNITS}/multi-user.target.wants/leuko-count.service"
    assert rendered(profile())[link] == Link("../leuko-count.service")
    assert link not in rendered(profile(service__start_at_boot="false"))
