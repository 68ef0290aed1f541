"""What a check answers: one result per question, one finding per row of ``check.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How much a result matters; with an error no network can be trained."""

    NOT_RUN = "not run"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing found about a file, group or class, or about a pair; `value` is the number behind it."""

    message: str
    path: str = ""
    other: str = ""
    value: float | None = None
    status: Status = Status.WARNING

    @property
    def where(self) -> tuple[str, ...]:
        """The files, group or class that it is about."""
        return tuple(name for name in (self.path, self.other) if name)


@dataclass(frozen=True)
class Result:
    """The answer to one question; `ran` is false if the set has nothing to ask it about."""

    question: str
    answer: str
    findings: tuple[Finding, ...] = ()
    ran: bool = True

    @property
    def status(self) -> Status:
        """The worst status of the findings."""
        return worst([finding.status for finding in self.findings]) if self.ran else Status.NOT_RUN

    def of_status(self, *statuses: Status) -> list[Finding]:
        """Return the findings of these statuses, in their order."""
        return [finding for finding in self.findings if finding.status in statuses]


def worst(statuses: Sequence[Status]) -> Status:
    """Return the status that matters most."""
    return max(statuses, key=list(Status).index, default=Status.OK)
