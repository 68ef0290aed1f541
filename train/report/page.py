"""Headings, tables and pictures of the workstation's pages, in the shell of `edge.report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.report import data_uri, page_shell, section


@dataclass(frozen=True, eq=False)
class Picture:
    """A grey crop, uint8 [h, w], for a page; its file `origin` is shown when the pointer is over it."""

    image: NDArray[np.uint8]
    caption: str
    origin: str


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
    return page_shell(
        title, lead, (section(escape(heading), body) for heading, body in sections), notices=notices
    )


def paragraph(text: str, *, small: bool = False) -> str:
    """Return plain text as a paragraph."""
    return f"<p{' class=small' if small else ''}>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, text: bool = False) -> str:
    """Return a table whose first column names the row; `text` aligns all columns left and wraps them."""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in header)
    body = "\n".join(
        f"<tr><th scope=row>{escape(str(row[0]))}</th>"
        + "".join(f"<td>{escape(str(field))}</td>" for field in row[1:])
        + "</tr>"
        for row in rows
    )
    style = " class=text" if text else ""
    return (
        f"<div class=wide><table{style}><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def gallery(pictures: Iterable[Picture], *, large: bool = False) -> str:
    """Return pictures side by side; `large` ones show details."""
    figures = "\n".join(
        f'<figure title="{escape(picture.origin)}"><img alt="{escape(picture.caption)}" '
        f'src="{jpeg_uri(picture.image)}" loading=lazy><figcaption>{escape(picture.caption)}</figcaption>'
        "</figure>"
        for picture in pictures
    )
    return f'<div class="gallery{" large" if large else ""}">{figures}</div>'


def jpeg_uri(image: NDArray[np.uint8]) -> str:
    """Return a grey image, uint8 [h, w], as a ``data:`` address."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data_uri(encoded.tobytes())
