"""OME-XML in a TIFF's description: images, channels, and which page is which plane."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from edge.base import StatedPixel
from edge.capture.page import MAX_IMAGES, MAX_PLANES, ImageFileError
from edge.capture.planes import Channel, Plane, Stack, check_sizes
from edge.capture.stated_pixel import size_um, stated_pixel


def is_ome(text: str) -> bool:
    """Return whether a description is OME-XML."""
    return "<OME" in text[:4096] or ":OME" in text[:4096]


def read_ome(text: str, samples: int = 1) -> Stack:
    """Return the planes of a file by its OME-XML.

    Parameters
    ----------
    samples : int
        Samples of a pixel of the first page; as many channels without a description are its colours.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageFileError(
            "its OME-XML declares entities, which may be a bomb: save it with its own metadata"
        )
    planes: list[Plane] = []
    channels: list[tuple[Channel, ...]] = []
    sizes: list[StatedPixel | None] = []
    try:
        root = ElementTree.fromstring(text)
        images = _images(root)
        if len(images) > MAX_IMAGES:
            raise ImageFileError(
                f"its OME-XML declares {len(images):,} images: at most {MAX_IMAGES:,} are read"
            )
        for number, pixels in enumerate(images):
            sizes.append(_pixel(pixels))
            channels.append(_channels(pixels, samples))
            check_sizes({"C": sum(map(len, channels))})
            planes += _planes(root, pixels, number, len(channels[-1]), MAX_PLANES - len(planes))
    except ImageFileError:
        raise
    except (ElementTree.ParseError, ValueError):
        raise ImageFileError("damaged: the OME-XML of the TIFF cannot be read") from None
    if not planes:
        raise ImageFileError("its OME-XML describes none of its pages: save it with its own metadata")
    return Stack(tuple(sorted(planes)), tuple(channels), pixels=tuple(sizes))


def _images(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]


def _channels(pixels: ElementTree.Element, samples: int) -> tuple[Channel, ...]:
    found = tuple(map(_channel, pixels.findall("{*}Channel")))
    if found:
        return found
    count = int(pixels.get("SizeC", "1"))
    check_sizes({"C": count})
    return (Channel(),) * (1 if count == samples else count)


def _pixel(pixels: ElementTree.Element) -> StatedPixel | None:
    across, down = (
        size_um(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XY"
    )
    return stated_pixel(across, down, "OME-XML")


def _channel(element: ElementTree.Element) -> Channel:
    contrast, light = element.get("ContrastMethod", ""), element.get("IlluminationType", "")
    transmitted = light == "Transmitted" and contrast in ("", "Other")
    return Channel(element.get("Name", ""), contrast == "Brightfield" or transmitted)


def _planes(
    root: ElementTree.Element, pixels: ElementTree.Element, image: int, channels: int, most: int
) -> list[Plane]:
    """Return the planes of one OME image that lie in this file; `most` is the largest number of them."""
    sizes = {"C": channels, "Z": int(pixels.get("SizeZ", "1")), "T": int(pixels.get("SizeT", "1"))}
    total = math.prod(sizes.values())
    check_sizes(sizes)
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise ValueError(order)
    steps = {axis: math.prod(sizes[before] for before in order[: order.index(axis)]) for axis in order}
    planes: list[Plane] = []
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
        if len(planes) + count > most or page + count > MAX_PLANES:
            raise ImageFileError("damaged: the OME-XML of the TIFF declares too many planes")
        for k in range(count):
            place = {axis: (start + k) // step % sizes[axis] for axis, step in steps.items()}
            planes.append(Plane(page + k, image, place["T"], place["C"], place["Z"]))
    return planes
