"""What every page is made of: style, heading, sections, lists, tables, pictures; no script, no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import RESEARCH_USE

_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


class Html(str):
    """Text that is HTML already; the functions here escape all other text."""

    __slots__ = ()


@dataclass(frozen=True)
class Picture:
    """A JPEG for a page, with a caption of one or more lines.

    `origin` shows when the pointer is over it, `file` is a larger picture, if any.
    """

    jpeg: bytes
    caption: str
    origin: str = ""
    file: str = ""


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
    """Return a page; all but the sections is plain text.

    The line `over` stands above the heading, by default the title; notices are warnings below it, and figures
    what must be seen first. The last line ends with `ending`. Empty sections and notices are left out.
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
    """Return a section; the body is HTML."""
    return f"<section>\n<h2>{_html(heading)}</h2>\n{body}\n</section>"


def paragraph(text: str, *, small: bool = False) -> str:
    """Return a paragraph."""
    return f"<p{' class=small' if small else ''}>{_html(text)}</p>\n"


def definitions(pairs: Mapping[str, str]) -> str:
    """Return names and values as a list."""
    rows = "".join(f"<div><dt>{_html(name)}</dt><dd>{_html(text)}</dd></div>" for name, text in pairs.items())
    return f"<dl class=facts>{rows}</dl>\n"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    total: Sequence[object] = (),
    text: bool = False,
) -> str:
    """Return a table whose first column names the row; `text` aligns all columns left and wraps them."""
    head = "".join(f"<th scope=col>{_html(name)}</th>" for name in header)
    body = "\n".join(map(_row, rows))
    foot = f"\n<tfoot>{_row(total)}</tfoot>" if total else ""
    return (
        f"<div class=wide><table{' class=text' if text else ''}><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody>{foot}</table></div>\n"
    )


def _row(fields: Sequence[object]) -> str:
    cells = "".join(f"<td>{_html(field)}</td>" for field in fields[1:])
    return f"<tr><th scope=row>{_html(fields[0])}</th>{cells}</tr>"


def confusion_table(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return a confusion matrix in cells, rows are the truth, each field shaded by its share of its row."""
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


def gallery(pictures: Iterable[Picture], *, alt: str = "{}", kind: str = "gallery") -> str:
    """Return pictures side by side; `kind` names classes of the style, in `alt` ``{}`` is the caption."""
    return f'<div class="{kind}">{chr(10).join(_figure(picture, alt) for picture in pictures)}</div>'


def _figure(picture: Picture, alt: str) -> str:
    caption = escape(picture.caption)
    words = alt.format(", ".join(caption.splitlines()))
    image = f'<img alt="{words}" src="{data_uri(picture.jpeg)}" loading=lazy>'
    if picture.file:
        image = f'<a href="{escape(picture.file)}">{image}</a>'
    title = f' title="{escape(picture.origin)}"' if picture.origin else ""
    return f"<figure{title}>{image}<figcaption>{caption}</figcaption></figure>"


def data_uri(jpeg: bytes) -> str:
    """Return an encoded image as an address that contains it."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Encode an image, uint8 [h, w] or BGR uint8 [h, w, 3], with its full resolution in colour."""
    # chroma subsampling would wash out thin coloured lines
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])[1].tobytes()


def _html(value: Any) -> str:
    return value if isinstance(value, Html) else escape(str(value))
