"""What the pages of a TIFF are: channels, focal planes (Z) or times, as its metadata say.

OME-XML, ImageJ, tifffile, MetaMorph (STK) and Zeiss LSM are read. Channels and focal planes belong to one
field of view; times are fields of their own.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from edge.capture.page import ImageFileError

_MAX_PLANES = 1 << 20
_BRIGHT_FIELD = re.compile(
    r"(?<![a-z])(bf|bright[ _-]?field|trans(mitted)?([ _-]?light)?|tl)(?![a-z])", re.IGNORECASE
)
_COLOURS = (("r", "g", "b"), ("red", "green", "blue"))


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
    """The planes of a file; none if its metadata say nothing about them."""

    planes: tuple[Plane, ...] = ()
    channels: tuple[str, ...] = ("",)

    def select_channels(self) -> tuple[int, ...]:
        """Return the channel to read: the only one, the bright-field one, or red, green and blue.

        Raises
        ------
        ImageFileError
            If the names do not say which channel is bright field.
        """
        if len(self.channels) == 1:
            return (0,)
        named = [number for number, name in enumerate(self.channels) if _BRIGHT_FIELD.search(name)]
        if len(named) == 1:
            return tuple(named)
        lowered = [name.strip().lower() for name in self.channels]
        for colours in _COLOURS:
            if sorted(lowered) == sorted(colours):
                return tuple(map(lowered.index, colours))
        names = ", ".join(name or f"channel {number}" for number, name in enumerate(self.channels, 1))
        raise ImageFileError(
            f"holds {len(self.channels)} channels of the same field ({names}), and not exactly one is "
            "named as bright field: save the bright-field channel alone"
        )


def read_stack(description: bytes, metamorph: tuple[int, ...], planes: int, lsm: bytes) -> Stack:
    """Return the planes that the metadata in a file's first directory describe.

    Parameters
    ----------
    description : bytes
        The tag ImageDescription.
    metamorph : tuple of int
        What the file holds of the tag UIC2: six numbers per plane, the first two its focal distance.
    planes : int
        The number of planes that UIC2 declares; 0 without the tag.
    lsm : bytes
        The tag CZ_LSMINFO.
    """
    text = description.rstrip(b"\0").decode("utf-8", "replace").strip()
    if planes:
        differ = len({metamorph[k : k + 2] for k in range(0, len(metamorph) - 5, 6)}) > 1
        return _regular({"Z" if differ else "T": planes})
    if len(lsm) >= 28:
        _, _, _, _, depth, _, times = struct.unpack_from("<7i", lsm)
        return _regular({"T": times, "Z": depth})
    if text.startswith("ImageJ="):
        return _read_imagej(text)
    if text.startswith('{"shape"'):
        return _read_tifffile(text)
    if "<OME" in text[:4096] or ":OME" in text[:4096]:
        return _read_ome(text)
    return Stack()


def _regular(sizes: Mapping[str, int]) -> Stack:
    """Return the planes of a hyperstack without gaps; the last axis changes fastest."""
    _check_sizes(sizes)
    places = itertools.product(*(range(size) for size in sizes.values()))
    keys = {"T": "time", "C": "channel", "Z": "focus"}
    planes = (
        Plane(page, **dict(zip(map(keys.__getitem__, sizes), place, strict=True)))
        for page, place in enumerate(places)
    )
    return Stack(tuple(planes), ("",) * sizes.get("C", 1))


def _check_sizes(sizes: Mapping[str, int]) -> None:
    if min(sizes.values()) < 1 or math.prod(sizes.values()) > _MAX_PLANES:
        text = " x ".join(f"{axis} {size}" for axis, size in sizes.items())
        raise ImageFileError(f"damaged: the metadata of the TIFF declare planes of {text}")


def _read_imagej(text: str) -> Stack:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    names = {"frames": "T", "slices": "Z", "channels": "C"}
    sizes = {axis: _number(values.get(name, "1")) for name, axis in names.items()}
    images = _number(values.get("images", "1"))
    if math.prod(sizes.values()) != images:
        sizes = {"T": images}
    # ImageJ also calls the images of a plain sequence slices
    if sizes.get("Z", 1) > 1 and values.get("hyperstack") != "true" and "spacing" not in values:
        raise ImageFileError(
            f"an ImageJ stack of {images} slices, which may be fields or focal planes of one field: in "
            "ImageJ, Image > Properties, enter the fields as frames; or save the sharpest slice alone"
        )
    return _regular(sizes)


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text.strip()):
        raise ImageFileError("damaged: the ImageJ metadata of the TIFF cannot be read")
    return int(text)


def _read_tifffile(text: str) -> Stack:
    """Read the JSON that tifffile writes; leading axes other than C and Z, or without a name, are fields."""
    try:
        metadata = json.loads(text)
        shape = [int(size) for size in metadata["shape"]]
        axes = str(metadata.get("axes", ""))
        truncated = bool(metadata.get("truncated"))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Stack()
    if len(axes) != len(shape):
        if truncated:
            raise ImageFileError(
                f"an array of {' x '.join(map(str, shape))} without names for its axes, after one directory: "
                "save it as a TIFF with one page per plane"
            )
        return Stack()
    sizes: dict[str, int] = {}
    for axis, size in zip(axes, shape, strict=True):
        if axis not in "YXS":
            kind = axis if axis in "CZ" else "T"
            if kind in sizes:
                raise ImageFileError(f"its axes {axes} are not read: save each field as a file of its own")
            sizes[kind] = size
    return _regular(sizes) if sizes else Stack()


def _read_ome(text: str) -> Stack:
    """Read OME-XML: the images' sizes, the channels' names, and which page is which plane."""
    planes: list[Plane] = []
    names: list[tuple[str, ...]] = []
    try:
        root = ElementTree.fromstring(text)
        images = [element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]
        for number, pixels in enumerate(images):
            channels = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
            names.append(channels or ("",) * int(pixels.get("SizeC", "1")))
            planes += _ome_planes(root, pixels, number, len(names[-1]))
    except ImageFileError:
        raise
    except (ElementTree.ParseError, ValueError):
        raise ImageFileError("damaged: the OME-XML of the TIFF cannot be read") from None
    if not planes:
        raise ImageFileError("its OME-XML describes none of its pages: save it with its own metadata")
    if len(set(names)) > 1:
        raise ImageFileError("its images have different channels: save each image as a file of its own")
    if len(planes) > _MAX_PLANES:
        raise ImageFileError("damaged: the OME-XML of the TIFF declares too many planes")
    return Stack(tuple(sorted(planes)), names[0])


def _ome_planes(
    root: ElementTree.Element, pixels: ElementTree.Element, image: int, channels: int
) -> list[Plane]:
    """Return the planes of one OME image that lie in this file."""
    sizes = {"C": channels, "Z": int(pixels.get("SizeZ", "1")), "T": int(pixels.get("SizeT", "1"))}
    total = math.prod(sizes.values())
    _check_sizes(sizes)
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise ValueError(order)
    steps = {axis: math.prod(sizes[before] for before in order[: order.index(axis)]) for axis in order}
    planes = []
    for data in pixels.findall("{*}TiffData"):
        file = data.find("{*}UUID")
        if file is not None and root.get("UUID") not in (None, file.text):
            if sizes["Z"] > 1:
                raise ImageFileError("its focal planes lie in several files: save them in one file")
            continue  # a plane in another file of the same set
        page = int(data.get("IFD", "0"))
        count = int(data.get("PlaneCount", "1" if "IFD" in data.attrib else str(total)))
        start = sum(int(data.get(f"First{axis}", "0")) * step for axis, step in steps.items())
        if page < 0 or start < 0 or not 0 <= count <= total - start:
            raise ValueError(count)
        for k in range(count):
            place = {axis: (start + k) // step % sizes[axis] for axis, step in steps.items()}
            planes.append(Plane(page + k, image, place["T"], place["C"], place["Z"]))
    return planes
