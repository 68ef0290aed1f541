"""A bar chart of shares with their intervals, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from edge.count import Estimate
from edge.report.words import percent

_LEFT, _WIDTH, _PITCH, _TOP = 4, 430, 54, 6


def bar_chart(shares: Mapping[str, Estimate], palette: Mapping[str, str], title: str) -> str:
    """Return one bar per label with its interval as a whisker; the same numbers stand beside it as text."""
    height = _TOP + _PITCH * len(shares) + 20
    marks = [f"<title>{title} with its 95 % interval</title>"]
    for tick in range(0, 101, 25):
        x = _LEFT + _WIDTH * tick / 100
        marks.append(f'<line class=grid x1="{x:g}" x2="{x:g}" y1="{_TOP}" y2="{height - 18}"/>')
        anchor = {0: "start", 100: "end"}.get(tick, "middle")
        marks.append(f'<text class=tick x="{x:g}" y="{height - 4}" text-anchor="{anchor}">{tick} %</text>')
    for k, (label, share) in enumerate(shares.items()):
        y = _TOP + _PITCH * k
        low, middle, high = (_LEFT + _WIDTH * part for part in (share.low, share.value or 0.0, share.high))
        value, interval = percent(share)
        size = f'width="{middle - _LEFT:.1f}" height="20" rx="2"'
        whisker = f"M{low:.1f} {y + 26}v10M{low:.1f} {y + 31}H{high:.1f}M{high:.1f} {y + 26}v10"
        marks += [
            f'<text x="{_LEFT}" y="{y + 14}">{escape(label)}</text>',
            f'<text x="{_LEFT + _WIDTH}" y="{y + 14}" text-anchor="end">{value} ({interval})</text>',
            f'<rect x="{_LEFT}" y="{y + 21}" {size} fill="{palette[label]}"/>',
            f'<path class=whisker d="{whisker}"/>',
        ]
    box = f'viewBox="0 0 {_WIDTH + 2 * _LEFT} {height}"'
    return f'<svg role=img aria-label="{title}" {box}>' + "\n".join(marks) + "</svg>\n"
