"""Phrases that plain English does without, and where they stand.

``python -m tests.system.plain_english edge/find docs README.md`` lists them, one line per hit.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {"", ".conf", ".html", ".js", ".css", ".md", ".py", ".rules", ".service", ".sh", ".toml"}

GAP = r"(?:\s|[\"'#*/`]|\bf(?=[\"']))+"
"""Between two words: a line may end there, within a comment or between two strings."""
PER = (
    "annotation|batch|bundle|cell|class|column|crop|epoch|event|field|file|frame|image|key|label|layer|line|model"
    "|network|page|pixel|problem|process|record|row|run|sample|seed|sensor|session|setting|step|thread|view"
)
AMOUNT = rf"(?:(?:{PER})(?:e?s)?|ms|milliseconds|seconds|bytes|kB|KB|MB|px|µm|precision|recall|F1)"
INSTEAD = {
    r"\banew\b": "again",
    r"\b(?:go|goes|going|gone|went) on\b": "resume, continue",
    r"\bsay --": "pass --",
    r"\bnot said\b": "not given",
    r"\blikewise\b": "repeat what is meant",
    r"\bwhat there (?:are|is)\b": "a noun",
    r"\bsigns at most\b": "at most … characters",
    r"\bdear part\b": "expensive part",
    r"\bstrangers?\b": "out-of-distribution cell",
    r"\bsightings?\b": "detection",
    r"\bby comma\b": "comma-separated",
    r"\bfor so long\b": "for this time",
    r"\bsays? of itself\b": "states",
    r"\blest\b": "so that … not",
    r"\bwhoever\b": "name who",
    r"\bin one go\b": "at once",
    r"\bof which\b": "of these",
    r"\bmakes? no sense\b": "invalid",
    r"\btold\b": "given, distinguished",
    rf"\b(?:an?|one|two|three|\d+|by|of) {AMOUNT} an? (?:{PER})\b": "per",
    rf"\b{AMOUNT} an? (?:{PER})\b(?=[.,;:)\]]|$| at| on| in| by| with| for)": "per",
}
"""Pattern → what to write."""
PATTERNS = {
    re.compile(pattern.replace(" ", GAP), re.IGNORECASE | re.MULTILINE): better
    for pattern, better in INSTEAD.items()
}


def hits(text: str, where: str) -> Iterator[str]:
    """Yield one line per banned phrase of `text`: place, phrase, and what to write."""
    for pattern, better in PATTERNS.items():
        for hit in pattern.finditer(text):
            line = text.count("\n", 0, hit.start()) + 1
            yield f"{where}:{line}: “{' '.join(hit.group().split())}”: {better}"


def files(path: Path) -> Iterator[Path]:
    """Yield the texts under a folder, or the file itself."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and file.suffix in SUFFIXES and "__pycache__" not in file.parts:
            yield file


def main(paths: list[str]) -> int:
    texts = [file for path in paths for file in files(Path(path))]
    found = [hit for file in texts for hit in hits(file.read_text("utf-8"), str(file))]
    print(*found, sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
