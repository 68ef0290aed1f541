"""The shell of every page: style, heading, sections, lists; no script, no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from edge import __version__
from edge.base import RESEARCH_USE

_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def page_shell(
    title: str,
    over: str,
    sections: Iterable[str],
    *,
    heading: str = "",
    notices: Iterable[str] = (),
    figures: Mapping[str, str] | None = None,
    ending: str = "",
) -> str:
    """Set a page; all but the sections is plain text.

    Parameters
    ----------
    title
        Of the window, and the heading unless that is another.
    over
        Line above the heading.
    sections
        HTML, see `section`; empty ones are left out.
    heading
        Instead of the title.
    notices
        Warnings below the heading; empty ones are left out.
    figures
        Name and value of what must be seen first.
    ending
        What the last line says beside the software.
    """
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in (figures or {}).items()
    )
    return _PAGE.substitute(
        title=escape(title),
        over=escape(over),
        heading=escape(heading or title),
        notices="".join(f'<p class="notice">{escape(text)}</p>' for text in notices if text),
        use=RESEARCH_USE[0].upper() + RESEARCH_USE[1:],
        figures=f'<dl class="figures">{pairs}</dl>' if pairs else "",
        sections="\n".join(filter(None, sections)),
        software=" · ".join(filter(None, (f"leuko-edge {__version__}", escape(ending)))),
    )


def section(heading: str, body: str) -> str:
    """Set a section; both are HTML."""
    return f"<section>\n<h2>{heading}</h2>\n{body}\n</section>"


def definitions(pairs: Mapping[str, str]) -> str:
    """Set names and values, plain text, as a list."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs.items()
    )
    return f"<dl class=facts>{rows}</dl>"


def confusion_table(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Set a confusion matrix in cells, rows truth, each field shaded by its share of its row, with recall."""
    head = "".join(f"<th scope=col>{escape(label)}</th>" for label in labels)
    rows = []
    for k, (label, row) in enumerate(zip(labels, counts, strict=True)):
        total = sum(row)
        fields = "".join(
            f'<td style="--share:{n / total if total else 0:.3f}"{" class=hit" if k == j else ""}>{n:,}</td>'
            for j, n in enumerate(row)
        )
        recall = f"{100 * row[k] / total:.1f} %" if total else "–"
        rows.append(f"<tr><th scope=row>{escape(label)}</th>{fields}<td>{recall}</td></tr>")
    return (
        f"<div class=wide><table class=confusion><thead><tr><th scope=col>Truth</th>{head}"
        f"<th scope=col>Recall</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def data_uri(jpeg: bytes) -> str:
    """Set an encoded image as an address that holds it."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
