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
from train.table import SuggestedLabel

_FOLDER = Path(__file__).parent

ROOM = 1.5
"""Part of a crop that is shown around a cell of the median size, as a multiple of the cell."""


def contact_sheet(rows: Sequence[SuggestedLabel], classes: Sequence[str], *, scale: float = 1.0) -> str:
    """Return the contact sheet, to lie beside the folders ``crops`` and ``nuclei``.

    The page holds the rows and the program. The crops stay files, so that several thousand cells open at
    once; its content security policy lets it load these files and nothing else. The classes have the keys 1,
    2, …; `scale` is the number of frame pixels per crop pixel.
    """
    cells = [row.cells() for row in rows]
    header = list(cells[0]) if cells else []
    table = [[cell[name] for name in header] for cell in cells]
    sides = sorted(max(int(cell["width"]), int(cell["height"])) for cell in cells)
    shown = ROOM * sides[len(sides) // 2] / scale if sides else CROP_PX
    sheet = {
        "id": hashlib.sha256(json.dumps([header, table]).encode()).hexdigest(),
        "classes": list(classes),
        "header": header,
        "rows": table,
        "zoom": round(min(3.0, max(1.0, CROP_PX / shown)), 3),
        "crop_px": CROP_PX,
        "scale": scale,
    }
    # only this character could end the script element
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
    """Return the SHA-256 of an inline script or style as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
