"""What the pages of a TIFF are: channels, focal planes (Z) or times, as its metadata say.

OME-XML, ImageJ, tifffile, MetaMorph (STK) and Zeiss LSM are read. Channels and focal planes belong to one
field of view; times are fields of their own.
"""

from __future__ import annotations

import json
import math
import re
import struct

from edge.capture.ome_xml import is_ome, read_ome
from edge.capture.page import MAX_NAMED, ImageFileError
from edge.capture.planes import Stack, check_sizes, regular_stack
from edge.capture.tiff_metadata import Metadata


def read_stack(metadata: Metadata, *, slices_are_planes: bool = False) -> Stack:
    """Return the planes that the metadata describe.

    Parameters
    ----------
    slices_are_planes : bool
        The slices of an ImageJ stack that may be fields are focal planes.
    """
    text = metadata.description
    if metadata.metamorph:
        differ = len(set(metadata.distances)) > 1
        return regular_stack({"Z" if differ else "T": metadata.metamorph})
    if len(metadata.lsm) >= 28:
        _, _, _, _, depth, channels, times = struct.unpack_from("<7i", metadata.lsm)
        sizes = {"T": times, "Z": depth}
        if channels == metadata.samples > 1:
            sizes["C"] = channels
        return regular_stack(sizes, metadata.lsm_channels, in_samples="C" in sizes)
    if text.startswith("ImageJ="):
        return _read_imagej(text, metadata.labels, slices_are_planes)
    if text.startswith('{"shape"'):
        return _read_tifffile(text, metadata.samples if metadata.separate else 1)
    return read_ome(text, metadata.samples) if is_ome(text) else Stack()


def _read_imagej(text: str, labels: tuple[str, ...], slices_are_planes: bool) -> Stack:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    names = {"frames": "T", "slices": "Z", "channels": "C"}
    sizes = {axis: _number(values.get(name, "1")) for name, axis in names.items()}
    images = _number(values.get("images", "1"))
    check_sizes({"images": images})
    if math.prod(sizes.values()) != images:
        sizes = {"T": images}
    # ImageJ also calls the images of a plain sequence slices
    stated = values.get("hyperstack") == "true" or "spacing" in values or slices_are_planes
    if sizes.get("Z", 1) > 1 and not stated:
        raise ImageFileError(
            f"an ImageJ stack of {images} slices, which may be fields or focal planes of one field: if they "
            "are fields, enter them as frames in ImageJ (Image > Properties); if focal planes, pass --z "
            "sharpest"
        )
    return regular_stack(sizes, labels[: sizes.get("C", 1)])


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text.strip()):
        raise ImageFileError("damaged: the ImageJ metadata of the TIFF cannot be read")
    return int(text)


def _read_tifffile(text: str, samples: int) -> Stack:
    """Read the JSON that tifffile writes; leading axes other than C and Z, or without a name, are fields.

    As many channels as separate samples are these.
    """
    try:
        metadata = json.loads(text)
        shape = [int(size) for size in metadata["shape"]]
        axes = str(metadata.get("axes", ""))
        truncated = bool(metadata.get("truncated"))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Stack()
    if len(axes) != len(shape):
        if truncated:
            shown = " x ".join(f"{size:.15g}" for size in shape[:MAX_NAMED])
            raise ImageFileError(
                f"an array of {shown} without names for its axes, after one directory: "
                "save it as a TIFF with one page per plane"
            )
        return Stack()
    sizes: dict[str, int] = {}
    for axis, size in zip(axes, shape, strict=True):
        if axis not in "YXS":
            kind = axis if axis in "CZ" else "T"
            if kind in sizes:
                raise ImageFileError(
                    f"its axes {axes[:80]} are not read: save each field as a file of its own"
                )
            sizes[kind] = size
    if not sizes:
        return Stack()
    return regular_stack(sizes, in_samples=samples > 1 and sizes.get("C") == samples)
