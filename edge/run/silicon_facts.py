"""What leuko relies on about a Raspberry Pi, each fact with its source; ``docs/silicon.md`` is made of it.

Nothing here was tried on a board when it was written: a person with one ticks the facts off.
"""

from __future__ import annotations

from dataclasses import dataclass

DATE = "2026-11"
"""When the sources were read, unless a fact says otherwise."""

PICAMERA2 = "picamera2 0.3.36"
LIBCAMERA = "libcamera 0.7.1 (Raspberry Pi)"
KERNEL = "Raspberry Pi's kernel 6.12"


@dataclass(frozen=True)
class Fact:
    """One fact: its name, what holds, the module that relies on it, the source, and how a person tests it."""

    name: str
    states: str
    used: str
    source: str
    by_hand: str
    date: str = DATE


FACTS = (
    Fact(
        "64-bit",
        "Programs have 64 bits: a 32-bit Raspberry Pi OS boots a 64-bit kernel all the same.",
        "install.sh",
        "getconf(1); Raspberry Pi documentation, config.txt: arm_64bit",
        "`getconf LONG_BIT` says 64",
    ),
    Fact(
        "board",
        "The device tree names the board, the kernel its temperature, and vcgencmd the supply's faults.",
        "edge/base/board.py",
        "Raspberry Pi documentation, config.txt and vcgencmd get_throttled",
        "`leuko doctor` names board and temperature; a weak supply gives a warning",
    ),
    Fact(
        "systemd",
        "Bookworm has systemd 252 and Trixie 257; RestartSteps= exists from 254 on.",
        "firmware_config/hardware.py",
        "packages.debian.org; systemd NEWS, 254",
        '`systemctl --version`; `systemctl cat leuko-count` without "Unknown key" in the journal',
    ),
    Fact(
        "memory-limit",
        "The kernel enforces MemoryMax= only with cgroup_enable=memory.",
        "firmware_config/render.py",
        "Raspberry Pi's device trees (bootargs: cgroup_disable=memory); systemd.resource-control(5)",
        "`systemctl show -p MemoryMax,MemoryCurrent leuko-count` gives two numbers",
    ),
    Fact(
        "watchdog",
        "The chip counts 15 s at most, and the kernel pings it for longer times, 60 s in current images.",
        "firmware_config/profile.py",
        f"{KERNEL}, drivers/watchdog/bcm2835_wdt.c; raspberrypi-sys-mods, 40-rpi-enable-watchdog.conf;"
        " systemd-system.conf(5)",
        "`echo c | sudo tee /proc/sysrq-trigger` restarts the board within a minute and a half",
    ),
    Fact(
        "frame-memory",
        "Frames lie in memory of /dev/dma_heap (vidbuf_cached, or linux,cma), which group video may open.",
        "edge/capture/pi_errors.py, firmware_config/render.py",
        f"{PICAMERA2}, dma_heap.py; {LIBCAMERA}, dma_buf_allocator.cpp, vc4.cpp (platformRegister)",
        "`ls -l /dev/dma_heap`",
    ),
    Fact(
        "camera-found",
        "Without a camera, libcamera lists none, and picamera2 raises IndexError.",
        "edge/capture/pi_errors.py",
        f"{PICAMERA2}, picamera2.py (__init__); github.com/raspberrypi/picamera2/issues/1081",
        "start without the ribbon cable: `systemctl status leuko-count` waits for the camera and says so",
    ),
    Fact(
        "frame-memory-full",
        "Exhausted contiguous memory is ENOMEM while configuring or starting.",
        "edge/capture/pi_errors.py",
        f"{PICAMERA2}, dma_heap.py (ioctl) and dmaallocator.py; {LIBCAMERA}, py_main.cpp (Camera.start)",
        "two full-resolution cameras, or `rpicam-hello -t 0` beside leuko: one line names the memory",
    ),
    Fact(
        "memory",
        "Boards have the memory that is sold; the firmware keeps 64 MiB of less than 1 GB, else 76 MiB.",
        "firmware_config/hardware.py, firmware_config/memory.py",
        "Raspberry Pi documentation, revision codes and config_txt/memory; MemTotal of a Zero 2 W: picamera2"
        " issue 1358",
        "MemTotal of `grep MemTotal /proc/meminfo` is within 5 % of firmware_config/memory.py, linux_mb",
    ),
    Fact(
        "contiguous",
        "Contiguous memory is 256 MiB on a Zero 2 W (83 or 152 MB are free) and 512 MiB on a Pi 4 (441 MB are"
        " free); a Pi 3 is assumed to be like the Zero 2 W.",
        "firmware_config/hardware.py",
        f"picamera2 issues 46, 972, 1358; {KERNEL}, overlays/cma-overlay.dts, vc4-kms-v3d-pi4-overlay.dts",
        "`grep Cma /proc/meminfo` before and during a count",
    ),
    Fact(
        "contiguous-pi5",
        "A Pi 5's camera needs no contiguous memory: its heap vidbuf_cached is the system's.",
        "firmware_config/hardware.py",
        f"{KERNEL}, bcm2712-rpi-5-b.dts (csi0: iommu5), raspberrypi,pispbe.yaml; picamera2 issue 1130",
        "`ls -l /dev/dma_heap`: vidbuf_cached leads to system; CmaFree stays during a count",
    ),
    Fact(
        "camera-buffers",
        "libcamera adds 4 raw frames, 1 grey and 1 small one to those asked for, on a Pi 5 more; rows are"
        " padded to 32 (raw) and 64 bytes (grey), which is assumed.",
        "firmware_config/memory.py",
        f"{LIBCAMERA}, vc4.cpp and pisp.cpp (prepareBuffers, platformConfigure)",
        "CmaFree falls during a count by what `leuko firmware check` adds up",
    ),
    Fact(
        "fewest-buffers",
        "Two buffers are enough; with one, frames are dropped.",
        "firmware_config/hardware.py",
        "picamera2 issue 46",
        "`leuko count --camera picamera2 --camera-buffers 2`: `dropped_before` stays 0 if counting keeps up",
    ),
    Fact(
        "system-memory",
        "Raspberry Pi OS Lite takes 110 MB beside the count: an estimate.",
        "firmware_config/memory.py",
        "picamera2 issue 1358 (MemTotal less MemAvailable is 197 MB with picamera2 running)",
        "`free -m` without the service; `systemctl show -p MemoryPeak leuko-count` after a count",
    ),
    Fact(
        "tuning",
        "The sensor's tuning file, of an IMX477 the scientific one, lies where picamera2 looks for it.",
        "edge/capture/tuning.py",
        f"{PICAMERA2}, picamera2.py (load_tuning_file); {LIBCAMERA}, src/ipa/rpi/vc4/data and pisp/data",
        "`leuko camera settle picamera2` prints the tuning",
    ),
    Fact(
        "tuning-read",
        "libcamera reads a tuning when it looks for cameras, again after picamera2 closed its last one.",
        "edge/capture/pi_cameras.py",
        f"{LIBCAMERA}, pipeline_base.cpp (registerCamera, loadIPA); {PICAMERA2}, CameraManager.cleanup",
        "none: with a constant gamma curve, `leuko doctor --silicon` finds every frame of grey level 128",
    ),
    Fact(
        "constant-contrast",
        "With ce_enable 0, no rpi.alsc or rpi.cac, and Sharpness 0, equal light gives equal grey levels.",
        "edge/capture/tuning.py",
        f"{LIBCAMERA}, src/ipa/rpi/controller/rpi/contrast.cpp and sharpen.cpp",
        "`leuko camera preview picamera2 --watch`: with a card over half of the field, the other half's grey"
        " level stays within 1",
    ),
    Fact(
        "modes",
        "A sensor's mode of exactly the size and bits that are asked for is the one that is used.",
        "edge/capture/picamera.py, firmware_config/hardware.py",
        f"{PICAMERA2}, picamera2.py (sensor configuration); {LIBCAMERA}, pipeline_base.cpp (findBestFormat);"
        f" {KERNEL}, drivers/media/i2c/imx477.c, imx296.c, imx708.c",
        "`leuko camera list` shows the modes of firmware_config/hardware.py",
    ),
    Fact(
        "pitch",
        "A pixel measures 1.55 (IMX477), 3.45 (IMX296) and 1.4 µm (IMX708), twice that in binned modes.",
        "firmware_config/hardware.py",
        "Raspberry Pi documentation, camera hardware; the drivers' crop rectangles",
        "`leuko calibrate pixel` on a stage micrometer, in a full and in a binned mode",
    ),
    Fact(
        "gain",
        "The sensor gain ends at 22.26 (IMX477), 15.66 (IMX296) and 16 (IMX708).",
        "firmware_config/hardware.py",
        f"{LIBCAMERA}, src/ipa/rpi/cam_helper; {KERNEL}, drivers/media/i2c",
        "the range that `leuko doctor --silicon` prints is that of firmware_config/hardware.py",
    ),
    Fact(
        "lock",
        "Exposure, gain and white balance that were set are those of every later frame, after eight at most.",
        "edge/capture/picamera.py",
        f"{LIBCAMERA}, delayed_controls.cpp and ipa_base.cpp (ExposureTimeMode, AnalogueGainMode)",
        "`leuko camera preview picamera2 --watch` with a hand before the lamp: exposure stays",
    ),
    Fact(
        "times",
        "SensorTimestamp is the exposure's time since boot, in ns.",
        "edge/capture/exposed.py",
        f"{LIBCAMERA}, control_ids_core.yaml (SensorTimestamp: CLOCK_BOOTTIME)",
        "set the clock while a count runs: later frames in `leuko sessions export` have the new time",
    ),
    Fact(
        "padding",
        "Rows in memory may be longer than the frame, and the stream states by how much.",
        "edge/capture/picamera.py",
        f"{PICAMERA2}, request.py (MappedArray); {LIBCAMERA}, stream.h (stride)",
        "a frame of 2028 x 1520 px is straight, not sheared",
    ),
    Fact(
        "clock",
        "A board without a battery starts at the time in /var/lib/systemd/timesync/clock.",
        "firmware_config/templates/var-lib-systemd-timesync.mount",
        "systemd-timesyncd.service(8)",
        "on a read-only root, without a network: pull the plug twice; `date` never goes back",
    ),
    Fact(
        "swap",
        "Trixie's rpi-swap makes zram without the remount of the root if Mechanism=zram.",
        "firmware_config/hardware.py",
        "rpi-swap, rpi-swap-generator and swap.conf(5)",
        "on a read-only root: `swapon --show` lists /dev/zram0 alone",
    ),
    Fact(
        "read-only",
        "The kernel mounts the root read-only, and without systemd-remount-fs it stays so.",
        "firmware_config/render.py",
        "systemd-remount-fs.service(8)",
        "`touch /x` fails; pull the plug ten times during a count: it boots, and the session resumes",
    ),
    Fact(
        "overlays",
        "The overlays imx477, imx296 and imx708 exist, with the parameters of firmware_config/hardware.py.",
        "firmware_config/hardware.py",
        f"{KERNEL}, arch/arm/boot/dts/overlays/README",
        "`dtoverlay -h imx477`",
    ),
    Fact(
        "sandbox",
        "The camera works under the service's restrictions (device nodes, no network, no privileges).",
        "firmware_config/templates",
        "systemd.exec(5); AF_NETLINK for libcamera's udev monitor",
        '`systemctl start leuko-count`: frames come, and the journal has no "Permission denied"',
    ),
    Fact(
        "installation",
        "Installing takes 2 (Pi 5), 4 (Pi 4), 8 (Pi 3) and 10 min (Zero 2 W), and 0.5 GB: estimates.",
        "docs/firmware.md",
        "12 s of processor time on x86",
        "`time sudo ./install.sh device.toml`",
    ),
    Fact(
        "first-start",
        "Trixie's cloud-init reads user-data, meta-data and network-config from the boot partition.",
        "firmware_config/image.py",
        "pi-gen, stage2/04-cloud-init/files/99_raspberry-pi.cfg (NoCloud, seedfrom file:///boot/firmware)",
        "a fresh card with `leuko firmware image`: it restarts once and counts; "
        "`leuko/first-start.log` on its boot partition ends with `installed`",
    ),
    Fact(
        "first-user",
        "A user in user-data takes the place of the one that the first start's wizard asks for.",
        "firmware_config/image.py",
        "Raspberry Pi Imager, src/customization_generator.cpp (generateCloudInitUserData)",
        "the same card without a keyboard: `ssh lab@leuko.local` answers",
    ),
    Fact(
        "speed",
        "No speed of a board is known; counts need none.",
        "docs/bundles.md",
        "none",
        "`leuko bench`",
    ),
)
