"""The command blocks of README and docs are run in the order of their page, in a folder prepared as it says.

A block without a language holds commands. One that cannot be run here begins with a comment that states
what it needs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest

from edge.model import locate_bundle
from edge.simulate import Scan, Scene, simulate
from tests.convert.test_upgrade import old_manifest, write_old
from tests.edge.calibration.test_flat_field import blank
from tests.edge.calibration.test_pixel_size import expose, grid

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"# needs (.+)\n")

NOT_RUN = {"hours": 5, "a camera": 2, "a Raspberry Pi": 3, "a network": 3, "readings of several people": 1}
"""What the blocks that are not run need, and how many they are."""

PASSPHRASE = "correct horse"


class Page(NamedTuple):
    """How a page's commands are run.

    Attributes
    ----------
    prepare : function
        Fills the folder and returns what is run instead of some words of the page.
    makes : tuple of str
        Some of the files that the commands write.
    """

    prepare: Callable[[Path], Mapping[str, str]]
    makes: tuple[str, ...]


def frames(folder: Path, count: int = 2, seed: int = 1) -> None:
    """Put simulated frames into a folder."""
    made = folder.with_name(f"{folder.name}-made")
    scene = Scene(width_px=800, height_px=600, leukocytes=6, erythrocytes=3, debris=2)
    list(simulate(made, frames=count, seed=seed, scene=scene))
    folder.parent.mkdir(parents=True, exist_ok=True)
    (made / "frames").rename(folder)
    shutil.rmtree(made)


def readme(folder: Path) -> dict[str, str]:
    frames(folder / "FOLDER")
    return {}


def count_page(folder: Path) -> dict[str, str]:
    frames(folder / "FOLDER")
    for seed in (1, 2):
        frames(folder / "samples" / f"sample {seed}", 1, seed)
    return {}


def each_once(folder: Path) -> dict[str, str]:
    scene = Scene(width_px=500, height_px=400, leukocytes=6, erythrocytes=3, debris=0)
    list(simulate(folder / "made", frames=4, seed=1, scene=scene, motion=Scan(2, 2)))
    (folder / "made" / "frames").rename(folder / "FRAMES")
    return {}


def calibration(folder: Path) -> dict[str, str]:
    for name in ("GRID_FRAMES", "BLANK_FRAMES"):
        (folder / name).mkdir()
    for number in range(5):
        pattern = expose(grid(80, 2.0 * number), seed=number)
        cv2.imwrite(str(folder / "GRID_FRAMES" / f"{number}.png"), pattern)
        cv2.imwrite(str(folder / "BLANK_FRAMES" / f"{number}.png"), blank(number))
    return {}


def sessions(folder: Path) -> dict[str, str]:
    frames(folder / "seen")
    shell("leuko count seen --bundle phantom3 --keep-crops", folder)
    (session,) = (folder / "home" / "sessions").glob("*.db")
    return {"2026-07-28T14": session.stem[: len("2026-07-28T14")]}


def cameras(folder: Path) -> dict[str, str]:
    """A camera's count that a power cut ended."""
    words = "leuko count --camera simulate --size 800x600 --bundle phantom3 --until-cells 60 --log json"
    environment = surroundings(folder)
    with subprocess.Popen(
        ["sh", "-c", f"exec {words}"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as counting:
        assert counting.stderr is not None
        while '"frame"' not in counting.stderr.readline():
            assert counting.poll() is None
        counting.send_signal(signal.SIGKILL)
    return {}


def bundles(folder: Path) -> dict[str, str]:
    write_old(folder / "OLD.tflite", old_manifest())
    shutil.copy(locate_bundle("phantom3"), folder / "mine.tflite")
    scene = Scene(width_px=800, height_px=600, leukocytes=6, erythrocytes=3, debris=2)
    list(simulate(folder / "made", frames=4, seed=1, scene=scene))
    (folder / "made" / "frames").rename(folder / "FRAMES")
    (folder / "made" / "truth.csv").rename(folder / "boxes.csv")
    return {}


def train(folder: Path) -> dict[str, str]:
    """What takes half an hour is made small."""
    return {
        "--frames 150": "--frames 8",
        "--frames 20": "--frames 2",
        "pairs --frames 8": "pairs --frames 2",
        "--width 0.25 --epochs 20": "--width 0.125 --epochs 2",
        # so short a training leaves cells undecided, which int8 decides otherwise
        "--out mine.tflite": "--out mine.tflite --max-loss 1",
    }


RUN: dict[str, Page] = {
    "README.md": Page(readme, ("demo/result/report.html", "demo/result/annotated", "result/cells.csv")),
    "docs/bundles.md": Page(
        bundles, ("card.html", "NEW.tflite", "mine-validated.tflite", "mine-signed.tflite", "signature.bin")
    ),
    "docs/calibration.md": Page(calibration, ("home/calibration.toml",)),
    "docs/cameras.md": Page(cameras, ()),
    "docs/count.md": Page(count_page, ("result/report.html", "results/sample 1/cells.csv")),
    "docs/each-once.md": Page(each_once, ()),
    "docs/sessions.md": Page(sessions, ("result/cells.csv", "result/cells.fcs")),
    "docs/train.md": Page(train, ("trained/curves.html", "scored/evaluation.html", "parity/parity.html")),
}


def blocks(page: Path) -> list[str]:
    """Return the blocks of commands."""
    return [block for language, block in FENCE.findall(page.read_text("utf-8")) if not language]


def commands(page: Path) -> list[str]:
    """Return the blocks that are run."""
    return [block for block in blocks(page) if not NEEDS.match(block)]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a person in a clone, after ``. .venv/bin/activate``."""
    path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "LEUKO_HOME": str(folder / "home"), "LEUKO_PASSPHRASE": PASSPHRASE}


def shell(script: str, folder: Path) -> str:
    """Run a script in a folder; return what it prints on stdout."""
    words = ["sh", "-eu", "-c", script]
    done = subprocess.run(
        words, cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def skeleton(table: str) -> list[str]:
    """Return a table's words: its lines without numbers and bars."""
    return [" ".join(re.sub(r"[^a-zA-Z%\s]", "", line).split()) for line in table.splitlines()]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone in which ``./run`` has installed what it needs."""
    folder = tmp_path / "leuko-edge"
    made = shutil.ignore_patterns(".*cache", ".venv", ".git", ".hypothesis", "__pycache__", "demo", "dist")
    shutil.copytree(ROOT, folder, ignore=made)
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "leuko").write_text(
        f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" -P -m edge.cli "$@"\n'
    )
    (tools / "leuko").chmod(0o755)
    (folder / ".venv" / "where").write_text(f"{folder}\n")
    for extra in ("base", "train"):  # as install() of ./run states that they are there
        stamp = f"(pwd; cat pyproject.toml constraints/{extra}.txt) | cksum | cut -d' ' -f1"
        (folder / ".venv" / f"{extra}-{shell(stamp, folder).strip()}").touch()
    return folder


def test_what_is_not_run_states_what_it_needs() -> None:
    needed = [NEEDS.match(block) for page in PAGES for block in blocks(page)]
    assert Counter(needs[1] for needs in needed if needs) == NOT_RUN


def test_every_page_with_commands_is_run() -> None:
    assert sorted(name(page) for page in PAGES if commands(page)) == sorted(RUN)


@pytest.mark.parametrize("page", RUN)
def test_commands_of_a_page_do_what_they_say(page: str, clone: Path) -> None:
    way = RUN[page]
    script = "".join(commands(ROOT / page))
    for words, instead in way.prepare(clone).items():
        assert words in script, f"{page} no longer says {words}"
        script = script.replace(words, instead)
    printed = shell(script, clone)
    if page == "README.md":
        (table,) = (text for language, text in FENCE.findall((ROOT / page).read_text("utf-8")) if language)
        assert skeleton(table) == skeleton(printed)[: len(table.splitlines())]
    assert not [made for made in way.makes if not (clone / made).exists()]


def test_the_completion_of_the_readme_works(clone: Path) -> None:
    (line,) = re.findall(r'`(eval ".+")`', (ROOT / "README.md").read_text("utf-8"))
    ask = "COMP_WORDS=(leuko ses); COMP_CWORD=1; _leuko_completion leuko; echo ${COMPREPLY[@]}"
    environment = surroundings(clone) | {"SHELL": "/bin/bash"}
    done = subprocess.run(
        ["bash", "-c", f"{line}; {ask}"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "sessions\n"
