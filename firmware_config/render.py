"""Turns a device profile into everything its system gets. The same profile gives the same bytes."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from edge.model import Bundle
from firmware_config.hardware import RELEASES, SENSORS
from firmware_config.journal import JOURNAL
from firmware_config.profile import HOME, DeviceProfile
from firmware_config.tree import PROFILE, Block, Entry, File, Link, Tree, Word

PROGRAM = "/opt/leuko/bin/leuko"
BUNDLE = "usr/local/share/leuko/bundle.tflite"
UNITS = "etc/systemd/system"
WANTED = f"{UNITS}/multi-user.target.wants"
CONSOLE_MB = 128
STARTS = 5
"""Starts in ten minutes after which systemd gives up; the unit has the same number."""
LONGEST_RESTART_S = 120

_BY = {"LABEL": "label", "PARTLABEL": "partlabel", "UUID": "uuid", "PARTUUID": "partuuid"}


def render(profile: DeviceProfile, text: str, bundle: Bundle) -> Tree:
    """Return the tree of an instrument; the profile's own text is installed as it is."""
    tree: dict[str, Entry] = {
        PROFILE: File(text.encode()),
        BUNDLE: File(bundle.content),
        BUNDLE.replace(".tflite", ".sha256"): _lines(f"{bundle.sha256}  /{BUNDLE}"),
        f"{UNITS}/leuko-count.service": _count_unit(profile),
        "etc/sysusers.d/leuko.conf": _sysusers(profile),
        "etc/tmpfiles.d/leuko.conf": _lines(f"d {HOME} 0750 leuko leuko -"),
        "etc/systemd/journald.conf.d/leuko.conf": _journald(profile),
    }
    boot = RELEASES[profile.device.release].boot
    tree[f"{boot}/config.txt"] = Block(_config_txt(profile))
    # Raspberry Pi's firmware disables the kernel's memory accounting, and with it every limit
    tree[f"{boot}/cmdline.txt"] = Word(b"cgroup_enable=memory")
    if profile.service.start_at_boot:
        tree[f"{WANTED}/leuko-count.service"] = Link("../leuko-count.service")
    if SENSORS[profile.camera.sensor].devices:
        tree["etc/udev/rules.d/70-leuko.rules"] = _udev(profile)
    if profile.watchdog.hardware_s:
        limits = (f"RuntimeWatchdogSec={profile.watchdog.hardware_s}", "RebootWatchdogSec=2min")
        tree["etc/systemd/system.conf.d/leuko.conf"] = _lines("[Manager]", *limits)
    if profile.console.enabled:
        tree[f"{UNITS}/leuko-console.service"] = _console_unit(profile)
        tree[f"{WANTED}/leuko-console.service"] = Link("../leuko-console.service")
    if profile.storage.data_partition is not None:
        tree[f"{UNITS}/var-lib-leuko.mount"] = _data_mount(profile.storage.data_partition)
        # wanted, not required: without the partition the count does not start, but the device stays reachable
        tree[f"{UNITS}/local-fs.target.wants/var-lib-leuko.mount"] = Link("../var-lib-leuko.mount")
    if profile.storage.read_only_root:
        tree |= _read_only_root(profile)
    return dict(sorted(tree.items()))


def count_words(profile: DeviceProfile) -> list[str]:
    """Return the command that the count service runs, after the program's name."""
    camera, plan = profile.camera, profile.plan
    nominal = None if profile.optics.calibration or profile.pixel_um is None else f"{profile.pixel_um:.6g}"
    options = {
        "--camera": f"{SENSORS[camera.sensor].camera}:{camera.number}",
        "--size": f"{camera.width_px}x{camera.height_px}",
        "--sensor-bits": camera.bit_depth if SENSORS[camera.sensor].camera == "picamera2" else None,
        "--give-up-s": f"{profile.service.give_up_s:g}",
        "--bundle": f"/{BUNDLE}",
        "--calibration": profile.optics.calibration,
        "--pixel-um": nominal,
        "--exposure-us": camera.exposure_us,
        "--gain": camera.gain,
        "--buffer-frames": camera.buffer_frames,
        "--camera-buffers": camera.camera_buffers if SENSORS[camera.sensor].camera == "picamera2" else None,
        "--when-behind": camera.when_behind,
        "--each-once": None if profile.optics.motion == "fields" else profile.optics.motion,
        "--until-cells": plan.until_cells,
        "--until-halfwidth": plan.until_halfwidth,
        "--until-seconds": plan.until_seconds,
        "--threads": profile.service.threads,
        "--log": "json",
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    crops = ["--keep-crops"] if profile.storage.keep_crops else []
    wait = ["--wait-for-camera"] if SENSORS[camera.sensor].devices else []
    return ["count", *words, *crops, *wait, "--resume", "--json"]


def _count_unit(profile: DeviceProfile) -> File:
    sensor = SENSORS[profile.camera.sensor]
    devices = sensor.devices
    allowed = [f"DeviceAllow=char-{kind} rw" for kind in devices]
    return _filled(
        "leuko-count.service",
        sensor=profile.camera.sensor,
        objective=profile.optics.objective.replace("%", "%%"),
        chamber=profile.optics.chamber.replace("%", "%%"),
        command=" ".join((PROGRAM, *count_words(profile))),
        starts=STARTS,
        restart=_restart(profile),
        watchdog_s=profile.service.watchdog_s,
        memory_mb=profile.service.memory_mb,
        # AF_UNIX: messages to systemd; AF_NETLINK: libcamera listens to the kernel for cameras
        families="AF_UNIX AF_NETLINK" if sensor.camera == "picamera2" else "AF_UNIX",
        devices="\n".join(["SupplementaryGroups=video", *allowed] if devices else ["PrivateDevices=yes"]),
    )


def _restart(profile: DeviceProfile) -> str:
    """Return how long systemd waits before a restart: longer each time, where it can (systemd 254, NEWS)."""
    rows = [f"RestartSec={profile.service.restart_s}"]
    if RELEASES[profile.device.release].systemd >= 254:
        rows += [
            f"RestartSteps={STARTS - 1}",
            f"RestartMaxDelaySec={max(LONGEST_RESTART_S, profile.service.restart_s)}",
        ]
    return "\n".join(rows)


def _console_unit(profile: DeviceProfile) -> File:
    console = profile.console
    local = console.interface == "lo"
    words = ("serve", "--host", "127.0.0.1" if local else "0.0.0.0", "--port", str(console.port))
    return _filled(
        "leuko-console.service",
        command=" ".join((PROGRAM, *words)),
        restart_s=profile.service.restart_s,
        memory_mb=CONSOLE_MB,
        interfaces="lo" if local else f"lo {console.interface}",
        port=console.port,
        addresses="IPAddressDeny=any\nIPAddressAllow=localhost" if local else "",
    )


def _sysusers(profile: DeviceProfile) -> File:
    camera = ["m leuko video"] if SENSORS[profile.camera.sensor].devices else []
    return _lines(f'u leuko - "leukocyte count" {HOME}', *camera)


def _udev(profile: DeviceProfile) -> File:
    kinds = SENSORS[profile.camera.sensor].devices
    return _lines(*(f'SUBSYSTEM=="{kind}", GROUP="video", MODE="0660"' for kind in kinds))


def _journald(profile: DeviceProfile) -> File:
    storage, most = profile.storage, f"{profile.storage.journal_mb}M"
    where = "volatile" if storage.read_only_root else "persistent"
    return _lines("[Journal]", f"Storage={where}", f"SystemMaxUse={most}", f"RuntimeMaxUse={most}")


def _config_txt(profile: DeviceProfile) -> bytes:
    rows = ["[all]"]
    if profile.camera.overlay:
        rows += ["camera_auto_detect=0", f"dtoverlay={profile.camera.overlay}"]
    if profile.watchdog.hardware_s:
        rows += ["dtparam=watchdog=on"]
    return _lines(*rows).content


def _data_mount(partition: str) -> File:
    kind, _, name = partition.partition("=")
    device = f"/dev/disk/by-{_BY[kind]}/{name}"
    escaped = device.strip("/").replace("-", r"\x2d").replace("/", "-")
    return _filled("var-lib-leuko.mount", device=device, fsck=f"systemd-fsck@{escaped}.service")


def _read_only_root(profile: DeviceProfile) -> Tree:
    release = RELEASES[profile.device.release]
    # the kernel mounts the root read-only; what would remount it for writing, or write to it, is masked
    masked = ("systemd-remount-fs.service", *release.masked)
    tree: dict[str, Entry] = {f"{UNITS}/{unit}": Link("/dev/null") for unit in masked}
    mounts = ("var.mount", "tmp.mount", "var-lib-systemd-timesync.mount")
    for unit in ("leuko-volatile.service", *mounts):
        tree[f"{UNITS}/{unit}"] = _filled(unit)
    if release.swap:
        # by default it backs zram with a file, which needs the remount that is masked (rpi-swap-generator)
        tree[release.swap] = _lines("[Main]", "Mechanism=zram")
    for unit in mounts:
        tree[f"{UNITS}/local-fs.target.wants/{unit}"] = Link(f"../{unit}")
    boot = release.boot.replace("/", "-")
    tree[f"{UNITS}/{boot}.mount.d/leuko.conf"] = _lines("[Mount]", "Options=ro")
    return tree


def _filled(template: str, **values: object) -> File:
    folder = files("firmware_config") / "templates"
    hardening = (folder / "hardening").read_text(encoding="utf-8")
    text = (folder / template).read_text(encoding="utf-8")
    return File(Template(text).substitute(values, home=HOME, journal=JOURNAL, hardening=hardening).encode())


def _lines(*rows: str) -> File:
    return File("".join(f"{row}\n" for row in rows).encode())
