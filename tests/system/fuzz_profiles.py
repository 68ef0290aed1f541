"""Mutated device profiles, each given to ``leuko firmware check``, ``render`` and ``install --root``.

``python -m tests.system.fuzz_profiles FOLDER [--files 2000]``, see `tests.system.fuzz`; an accepted profile
whose files hold other lines than they should is a finding too.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import firmware_config.cli  # noqa: F401  # once, and not in each process that is forked
from edge.base import keys
from firmware_config.fence import BEGIN, END
from firmware_config.profile import SECTIONS
from firmware_config.render import UNITS
from firmware_config.start import PLACEHOLDER, initial_values
from firmware_config.write import new_profile
from tests.system.fuzz import Trial, attempt, fuzz_from_command_line
from tests.system.fuzz_files import TEXT

INJECTIONS = (
    "40x\nExecStartPost=/bin/sh -c id",
    "40x\r\n[Service]\r\nUser=root",
    "40x\\",
    "40x\u2028User=root",
    "40x\x85User=root",
    "40x\x0bUser=root",
    "%h %% %n $HOME ${PATH} $$",
    "/var/lib/leuko/a b; id",
    "/var/lib/leuko/../../etc/shadow",
    "/var/lib/leuko/$(id)",
    "imx477,rotation=180\ninit=/bin/sh",
    "imx477\ndtparam=x",
    "imx477,,",
    "LABEL=a/../../sda1",
    "LABEL=a\nOptions=exec",
    "lo\nUser=root",
    "../../../../etc/passwd",
    "\x00",
    "\u202egpj",
    "A" * 100_000,
    "",
    " ",
)
"""Texts that another program would take for more than a text."""

WILD: tuple[Any, ...] = (
    *INJECTIONS, True, False, 0, -1, 1, 63, 64, 2**63, 10**400, 0.0, -0.0, 1e-320, 1e308, float("nan"),
    float("inf"), [], [[]], {}, {"a": {}}, [1, "x"], "bookworm", "pi5", "imx477", "usb",
)  # fmt: skip

_UNIT_LINE = re.compile(
    r"(#[^\n]*|\[(Unit|Service|Install|Mount)\]|[A-Z][A-Za-z]+=[^\n\\]*|What=[^\n]*|[A-Za-z]+=\S*\\x2d\S*|)"
)
_CONFIG_LINE = re.compile(
    r"\[all\]|camera_auto_detect=0|dtoverlay=[a-z0-9-]+(,[a-z0-9-]+(=\w+)?)*|dtparam=watchdog=on"
)
_COUNT_WORD = re.compile(r"[A-Za-z0-9_./+:-]+")


def honest(random: Random) -> dict[str, Any]:
    """Return the tables of a profile without a problem."""
    sensor = random.choice(("imx477", "usb", "simulated"))
    values = initial_values(random.choice(("pi4", "pi5")), sensor, random.choice(("bookworm", "trixie")))
    return tomllib.loads(new_profile(values).replace(PLACEHOLDER, "40x"))


def dumped(tables: dict[str, Any]) -> str:
    """Return tables as TOML, whatever they hold."""
    rows = [f"{name} = {_value(value)}" for name, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            rows += [f"[{_name(name)}]", *(f"{_name(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(rows) + "\n"


def _name(name: str) -> str:
    return name if re.fullmatch(r"\w+", name, re.ASCII) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_name(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value).replace("\x7f", "\\u007f")


def mutated(random: Random) -> str | bytes:
    """Return a profile with one to three values exchanged, keys added or removed, or its text damaged."""
    tables = honest(random)
    if random.randrange(4) == 0:
        content = dumped(tables).encode()
        for _ in range(random.choice((1, 1, 2, 4))):
            content = random.choice(TEXT)(random, content) if len(content) > 8 else content
        return content
    for _ in range(random.choice((1, 1, 2, 3))):
        section = random.choice(list(SECTIONS))
        key = random.choice(keys(SECTIONS[section])).name
        trick = random.randrange(12)
        table = tables.setdefault(section, {})
        if trick == 0:
            tables.pop(section)
        elif trick == 1:
            tables[section] = random.choice(WILD)
        elif not isinstance(table, dict):
            continue
        elif trick == 2:
            table.pop(key, None)
        elif trick == 3:
            table[random.choice(("extra", "", "\n", "a.b", "\x1b[2J"))] = random.choice(WILD)
        else:
            table[key] = random.choice(WILD)
    return dumped(tables)


def injected(tree: Path) -> str:
    """Return the first line of an installed tree that no profile can ask for; empty if there is none."""
    for unit in (tree / UNITS).rglob("leuko*.service"):
        text = unit.read_text()
        if wrong := [line for line in text.split("\n") if not _UNIT_LINE.fullmatch(line)]:
            return f"{unit.name}: {wrong[0]!r}"
        starts = [line for line in text.split("\n") if line.startswith("Exec")]
        if len(starts) > 2 or "User=leuko\n" not in text or text.count("User=") > 2:
            return f"{unit.name}: {starts} and its users"
        words = starts[-1].partition("=")[2].split(" ")
        if wrong := [word for word in words if not _COUNT_WORD.fullmatch(word)]:
            return f"{unit.name}: the word {wrong[0]!r}"
    for config in tree.glob("boot/firmware/config.txt"):
        inside = config.read_bytes().partition(BEGIN + b"\n")[2].partition(END)[0].decode()
        if wrong := [line for line in inside.splitlines() if not _CONFIG_LINE.fullmatch(line)]:
            return f"config.txt: {wrong[0]!r}"
    return ""


def prepare(folder: Path) -> Trial:
    """Write a system; return what tries a mutated profile on it, and keeps the one that did wrong."""
    root = folder / "root"
    (root / "boot/firmware").mkdir(parents=True)
    (root / "boot/firmware/config.txt").write_text("dtparam=audio=on\n[pi4]\n")
    (root / "boot/firmware/cmdline.txt").write_text("console=tty1 rootwait\n")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")

    def trial(number: int, random: Random) -> tuple[str, list[str]]:
        file = folder / f"device-{number}.toml"
        content = mutated(random)
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        accepted, wrong = _tried(file, root)
        if not wrong:
            file.unlink()
        return "accepted" if accepted else "refused", [f"{wrong}: {file}"] if wrong else []

    return trial


def _tried(file: Path, root: Path) -> tuple[bool, str]:
    """Give a profile to each command; return whether it was accepted, and what is wrong, or nothing."""
    tree, output, name = file.with_suffix(".tree"), file.with_suffix(".output"), str(file)
    on_root = [name, "--root", str(root)]
    wrong = attempt(["firmware", "check", *on_root], output, codes=(0, 1))
    sound = not wrong and "no problem" in output.read_text(errors="replace").splitlines()[-1]
    code = 0 if sound else 1
    wrong = wrong or attempt(["firmware", "render", name, "--out", str(tree)], output, codes=(code,))
    if tree.exists():
        wrong = wrong or injected(tree)
        shutil.rmtree(tree)
    wrong = wrong or attempt(["firmware", "install", *on_root, "--yes"], output, codes=(code,))
    if sound:
        wrong = wrong or injected(root)
        wrong = wrong or attempt(["firmware", "uninstall", "--root", str(root), "--yes"], output, codes=(0,))
    if not wrong:
        output.unlink()
        left = [path for path in root.rglob("*leuko*") if not path.is_relative_to(root / "var")]
        wrong = f"left over: {left}" if left else ""
    return sound, wrong


if __name__ == "__main__":
    fuzz_from_command_line(__doc__, prepare, 2000)
