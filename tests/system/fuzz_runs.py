"""Mutated run folders, each given to the commands that read one.

``python -m tests.system.fuzz_runs FOLDER [--files 500]``, see `tests.system.fuzz`; a network with other
answers than the sound one's is a finding too. Memory is what a command takes beyond TensorFlow.
"""

from __future__ import annotations

import importlib
import io
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import cv2
import numpy as np

from tests.system.fuzz import LIMIT_MB, Mutation, Trial, attempt, fuzz_from_command_line
from tests.system.fuzz_bundle import WILD
from tests.system.fuzz_files import BINARY, TEXT

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
    kinds: list[Mutation] = list(BINARY)
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


def prepare(folder: Path) -> Trial:
    """Train a small run; return what tries a mutation of it, and keeps the one that did wrong."""
    # imported once for all processes that are forked off; what computes here would hang there
    for module in ("tensorflow", "train.fit", "train.folds"):
        importlib.import_module(module)
    write_run(folder)
    output = folder / "output.txt"
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    megabytes = LIMIT_MB + (resident >> 20)
    sound = ["evaluate", str(folder / "run"), str(folder / "data"), "--json"]
    assert attempt(sound, output, (0,), megabytes) == "", output.read_text()
    right = _accuracy(output)

    def trial(number: int, random: Random) -> tuple[str, list[str]]:
        name, run = FILES[number % len(FILES)], folder / f"run-{number}"
        shutil.copytree(folder / "run", run)
        content = (run / name).read_bytes()
        (run / name).write_bytes(mutate(random, name, content))
        words = command(random, name, run, folder)
        wrong = attempt(words, output, megabytes=megabytes)
        accepted = not wrong and '"accuracy"' in output.read_text(errors="replace")
        if accepted and words[0] == "evaluate" and name == "model.keras" and _accuracy(output) != right:
            wrong = "other answers"
        if wrong:
            return name, [f"{wrong}: leuko {' '.join(words)} (see {output.rename(run / 'output.txt')})"]
        shutil.rmtree(run)
        return f"{name} {'accepted' if accepted else 'as it should'}", []

    return trial


def _accuracy(output: Path) -> list[Any]:
    """Return confusion matrix and calibration error of an evaluation's output."""
    text = output.read_text(errors="replace")
    found = json.loads(text[text.index("{") :].splitlines()[0])
    return [found["confusion"], found["calibration_error"]]


if __name__ == "__main__":
    fuzz_from_command_line(__doc__, prepare, 500)
