"""What a check answers: one result a question, one finding a row of ``check.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How much a result matters: with an error no network can be trained."""

    NOT_RUN = "not run"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes
    ----------
    message : one line
    path : the file, group or class that it is about
    other : a second one, for pairs
    value : the number behind it, as `message` explains it
    status : how much it matters; ``ok`` for what one only wants to know
    """

    message: str
    path: str = ""
    other: str = ""
    value: float | None = None
    status: Status = Status.WARNING


@dataclass(frozen=True)
class Result:
    """The answer to one question.

    Attributes
    ----------
    question : a few words
    answer : one line
    findings : all that is behind it
    ran : whether there was something to put the question to
    """

    question: str
    answer: str
    findings: tuple[Finding, ...] = ()
    ran: bool = True

    @property
    def status(self) -> Status:
        """The worst of the findings."""
        if not self.ran:
            return Status.NOT_RUN
        return worst([finding.status for finding in self.findings])


def worst(statuses: Sequence[Status]) -> Status:
    """Return the one that matters most."""
    return max(statuses, key=list(Status).index, default=Status.OK)


def count(n: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun: ``1 crop``, ``2 crops``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
