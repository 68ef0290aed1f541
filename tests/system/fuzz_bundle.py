"""Mutations of a bundle, each made by its number, and the process that tries them.

``python -m tests.system.fuzz_bundle FOLDER FIRST LAST`` tries those numbers on the pair of bundles that
`prepare` wrote to FOLDER, in as little memory as a small device has, and prints what became of each kind.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import hashlib
import io
import json
import os
import pickle
import resource
import signal
import struct
import sys
import zipfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from convert import signing
from edge.model import archive, bundle, signature
from edge.model.bundle import BundleError, load_bundle, write_bundle
from edge.model.device_settings import DeviceSettings
from edge.model.signature import Signature
from tests.edge.model.test_bundle import written
from tests.system.fuzz import Mutation

MEMORY_BYTES = 256 << 20
"""What trying may take beyond the imported libraries: less than the smallest of the declared sizes."""
CPU_SECONDS = 5
"""For a single mutation; an honest bundle of this size takes a few milliseconds."""

DAMAGE: list[Mutation] = []
"""Mutations without the care that a forger takes: refused also where signatures are not asked for."""
FORGERY: list[Mutation] = []
"""Mutations that may give another well-formed bundle: only a signature tells."""


def prepare(folder: Path) -> None:
    """Write a bundle, unsigned and signed by ``lab.pem``, and the key of somebody else."""
    unsigned = written(folder / "unsigned.tflite")
    signing.generate(folder / "lab.pem")
    signing.generate(folder / "mallory.pem")
    made = signing.sign(folder / "lab.pem", unsigned.sha256)
    golden = unsigned.golden_crops, unsigned.golden_outputs
    write_bundle(folder / "signed.tflite", unsigned.manifest, unsigned.flatbuffer, *golden, made)


def damage(mutation: Mutation) -> Mutation:
    DAMAGE.append(mutation)
    return mutation


def forgery(mutation: Mutation) -> Mutation:
    FORGERY.append(mutation)
    return mutation


# --- bytes


def span(random: Random, content: bytes, longest: int = 400) -> slice:
    start = random.randrange(len(content))
    return slice(start, start + random.randint(1, longest))


@damage
def flip(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


@damage
def truncate(random: Random, content: bytes) -> bytes:
    return content[: random.randrange(len(content))]


@damage
def behead(random: Random, content: bytes) -> bytes:
    return content[random.randint(1, len(content)) :]


@damage
def insert(random: Random, content: bytes) -> bytes:
    place = random.choice((0, len(content), random.randrange(len(content))))
    return content[:place] + random.randbytes(random.randint(1, 300)) + content[place:]


@damage
def remove(random: Random, content: bytes) -> bytes:
    gone = span(random, content)
    return content[: gone.start] + content[gone.stop :]


@damage
def zero(random: Random, content: bytes) -> bytes:
    gone = span(random, content)
    return content[: gone.start] + bytes(len(content[gone])) + content[gone.stop :]


@damage
def repeat(random: Random, content: bytes) -> bytes:
    again = span(random, content)
    return content[: again.stop] + content[again] + content[again.stop :]


@damage
def exchange(random: Random, content: bytes) -> bytes:
    a, b, c = sorted(random.sample(range(len(content) + 1), 3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


@damage
def doubled(random: Random, content: bytes) -> bytes:
    return content + content[random.choice((0, archive.unpack(content)[0])) :]


# --- the ZIP


def records(content: bytes, mark: bytes) -> list[int]:
    """Offsets of the ZIP's own records."""
    start = archive.unpack(content)[0]
    found, place = [], content.find(mark, start)
    while place >= 0:
        found.append(place)
        place = content.find(mark, place + 1)
    return found


@damage
def field_of_a_record(random: Random, content: bytes) -> bytes:
    """A wild value where a size, an offset, a flag, a method, a checksum or an attribute stands."""
    mark, length = random.choice(((b"PK\3\4", 30), (b"PK\1\2", 46), (b"PK\5\6", 22)))
    place = random.choice(records(content, mark)) + random.randrange(4, length)
    kind = random.choice("BHL")
    largest = 256 ** struct.calcsize(f"<{kind}") - 1
    value = random.choice((0, 1, largest, largest - 1, largest // 2, random.randrange(largest)))
    changed = bytearray(content)
    struct.pack_into(f"<{kind}", changed, min(place, len(content) - 4), value)
    return bytes(changed)


HOSTILE_NAMES = (
    "../../../etc/passwd",
    "/etc/passwd",
    "..\\manifest.json",
    "manifest.json/",
    "MANIFEST.JSON",
    "manifest.json\0.png",
    "a" * 3000,
    "\u202enosj.tsefinam",
    "",
    "\x1b[2J",
)


@damage
def foreign_zip(random: Random, content: bytes) -> bytes:
    """The same members as another program, or a bad one, would write them."""
    start, members = archive.unpack(content)
    file = io.BytesIO()
    file.write(content[:start])
    items = list(members.items())
    trick = random.randrange(9)
    with zipfile.ZipFile(file, "a") as zipped:
        if trick == 0:
            zipped.comment = random.randbytes(random.choice((1, 300)))
        elif trick == 1:
            random.shuffle(items)
        elif trick == 2:
            items[random.randrange(len(items))] = (random.choice(HOSTILE_NAMES), b"x")
        elif trick == 3:
            items.append((random.choice(HOSTILE_NAMES), random.randbytes(50)))
        elif trick == 4:
            items.append(("inner.zip", archive.pack(members)))
        for name, data in items:
            entry = zipfile.ZipInfo(name)
            if trick == 5:
                entry.external_attr = 0o120777 << 16  # a symbolic link
            elif trick == 6:
                entry.compress_type = random.choice(
                    (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
                )
            elif trick == 7:
                entry.extra = b"\1\0\x10\0" + random.randbytes(16)  # ZIP64 sizes
            else:
                entry.date_time = (2024, random.randint(1, 12), random.randint(1, 28), 0, 0, 0)
            zipped.writestr(entry, data)
    return file.getvalue()


@damage
def bomb(random: Random, content: bytes) -> bytes:
    start, members = archive.unpack(content)
    file = io.BytesIO()
    file.write(content[:start])
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            zipped.writestr(name, bytes(1 << 20) if random.randrange(2) else data)
    return file.getvalue()


@damage
def members_in_disorder(random: Random, content: bytes) -> bytes:
    """Our own encoding of other members: swapped, renamed, dropped or added, their contents exchanged."""
    start, members = archive.unpack(content)
    names, contents = list(members), list(members.values())
    trick = random.randrange(5)
    first, second = random.sample(range(len(names)), 2)
    if trick == 0:
        contents[first], contents[second] = contents[second], contents[first]
    elif trick == 1:
        del names[first], contents[first]
        if "signature.json" not in names and len(names) == 3:  # that alone is the unsigned bundle
            names.pop(), contents.pop()
    elif trick == 2:
        names[first] = random.choice([name for name in HOSTILE_NAMES if name.isascii()])
    elif trick == 3:
        names.append(random.choice([name for name in HOSTILE_NAMES if name.isascii()]))
        contents.append(contents[first])
    else:
        names[first], names[second] = names[second], names[first]
    return content[:start] + archive.pack(dict(zip(names, contents, strict=True)), start)


@damage
def two_directories(random: Random, content: bytes) -> bytes:
    """A second archive behind the first, or inside it: which one is meant depends on the reader."""
    start, members = archive.unpack(content)
    easier = members | {"manifest.json": members["manifest.json"].replace(b"1.2", b"9.9")}
    if random.randrange(2):
        return content + archive.pack(easier, len(content))
    second = archive.pack(easier, start)
    return content[:start] + second + archive.pack(members, start + len(second))


# --- its members


def with_member(content: bytes, name: str, data: bytes) -> bytes:
    """The bundle with one member exchanged, its ZIP flawless."""
    start, members = archive.unpack(content)
    return content[:start] + archive.pack(members | {name: data}, start)


WILD: tuple[Any, ...] = (
    None, True, "", "x", "\n", "\u202e", "\x1b[31m", "a" * 5000, -1, 0, 2, 1e308, 10**400, float("nan"),
    float("inf"), [], [[]], {}, {"": 0}, [1] * 5000, 2**53, -0.0, "\ud800",
)  # fmt: skip
WILD_SPELLINGS = (
    b"", b"null", b"{}", b"[]", b"1e999", b"NaN", b"9" * 5000, b"[" * 100_000, b'{"a":' * 100_000,
    b"\xff\xfe{}", b"\xef\xbb\xbf{}",
    b'{"schema": 4}', b'{"schema": 1}', b'{"schema": 99999}', b'{"schema": 4e0}',
)  # fmt: skip


@forgery
def manifest_value(random: Random, content: bytes) -> bytes:
    """A wild value anywhere in the manifest."""
    described = json.loads(archive.unpack(content)[1]["manifest.json"])
    place = described
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = random.choice(keys)
        if not isinstance(place[key], dict | list) or not place[key] or random.randrange(3) == 0:
            break
        place = place[key]
    trick = random.randrange(4)
    if trick == 0 and isinstance(place, dict):
        del place[key]
    elif trick == 1 and isinstance(place, dict):
        place[random.choice(("extra", "", "\x1b", "a" * 2000, "\ud800"))] = random.choice(WILD)
    else:
        place[key] = random.choice(WILD)
    return with_member(content, "manifest.json", json.dumps(described, indent=2).encode())


@damage
def manifest_spelling(random: Random, content: bytes) -> bytes:
    """Other bytes that many readers would take for the same manifest, and some that none should."""
    data = archive.unpack(content)[1]["manifest.json"]
    described = json.loads(data)
    spelt = (
        json.dumps(described).encode(),
        json.dumps(described, indent=2, sort_keys=True).encode(),
        data + b"\n",
        b" " + data,
        data.replace(
            b'"name"', b'"name": "other", "name"', 1
        ),  # a name twice: readers differ in which counts
        data.replace(b'"temperature": 1.2', b'"temperature": 1.20', 1),
        data.replace(b'"tiny"', b'"t\\u0069ny"', 1),
        data.replace(b"0.5", b"1e999", 1),
        data.replace(b"0.5", b"NaN", 1),
        data.replace(b"null", b"[" * 2000 + b"]" * 2000, 1),
        data + b" " * (1 << 21),
        *WILD_SPELLINGS,
    )
    return with_member(content, "manifest.json", random.choice(spelt))


@damage
def labels_text(random: Random, content: bytes) -> bytes:
    data = archive.unpack(content)[1]["labels.txt"]
    lines = data.splitlines(keepends=True)
    other = (b"", data[:-1], data + b"\n", b"".join(lines[::-1]), data.replace(b"\n", b"\r\n"), b"\xff\n" * 2)
    return with_member(content, "labels.txt", random.choice((*other, random.randbytes(40))))


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


@damage
def golden_arrays(random: Random, content: bytes) -> bytes:
    """Arrays that unpickle, that claim to be huge, or are of another kind than they should."""
    start, members = archive.unpack(content)
    arrays = archive.unpack(members["golden.npz"])[1]
    name = random.choice(list(arrays))
    good = np.load(io.BytesIO(arrays[name]))
    pickled = pickle.dumps(Path("/etc/passwd"))
    huge = random.choice(
        ("(1099511627776,)", "(3, 4294967296, 4294967296, 1)", "(-1, 8, 8, 1)", "(10," * 500)
    )
    file = io.BytesIO()
    converted = random.choice(
        (good.astype(np.float64), good.astype(np.uint8), good.T, good[:0], good[:1], good[..., None], good[0])
    )
    np.save(file, converted)
    arrays[name] = random.choice(
        (
            npy("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", pickled),
            npy(f"{{'descr': '|i1', 'fortran_order': False, 'shape': {huge}, }}"),
            npy("{'descr': '|i1', 'fortran_order': True, 'shape': (3, 8, 8, 1), }", good.tobytes()),
            npy("{'descr': [('a', '|i1'), ('b', '|V999999999')], 'shape': (3,), }"),
            npy("__import__('os').system('false')"),
            npy("", good.tobytes()),
            npy("", version=b"\3\0"),
            arrays[name] + b"\0",
            arrays[name][:-1],
            arrays[name].replace(b"'descr'", b"'Descr'", 1),
            pickled,
            b"",
            file.getvalue(),
        )
    )
    if random.randrange(8) == 0:
        arrays["extra.npy"] = arrays[name]
    data = archive.pack(arrays)
    if random.randrange(8) == 0:
        squeezed = io.BytesIO()
        np.savez_compressed(squeezed, crops=np.zeros((3, 8, 8, 1), np.int8), outputs=good)
        data = squeezed.getvalue()
    return content[:start] + archive.pack(members | {"golden.npz": data}, start)


# --- with the care of a forger, who recomputes every hash and checksum


@forgery
def rewritten(random: Random, content: bytes) -> bytes:
    """A flawless bundle that says something else, with the old signature if there is one."""
    old = bundle._parse(content)
    flatbuffer, crops, outputs = old.flatbuffer, old.golden_crops, old.golden_outputs
    described = old.manifest
    trick = random.randrange(5)
    if trick == 0:
        described = dataclasses.replace(described, temperature=random.uniform(0.1, 3))
    elif trick == 1:
        first, *rest = described.confusion
        described = dataclasses.replace(described, confusion=((random.randrange(9), *first[1:]), *rest))
    elif trick == 2:
        crops = crops + np.int8(random.randint(1, 99))
    elif trick == 3:
        outputs = outputs[::-1] + np.int8(1)
    else:
        flatbuffer = flatbuffer + random.randbytes(random.randint(1, 99))
        described = dataclasses.replace(described, sha256=hashlib.sha256(flatbuffer).hexdigest())
    return flatbuffer + bundle._appended(len(flatbuffer), described, crops, outputs, old.signature)


@forgery
def other_signature(random: Random, content: bytes) -> bytes:
    """No signature, an unknown key's, another bundle's, other numbers, or another spelling."""
    old = bundle._parse(content)
    ours = old.signature or Signature("12" * 32, "34" * 64)
    theirs = signing.sign(Path("mallory.pem"), old.unsigned_sha256)
    elsewhere = signing.sign(Path("lab.pem"), hashlib.sha256(random.randbytes(8)).hexdigest())
    number = int.from_bytes(bytes.fromhex(ours.signature[64:]), "little")
    order = 2**252 + 27742317777372353535851937790883648493
    grown = ((number + order) % 2**256).to_bytes(32, "little").hex()
    made = random.choice(
        (
            None,
            theirs,
            elsewhere,
            Signature(ours.public_key, theirs.signature),
            Signature(theirs.public_key, ours.signature),
            Signature(ours.public_key, ours.signature[:64] + grown),  # RFC 8032, 8.4: malleability
            Signature(ours.public_key, random.randbytes(64).hex()),
            Signature("00" * 32, "00" * 64),
            Signature("01" + "00" * 31, "01" + "00" * 63),  # a point of small order
            Signature(ours.public_key.upper(), ours.signature),
            Signature(ours.public_key, ours.signature.upper()),
        )
    )
    golden = old.golden_crops, old.golden_outputs
    return old.flatbuffer + bundle._appended(len(old.flatbuffer), old.manifest, *golden, made)


def mutated(number: int, content: bytes) -> tuple[str, bool, bytes]:
    """Mutation `number` of a bundle: its kind, whether it is careful, and the bytes, which differ."""
    random = Random(number)
    kinds = DAMAGE + FORGERY
    mutation = kinds[number % len(kinds)]
    while (changed := mutation(random, content)) == content:
        pass
    return mutation.__name__, mutation in FORGERY, changed


def attempt(path: Path, settings: DeviceSettings) -> str | None:
    """Load a file: its SHA-256 if it is accepted, None if it is refused in one printable line."""
    try:
        return load_bundle(path, settings).sha256
    except BundleError as error:
        line = str(error)
        if not line.isprintable() or len(line) > 1000:
            raise AssertionError(f"not one readable line: {line!r}") from error
        return None


def main(folder: Path, first: int, last: int) -> None:
    """Try mutations `first` to `last`, without the last; the number at hand stands in the file ``at``."""
    os.chdir(folder)
    faulthandler.enable()
    lab = signature.decode(archive.unpack(Path("signed.tflite").read_bytes())[1]["signature.json"])
    strict, lenient = DeviceSettings(require_signed=True, trusted={"lab": lab.public_key}), DeviceSettings()
    assert load_bundle("signed.tflite", strict).signer == "lab"
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    bases = (Path("signed.tflite"), strict), (Path("unsigned.tflite"), lenient)
    results: Counter[str] = Counter()
    at = os.open("at", os.O_CREAT | os.O_WRONLY)
    for number in range(first, last):
        os.pwrite(at, f"{number:8}".encode(), 0)
        for base, settings in bases:
            kind, careful, changed = mutated(number, base.read_bytes())
            Path("mutated.tflite").write_bytes(changed)
            # a hang ends the process by signal
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
            accepted = attempt(Path("mutated.tflite"), settings)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if accepted is not None:
                assert not settings.require_signed, f"mutation {number}, {kind}: accepted unsigned"
                assert careful, f"mutation {number}, {kind}: damage accepted"
                # then it is another bundle, with a name of its own, and spelt as we spell it
                read = bundle._parse(changed)
                parts = read.manifest, read.golden_crops, read.golden_outputs, read.signature
                again = read.flatbuffer + bundle._appended(len(read.flatbuffer), *parts)
                assert again == changed, f"mutation {number}, {kind}: accepted in another spelling"
                assert accepted == hashlib.sha256(changed).hexdigest()
            results[f"{base.stem} {kind} {'refused' if accepted is None else 'accepted'}"] += 1
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
