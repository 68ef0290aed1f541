"""The workstation's pages, in the shell of `edge.report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.report import page_shell, section


def page(title: str, lead: str, sections: Iterable[tuple[str, str]], notices: Sequence[str] = ()) -> str:
    """Return a page.

    Parameters
    ----------
    title, lead : str
        Heading, and the line above it, as plain text.
    sections : Iterable[tuple[str, str]]
        Pairs of a heading (plain text) and a body (HTML).
    notices : Sequence[str]
        Warnings below the heading, as plain text.
    """
    return page_shell(title, lead, (section(heading, body) for heading, body in sections), notices=notices)
