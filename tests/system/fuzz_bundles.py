"""Mutations of a shipped bundle, each loaded and run by ``leuko verify``.

``python -m tests.system.fuzz_bundles FOLDER [--files 5000]``, see `tests.system.fuzz`; accepted damage is a
finding too. `tests.system.fuzz_bundle` tries many more without running the network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import struct
from pathlib import Path
from random import Random

import convert.cli.verify  # noqa: F401  # once, and not in each process that is forked
from edge.model import bundle
from edge.model.bundle import SHIPPED
from tests.system import fuzz_bundle
from tests.system.fuzz import Mutation, Trial, attempt, fuzz_from_command_line
from tests.system.fuzz_bundle import DAMAGE, FORGERY


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


def prepare(folder: Path) -> Trial:
    """Write the keys of forgers; return what tries a mutation, and keeps the bundle that did wrong."""
    fuzz_bundle.prepare(folder)
    content = (SHIPPED / "phantom3.tflite").read_bytes()
    os.chdir(folder)  # where the keys lie

    def trial(number: int, random: Random) -> tuple[str, list[str]]:
        mutation = MUTATIONS[number % len(MUTATIONS)]
        while (changed := mutation(random, content)) == content:
            pass
        file, output = folder / f"b{number}.tflite", folder / f"b{number}.output"
        file.write_bytes(changed)
        # a second runtime would be a process of its own, of which a crash is one line
        refused = attempt(["verify", str(file), "--runtime", "litert"], output, codes=(1,))
        wrong = "" if refused == "exit code 0" else refused
        if refused and not wrong and mutation in DAMAGE:
            wrong = "damage is accepted"
        if not wrong and not refused and output.read_text(errors="replace").count("\n") != 1:
            wrong = "not one line"
        kind = f"{mutation.__name__} {'accepted' if refused else 'refused'}"
        if wrong:
            return mutation.__name__, [f"{wrong}: leuko verify {file} (see {output})"]
        file.unlink()
        output.unlink()
        return kind, []

    return trial


if __name__ == "__main__":
    fuzz_from_command_line(__doc__, prepare, 5000)
