"""The contact sheet: one page in which a person confirms or changes each label, without server or network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from edge import __version__
from edge.base import RESEARCH_USE
from train.images import CROP_PX

_FOLDER = Path(__file__).parent

ROOM = 1.5
"""Part of a crop that is shown around a cell of the median size, as a multiple of the cell."""


def contact_sheet(
    header: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str], *, scale: float = 1.0
) -> str:
    """Set the contact sheet, to lie beside the folders ``crops`` and ``nuclei``.

    The page holds the rows and the program; the crops stay files, so that several thousand cells open at
    once. Its content security policy lets it load these files and nothing else.

    Parameters
    ----------
    header, rows
        The table ``labels.csv``, as it is.
    classes
        What a cell may be called, in the order of the keys 1, 2, …
    scale
        Frame pixels a crop pixel.
    """
    place = {name: k for k, name in enumerate(header)}
    sides = sorted(
        max(
            int(row[place[high]]) - int(row[place[low]]) for low, high in (("xmin", "xmax"), ("ymin", "ymax"))
        )
        for row in rows
    )
    shown = ROOM * sides[len(sides) // 2] / scale if sides else CROP_PX
    sheet = {
        "id": hashlib.sha256(json.dumps([list(header), [list(row) for row in rows]]).encode()).hexdigest(),
        "classes": list(classes),
        "header": list(header),
        "rows": [list(row) for row in rows],
        "zoom": round(min(3.0, max(1.0, CROP_PX / shown)), 3),
        "crop_px": CROP_PX,
        "scale": scale,
    }
    # inside a script element only this character could end it
    data = json.dumps(sheet, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    script, style = (
        f"\n{(_FOLDER / name).read_text(encoding='utf-8')}" for name in ("contact.js", "contact.css")
    )
    return Template((_FOLDER / "contact.html").read_text(encoding="utf-8")).substitute(
        script=script,
        script_hash=_hash(script),
        style=style,
        style_hash=_hash(style),
        data=data,
        software=f"leuko-edge {__version__}",
        use=RESEARCH_USE[0].upper() + RESEARCH_USE[1:],
    )


def _hash(text: str) -> str:
    """SHA-256 of an inline script or style as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
