"""Channels, focal planes (Z) and times of a file: which page shows what, and which stand for a field."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from edge.base import ANY_CHARACTER, StatedPixel, declare
from edge.capture.page import MAX_NAMED, MAX_PLANES, ImageFileError

_BRIGHT_FIELD = re.compile(
    r"(?<![a-z])(bf|bright[ _-]?field|trans(mitted|mission)?([ _-]?light)?|tl|t[ _-]?pmt|dia)(?![a-z])"
    r"|^(bright|td|ch[ _-]?d|esid|white([ _-]?light)?|hellfeld|durchlicht)$",
    re.IGNORECASE,
)
"""Names of bright-field channels; TL: transmitted light, T-PMT and ESID (Zeiss), TD and DIA (Nikon)."""
_OTHER_CONTRAST = re.compile(r"(?<![a-z])(ph(ase)?|dic|dark|pol|hoffman)(?![a-z])", re.IGNORECASE)
"""Transmitted light of another contrast: a network trained on bright field does not know it."""
_STAIN = re.compile(
    r"(?<![a-z0-9])(dapi|hoechst|fitc|tritc|[gry]fp|cy[357]|mcherry|alexa|fluo(rescence)?)(?![a-z])",
    re.IGNORECASE,
)
_COLOURS = (("r", "g", "b"), ("red", "green", "blue"))


@dataclass(frozen=True)
class Channel:
    """A channel: its name, empty if it has none, and whether the file itself says that it is bright field."""

    name: str = ""
    bright_field: bool = False

    def is_stain(self) -> bool:
        """Return whether it is a fluorescent stain by its name."""
        return _STAIN.search(self.name) is not None

    def is_bright_field(self) -> bool:
        """Return whether it is bright field by its name or by what the file says."""
        if _OTHER_CONTRAST.search(self.name):
            return False
        return self.bright_field or _BRIGHT_FIELD.search(self.name) is not None


@dataclass(frozen=True, kw_only=True)
class PlaneChoice:
    """Which channel and which focal plane are read of a field that a file stores as several pages."""

    channel: str | None = declare(
        "Channel to read of files with several, by its name or its number from 1; by default the bright-field"
        " one, by its name",
        default=None,
        form="NAME|N",
        characters=ANY_CHARACTER,
        max_length=200,
    )
    z: str | None = declare(
        "Focal plane to read of files with several, by its number from 1; by default the sharpest",
        default=None,
        form="N|sharpest|middle",
        pattern="sharpest|middle|[1-9][0-9]{0,6}",
    )

    def idle(self, channels: tuple[Channel, ...] = (Channel(),), depth: int = 1) -> tuple[str, ...]:
        """Return notes on the options that choose nothing in a file with these channels and focal planes."""
        idle = []
        if self.channel is not None and channels == (Channel(),):
            idle.append(f"--channel {self.channel} has no effect on files that name no channels")
        if self.z is not None and depth == 1:
            idle.append(f"--z {self.z} has no effect on files that name no focal planes")
        return tuple(f"{note}: leave it out, or save stacks as OME-TIFF" for note in idle)


@dataclass(frozen=True, order=True)
class Plane:
    """One page: its position among the pages, and its image, time, channel and focal plane, each from 0."""

    page: int
    image: int = 0
    time: int = 0
    channel: int = 0
    focus: int = 0

    @property
    def field(self) -> tuple[int, int]:
        """Planes with the same value show the same field of view at the same time."""
        return self.image, self.time


@dataclass(frozen=True)
class Stack:
    """The planes of a file; none if its metadata say nothing about them.

    Attributes
    ----------
    channels : tuple of tuple of Channel
        Of each image.
    in_samples : bool
        The channels of a plane are the samples of one page.
    pixels : tuple of StatedPixel or None
        Of each image; empty if they are stated elsewhere.
    """

    planes: tuple[Plane, ...] = ()
    channels: tuple[tuple[Channel, ...], ...] = ((Channel(),),)
    in_samples: bool = False
    pixels: tuple[StatedPixel | None, ...] = ()

    def several(self) -> bool:
        """Return whether pages are to be chosen among."""
        return len(self.planes) > 1 or any(len(channels) > 1 for channels in self.channels)

    def pixel(self, image: int) -> StatedPixel | None:
        """Return what is stated of an image's pixel."""
        return self.pixels[image] if self.pixels else None


def select_channels(channels: tuple[Channel, ...], asked: str | None) -> tuple[int, ...]:
    """Return the channels to read: the one asked for, the only or the bright-field one, or the three colours.

    Raises
    ------
    ImageFileError
        If there is no such channel, or the names do not say which one is bright field.
    """
    names = [channel.name.strip().lower() for channel in channels]
    listed = list_channels(channels)
    if asked is not None:
        named = [number for number, name in enumerate(names) if name == asked.strip().lower()]
        if not named and asked.strip().isdecimal() and 1 <= int(asked) <= len(names):
            named = [int(asked) - 1]
        if len(named) == 1 or (names == [""] and not named):
            return tuple(named or (0,))
        raise ImageFileError(f"--channel {asked} names none of its channels, or several of them: {listed}")
    if len(channels) == 1:
        return (0,)
    named = [number for number, channel in enumerate(channels) if channel.is_bright_field()]
    if len(named) == 1:
        return tuple(named)
    for colours in _COLOURS:
        if sorted(names) == sorted(colours):
            return tuple(map(names.index, colours))
    raise ImageFileError(
        f"holds {len(channels)} channels of the same field ({listed}), and not exactly one is named as "
        "bright field: name it with --channel, or save the bright-field channel alone"
    )


def name_channels(channels: tuple[Channel, ...]) -> list[str]:
    """Return the names of channels, in their order; the number of one that has none."""
    return [channel.name or f"channel {number}" for number, channel in enumerate(channels, 1)]


def list_channels(channels: tuple[Channel, ...]) -> str:
    """Return the names of channels for a sentence, the first of many, each as far as a sentence holds it."""
    more = ", …" if len(channels) > MAX_NAMED else ""
    return ", ".join(name[:80] for name in name_channels(channels[:MAX_NAMED])) + more


def select_focus(planes: int, asked: str) -> int:
    """Return the number from 0 of the focal plane asked for, other than the sharpest, of so many planes."""
    number = (planes + 1) // 2 if asked == "middle" else int(asked)
    if number > planes:
        raise ImageFileError(f"holds {planes} focal planes, and --z asks for number {number}")
    return number - 1


def regular_stack(
    sizes: Mapping[str, int], names: tuple[str, ...] = (), *, in_samples: bool = False
) -> Stack:
    """Return the planes of a hyperstack without gaps; the last axis (T, C or Z) changes fastest."""
    check_sizes(sizes)
    channels = sizes.get("C", 1)
    if in_samples:
        sizes = {axis: size for axis, size in sizes.items() if axis != "C"}
    places = itertools.product(*(range(size) for size in sizes.values()))
    keys = {"T": "time", "C": "channel", "Z": "focus"}
    planes = (
        Plane(page, **dict(zip(map(keys.__getitem__, sizes), place, strict=True)))
        for page, place in enumerate(places)
    )
    named = names if len(names) == channels else ("",) * channels
    return Stack(tuple(planes), (tuple(map(Channel, named)),), in_samples)


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raise an ImageFileError for a stack without planes, or with more than a file can hold."""
    if min(sizes.values(), default=1) < 1 or math.prod(sizes.values()) > MAX_PLANES:
        text = " x ".join(f"{axis} {size:.15g}" for axis, size in sizes.items())
        raise ImageFileError(f"damaged: the metadata of the TIFF declare planes of {text}")
