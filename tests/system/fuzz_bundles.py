"""Mutations of a shipped bundle, each loaded and run by ``leuko verify``.

``python -m tests.system.fuzz_bundles FOLDER [--bundles 2000] [--seed 0]`` prints what became of each kind. A
crash, a traceback, a hang or accepted damage gives exit code 1. `tests.system.fuzz_bundle` tries many more
without running the network.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import struct
import sys
from collections import Counter
from pathlib import Path
from random import Random

import convert.cli.verify  # noqa: F401  # once, and not in each process that is forked
from edge.model import bundle
from edge.model.bundle import SHIPPED
from tests.system import fuzz_bundle
from tests.system.fuzz_bundle import DAMAGE, FORGERY, Mutation
from tests.system.fuzz_files import attempt


def forged_network(random: Random, content: bytes) -> bytes:
    """A network with bytes or numbers exchanged, in a bundle whose hashes fit it."""
    old = bundle._parse(content)
    changed = bytearray(old.flatbuffer)
    trick = random.randrange(4)
    # the tables lie at both ends, the weights between them
    ends = (random.randrange(8, 4000), len(changed) - random.randrange(8, 20_000))
    for _ in range(random.choice((1, 1, 2, 8, 32))):
        place = random.choice((*ends, random.randrange(8, len(changed) - 4)))
        if trick == 0:
            changed[place] ^= 1 << random.randrange(8)
        elif trick == 1:
            value = random.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, random.randrange(2**16)))
            struct.pack_into("<I", changed, place & ~3, value)
        elif trick == 2:
            changed[place : place + 4] = changed[(start := random.randrange(8, len(changed) - 4)) : start + 4]
        else:
            changed[place] = random.randrange(256)
    if random.randrange(10) == 0:
        del changed[random.randrange(8, len(changed)) :]
    flatbuffer = bytes(changed)
    described = dataclasses.replace(old.manifest, sha256=hashlib.sha256(flatbuffer).hexdigest())
    golden = old.golden_crops, old.golden_outputs
    return flatbuffer + bundle._appended(len(flatbuffer), described, *golden, old.signature)


MUTATIONS: tuple[Mutation, ...] = (*DAMAGE, *FORGERY, *(forged_network,) * len(DAMAGE))


def fuzz(folder: Path, bundles: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try mutations; return what became of each kind, and one line per finding, whose bundle is kept."""
    fuzz_bundle.prepare(folder)
    content = (SHIPPED / "phantom3.tflite").read_bytes()
    outcomes: Counter[str] = Counter()
    findings = []
    os.chdir(folder)  # where the keys of forgers lie
    for number in range(bundles):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        random = Random(f"{seed} {number}")
        while (changed := mutation(random, content)) == content:
            pass
        file, output = Path(f"b{number}.tflite"), Path(f"b{number}.output")
        file.write_bytes(changed)
        # a second runtime would be a process of its own, of which a crash is one line
        refused = attempt(["verify", str(file), "--runtime", "litert"], output, codes=(1,))
        wrong = "" if refused == "exit code 0" else refused
        if refused and not wrong and mutation in DAMAGE:
            wrong = "damage is accepted"
        if not wrong and not refused and output.read_text(errors="replace").count("\n") != 1:
            wrong = "not one line"
        outcomes[f"{mutation.__name__} {wrong or ('accepted' if refused else 'refused')}"] += 1
        if wrong:
            findings.append(f"{wrong}: leuko verify {folder / file} (see {output})")
        else:
            file.unlink()
            output.unlink()
    return outcomes, findings


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundles", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    found, lines = fuzz(options.folder.resolve(), options.bundles, options.seed)
    for kind, number in sorted(found.items()):
        print(f"{number:5}  {kind}")
    print("\n".join(lines))
    sys.exit(bool(lines))
