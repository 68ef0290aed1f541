"""The list of what leuko relies on about a Raspberry Pi, and the answers to what a program can test of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from edge.run.child import ChildError, answer, start
from edge.run.silicon_facts import FACTS, Fact
from edge.run.silicon_tests import TESTS, Answer, on_a_pi

TEST_S = 120.0
"""Longest time for one test: a sensor's modes are opened one after the other."""


def answers(facts: Sequence[Fact] = FACTS) -> Iterator[tuple[Fact, Answer]]:
    """Test each fact that a program can, one after the other: they share the camera."""
    for fact in facts:
        if fact.name not in TESTS:
            yield fact, Answer(None, "by hand")
            continue
        try:
            said = Answer(**answer(start("edge.run.silicon", fact.name), TEST_S))
        except ChildError as error:
            said = Answer(False, str(error))
        yield fact, said


def silicon_page(tested: Sequence[tuple[Fact, Answer | None]]) -> str:
    """Return facts as a table in Markdown to tick off, with the answers where there are some."""
    rows = ["| | fact | relied on by | source | test by hand | answer |", "|---|---|---|---|---|---|"]
    for fact, said in tested:
        tick = "x" if said and said.holds else " "
        found = said.words() if said else "by program" if fact.name in TESTS else ""
        cells = (fact.states, fact.used, f"{fact.source} ({fact.date})", fact.by_hand, found)
        rows.append(
            f"| [{tick}] {fact.name} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(json.dumps(asdict(on_a_pi(TESTS[sys.argv[1]]()))))
