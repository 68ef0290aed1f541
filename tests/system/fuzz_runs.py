"""Mutated run folders, each given to the commands that read one.

``python -m tests.system.fuzz_runs FOLDER [--runs 500] [--seed 0]`` trains a small run in FOLDER, tries that
many mutations of its files, and prints what became of each kind. A crash, a traceback, a hang, or a network
with other answers than the sound one's gives exit code 1.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import cv2
import numpy as np

from tests.system import fuzz_files
from tests.system.fuzz_bundle import WILD
from tests.system.fuzz_files import BINARY, TEXT, attempt

OPTIONS = ("--width", "0.02", "--epochs", "1", "--batch", "4", "--validation-fraction", "0.25")
FILES = (
    "config.json",
    "metrics.json",
    "split.csv",
    "history.csv",
    "crops.npz",
    "model.keras",
    "checkpoint.keras",
)


def write_run(folder: Path) -> None:
    """Write a small data set and train on it."""
    rng = np.random.default_rng(0)
    for label, grey in (("bright", 190), ("dark", 70)):
        (folder / "data" / label).mkdir(parents=True)
        for k in range(8):
            image = rng.normal(grey, 25, (200, 200)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / "data" / label / f"{k}.png"), image)
    words = ["train", str(folder / "data"), "--out", str(folder / "run"), *OPTIONS]
    subprocess.run([sys.executable, "-m", "edge.cli", *words], check=True, capture_output=True)


def wild_value(random: Random, content: bytes) -> bytes:
    """Put a value of another kind somewhere into a JSON file."""
    found = json.loads(content)
    place: Any = found
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or random.randrange(3) == 0:
            break
        place = place[key]
    if random.randrange(5) == 0:
        del place[key]
    else:
        place[key] = random.choice(WILD)
    return json.dumps(found).encode()


def in_archive(random: Random, content: bytes) -> bytes:
    """Change a member of an archive, whose checksums then fit."""
    with ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    kinds = [*BINARY, wild_value, wild_value] if name.endswith(".json") else list(BINARY)
    members[name] = random.choice(kinds)(random, members[name])
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return out.getvalue()


def mutate(random: Random, name: str, content: bytes) -> bytes:
    """Return a mutation of a file of a run."""
    kinds: list[Callable[[Random, bytes], bytes]] = list(BINARY)
    if name.endswith(".json"):
        kinds += [wild_value] * 12
    elif name.endswith(".csv"):
        kinds = list(TEXT)
    else:
        kinds += [in_archive] * 16
    return random.choice(kinds)(random, content)


def command(random: Random, name: str, run: Path, folder: Path) -> list[str]:
    """Return a command that reads the file of this name."""
    data = str(folder / "data")
    if name in ("checkpoint.keras", "history.csv", "metrics.json"):
        if name != "metrics.json":
            (run / "model.keras").unlink()
        return ["train", data, "--out", str(run), *OPTIONS]
    if name == "split.csv" and random.randrange(2):
        return ["data", "check", data, "--model", str(run)]
    return ["evaluate", str(run), data, "--json"]


def fuzz(folder: Path, runs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try mutations; return what became of each kind, and one line per finding, whose folder is kept."""
    # imported once for all processes that are forked off; what computes here would hang there
    for module in ("tensorflow", "train.fit", "train.folds"):
        importlib.import_module(module)
    write_run(folder)
    output, outcomes, findings = folder / "output.txt", Counter[str](), []
    sound = ["evaluate", str(folder / "run"), str(folder / "data"), "--json"]
    assert attempt(sound, output, codes=(0,)) == "", output.read_text()
    right = _accuracy(output)
    for number in range(runs):
        random, name = Random(f"{seed} {number}"), FILES[number % len(FILES)]
        run = folder / f"run-{number}"
        shutil.copytree(folder / "run", run)
        content = (run / name).read_bytes()
        (run / name).write_bytes(mutate(random, name, content))
        words = command(random, name, run, folder)
        wrong = attempt(words, output)
        accepted = not wrong and '"accuracy"' in output.read_text(errors="replace")
        if accepted and words[0] == "evaluate" and name == "model.keras" and _accuracy(output) != right:
            wrong = "other answers"
        outcomes[f"{name} {wrong or ('accepted' if accepted else 'as it should')}"] += 1
        if wrong:
            kept = output.rename(run / "output.txt")
            findings.append(f"{wrong}: leuko {' '.join(words)} (see {kept})")
        else:
            shutil.rmtree(run)
    return outcomes, findings


def _accuracy(output: Path) -> list[Any]:
    """Return confusion matrix and calibration error of an evaluation's output."""
    text = output.read_text(errors="replace")
    found = json.loads(text[text.index("{") :].splitlines()[0])
    return [found["confusion"], found["calibration_error"]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    fuzz_files.LIMIT_S = 60.0  # on a busy machine; a hang is longer
    found, lines = fuzz(options.folder, options.runs, options.seed)
    for kind, count in sorted(found.items()):
        print(f"{count:5}  {kind}")
    print("\n".join(lines))
    sys.exit(bool(lines))
