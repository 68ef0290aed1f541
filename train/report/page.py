"""The workstation's pages, in the shell of `edge.report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.report import page_shell, section


def page(title: str, lead: str, sections: Iterable[tuple[str, str]], notices: Sequence[str] = ()) -> str:
    """Return a page; `lead` is the line above the title, each section a heading and a body.

    Only the bodies are HTML; the rest is plain text.
    """
    return page_shell(title, lead, (section(heading, body) for heading, body in sections), notices=notices)
