"""Fuzz one target: begin with its corpus, end at the first input that breaks its promise, name its file."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

import atheris

# only what reads the files is instrumented: the compiled libraries see no bytes of theirs here
with atheris.instrument_imports(include=["edge", "firmware_config", "tomllib", "json"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
LONGEST_BYTES = 64 << 10


def main() -> None:
    """Read the arguments and hand over to libFuzzer, which ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0 takes another one each time")
    words = parser.parse_args()
    corpus = CORPUS / words.target
    found = Path(tempfile.mkdtemp(prefix=f"fuzz-{words.target}-"))
    # whole words put in at once: a random change of bytes seldom makes another key out of one
    texts = " ".join(path.read_text(encoding="ascii", errors="replace") for path in corpus.iterdir())
    dictionary = found.with_suffix(".txt")
    dictionary.write_text(
        "".join(f'"{word}"\n' for word in sorted(set(re.findall(r"\w{3,}", texts, re.ASCII))))
    )
    options = {
        "max_total_time": words.seconds,
        "dict": dictionary,
        "seed": words.seed,
        "max_len": LONGEST_BYTES,
        "rss_limit_mb": 0,  # the peak of whoever started this process would count
        "timeout": 10,
        "artifact_prefix": f"{found}/",
    }
    target = TARGETS[words.target]
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(found), str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
