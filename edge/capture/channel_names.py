"""Channels of one field that are files of their own, by the files' names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_CHANNEL = re.compile(
    # Leica, Micro-Manager, MetaMorph and Bio-Formats number channels; people name what they see
    r"(?<![a-z0-9])(ch\d{1,2}|channel\d{1,3}|w\d[a-z][a-z0-9]*|c=\d+"
    r"|bf|bright[-_ ]?field|dapi|hoechst|fitc|tritc|gfp|rfp|cy[35]|mcherry|fluo(rescence)?)(?![a-z0-9])",
    re.IGNORECASE,
)


def channels_by_name(files: Iterable[str | Path]) -> list[str]:
    """Return the channels by which most files differ from others of the same name; empty if they do not.

    ``f1_ch00.tif, f1_ch01.tif`` are two channels of one field, and so are ``f1_w1BF.tif, f1_w2DAPI.tif``.
    """
    fields: defaultdict[str, set[str]] = defaultdict(set)
    listed = list(files)
    for file in listed:
        name = str(file)
        base = name[name.rfind("/") + 1 :]
        dot = base.rfind(".")
        found = list(_CHANNEL.finditer(base, 0, dot if dot > 0 else len(base)))
        if found:
            last = found[-1]
            start = len(name) - len(base) + last.start()
            fields[name[:start] + "*" + name[start + len(last[0]) :]].add(last[0])
    several = [channels for channels in fields.values() if len(channels) > 1]
    if 2 * sum(map(len, several)) <= len(listed):
        return []
    return sorted(set().union(*several))
