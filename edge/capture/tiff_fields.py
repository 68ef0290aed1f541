"""The fields of view in a TIFF: which of its pages stand for them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

import cv2
import numpy as np

from edge.base import StatedPixel
from edge.capture.ome_xml import is_ome, read_ome
from edge.capture.page import BadPage, ImageFileError, Page
from edge.capture.planes import (
    Channel,
    Plane,
    PlaneChoice,
    Stack,
    list_channels,
    name_channels,
    select_channels,
    select_focus,
)
from edge.capture.tiff_axes import read_stack
from edge.capture.tiff_file import (
    PlanesAfter,
    Tiff,
    decode_tiff,
    open_tiff,
    page_of,
    picture_tags,
    planes_after,
)
from edge.capture.tiff_metadata import read_metadata
from edge.capture.tiff_pixels import (
    BITS,
    EXTRA_SAMPLES,
    HEIGHT,
    MIN_IS_BLACK,
    PHOTOMETRIC,
    PLANAR,
    RGB,
    SAMPLES,
    WIDTH,
    Tags,
    block_tags,
    first,
    read_layout,
)
from edge.capture.tiff_scale import tiff_pixel

SMOOTHING_PX = 1.5
"""Standard deviation of the Gaussian before the sharpness is measured: noise is as sharp in every plane."""
REDUCED = 1.9
"""Ratio to the first page's size from which a later page of the same shape is a smaller copy of it."""
SMALLER_COPIES = "pages that are smaller copies of another page of their file are left out"
_LONG = 4
Places = Mapping[int, Mapping[int, Plane]]
"""Focal plane -> channel -> page, of one field."""
Pages = list[Tags] | PlanesAfter


def tiff_pages(
    file: BinaryIO, size: int, max_megapixels: float, bit_depth: int, choice: PlaneChoice
) -> Iterator[Page | BadPage]:
    """Yield one page per field of view, in either byte order; see `image_file.read_pages`."""
    tiff, directory = open_tiff(file, size)
    metadata = read_metadata(tiff, directory)
    stack = read_stack(metadata, slices_are_planes=choice.z is not None)
    pages, pixel = picture_tags(tiff, directory), tiff_pixel(metadata)
    if stack.several():
        planes = [tags for tags, _ in pages]
        yield from _Fields(tiff, planes, stack, pixel, max_megapixels, bit_depth, choice).read()
        return
    select_channels(stack.channels[0], choice.channel)  # refuses one that the file does not hold
    for page in _single_pages(tiff, pages, max_megapixels):
        if isinstance(page, Page):
            notes = (*page.notes, _channel_note(stack.channels[0], (0,)), *choice.idle(stack.channels[0]))
            page = replace(page, pixel=stack.pixel(0) or pixel, notes=tuple(filter(None, notes)))
        yield page


def tiff_pixels_stated(file: BinaryIO, size: int) -> tuple[StatedPixel | None, ...]:
    """Return the pixel of each image that a file's metadata describe, of any other file that of its pages."""
    tiff, directory = open_tiff(file, size)
    metadata = read_metadata(tiff, directory)
    pixels = read_ome(metadata.description).pixels if is_ome(metadata.description) else ()
    return tuple(pixel or tiff_pixel(metadata) for pixel in pixels or (None,))


def _single_pages(
    tiff: Tiff, pages: Iterator[tuple[Tags, bool]], max_megapixels: float
) -> Iterator[Page | BadPage]:
    """Yield each page as a field, but for smaller copies of the first one."""
    number, whole = -1, (0, 0)
    held: Page | BadPage | None = None  # until it is known whether copies follow
    try:
        for tags, last in pages:
            size = (first(tags, WIDTH, 0), first(tags, HEIGHT, 0))
            whole = whole if held else size
            if held and _is_reduced(size, whole):
                held = replace(held, notes=(SMALLER_COPIES,)) if isinstance(held, Page) else held
                continue
            if held:
                yield held
            number += 1
            held = _checked(tiff, tags, None if number == 0 and last else number, max_megapixels)
    except ImageFileError:
        if held:
            yield held
        raise
    if held:
        yield held
    else:
        raise ImageFileError("damaged: the TIFF holds no image")


def _checked(tiff: Tiff, tags: Tags, number: int | None, max_megapixels: float) -> Page | BadPage:
    try:
        return page_of(tiff, tags, number, max_megapixels)
    except ImageFileError as error:
        return BadPage(number, str(error))


def _is_reduced(size: tuple[int, int], whole: tuple[int, int]) -> bool:
    """Return whether a page (width, height) is a pyramid level or a thumbnail of a whole one.

    Writers of pyramids do not always flag them.
    """
    if 0 in size or whole[0] < REDUCED * size[0]:
        return False
    # both sides are rounded to whole pixels
    return abs(size[0] * whole[1] - size[1] * whole[0]) <= whole[0] + whole[1]


@dataclass(frozen=True)
class _Fields:
    """A file whose metadata say what its pages are."""

    tiff: Tiff
    pages: Pages
    stack: Stack
    pixel: StatedPixel | None
    max_megapixels: float
    bit_depth: int
    choice: PlaneChoice

    def read(self) -> Iterator[Page | BadPage]:
        """Yield one page per field, then what could not be read."""
        stack = self.stack
        declared = 1 + max(plane.page for plane in stack.planes)
        pages = planes_after(self.tiff, self.pages[0], declared) if len(self.pages) == 1 else self.pages
        of_image: dict[int, list[Plane]] = {}
        for plane in stack.planes:
            of_image.setdefault(plane.image, []).append(plane)
        for image, channels in enumerate(stack.channels):
            mine = of_image.get(image, [])
            if not mine:
                continue
            try:
                selected = select_channels(channels, self.choice.channel)
            except ImageFileError as error:
                yield BadPage(mine[0].page if len(stack.channels) > 1 else None, str(error))
                continue
            yield from self._image(pages, mine, selected, channels)
        for number in sorted(set(range(len(pages))) - {plane.page for plane in stack.planes}):
            yield BadPage(number, "a page that the metadata of the TIFF do not describe")
        if declared > len(pages):
            yield BadPage(
                None,
                f"{declared - len(pages)} of its {declared} planes were not read: the file is truncated, or "
                "they are stored in a way that is not supported; save it as a TIFF with one page per plane",
            )

    def _image(
        self, pages: Pages, planes: list[Plane], selected: tuple[int, ...], channels: tuple[Channel, ...]
    ) -> Iterator[Page | BadPage]:
        """Yield one page per time of an image."""
        depth = 1 + max(plane.focus for plane in planes)
        chosen = (_channel_note(channels, selected), _focus_note(depth, self.choice.z))
        notes = (*filter(None, chosen), *self.choice.idle(channels, depth))
        fields: dict[int, dict[int, dict[int, Plane]]] = {}
        for plane in planes:
            if plane.page < len(pages) and (self.stack.in_samples or plane.channel in selected):
                fields.setdefault(plane.time, {}).setdefault(plane.focus, {})[plane.channel] = plane
        if not fields:
            held = list_channels(tuple(channels[k] for k in sorted({plane.channel for plane in planes})))
            yield BadPage(None, f"holds the channels {held} of a field, not the bright-field one")
        for places in fields.values():
            try:
                page = yield from self._sharpest(pages, self._wanted(places, depth), selected)
            except ImageFileError as error:
                yield BadPage(min(plane.page for plane in planes), str(error))
                continue
            if page:
                pixel = self.stack.pixel(planes[0].image) or self.pixel
                yield replace(page, notes=notes, pixel=pixel)

    def _wanted(self, places: Places, depth: int) -> Places:
        """Return the focal planes of a field among which the sharpest is looked for."""
        if depth == 1 or self.choice.z in (None, "sharpest"):
            return places
        focus = select_focus(depth, self.choice.z)
        return {focus: places[focus]} if focus in places else {}

    def _sharpest(
        self, pages: Pages, places: Places, selected: tuple[int, ...]
    ) -> Generator[BadPage, None, Page | None]:
        """Return the sharpest focal plane that can be read; yield those that cannot be."""
        best, sharpest = None, -1.0
        for colours in places.values():
            number = min(plane.page for plane in colours.values())
            try:
                tags = self._tags(pages, colours, selected)
                if tags is None:
                    continue  # reported as missing
                page = page_of(self.tiff, tags, number, self.max_megapixels)
                sharpness = _sharpness(page, self.bit_depth) if len(places) > 1 else 0.0
            except ImageFileError as error:
                yield BadPage(number, str(error))
                continue
            if sharpness > sharpest:
                best, sharpest = page, sharpness
        return best

    def _tags(self, pages: Pages, colours: Mapping[int, Plane], selected: tuple[int, ...]) -> Tags | None:
        """Return the tags of a page with the selected channels alone; None if one of them is missing."""
        if self.stack.in_samples:
            (plane,) = colours.values()
            return _with_samples(pages[plane.page], selected)
        if len(colours) < len(selected):
            return None
        return _merge_colours([pages[colours[channel].page] for channel in selected])


def _channel_note(channels: tuple[Channel, ...], selected: tuple[int, ...]) -> str:
    if len(channels) == 1 and channels[0].is_stain():
        stain = channels[0].name[:80]
        return f"the only channel of a file is called {stain}: if it is a stain, count other files"
    if len(selected) == len(channels):
        return ""
    return (
        f"of {len(channels)} channels of each field ({list_channels(channels)}) only "
        f"{name_channels(channels)[selected[0]][:80]} is counted; "
        "--channel chooses another"
    )


def _focus_note(depth: int, z: str | None) -> str:
    if depth == 1:
        return ""
    which = f"the {z or 'sharpest'}" if z in (None, "sharpest", "middle") else f"number {z}"
    return f"{which} of {depth} focal planes (Z) of each field is counted; --z chooses another"


def _with_samples(tags: Tags, selected: tuple[int, ...]) -> Tags:
    """Return the tags of a page with some of its separate samples; those of three are red, green and blue."""
    samples = first(tags, SAMPLES, 1)
    if first(tags, PLANAR, 1) != 2:
        raise ImageFileError("its channels are interleaved: save the bright-field channel alone")
    kept = tags | {
        SAMPLES: (_LONG, (len(selected),)),
        PHOTOMETRIC: (_LONG, (RGB if len(selected) == 3 else MIN_IS_BLACK,)),
        BITS: (_LONG, tags[BITS][1][:1] * len(selected)) if BITS in tags else (_LONG, (8,)),
    }
    for tag in block_tags(tags):
        places = tags[tag][1]
        each = len(places) // samples
        kept[tag] = (_LONG, tuple(place for k in selected for place in places[k * each : (k + 1) * each]))
    return {tag: value for tag, value in kept.items() if tag != EXTRA_SAMPLES}


def _merge_colours(pages: list[Tags]) -> Tags:
    """Return the tags of one page with a separate plane per colour; those of a single page as they are."""
    if len(pages) == 1:
        return pages[0]
    layouts = {read_layout(tags, np.inf) for tags in pages}
    if len(layouts) > 1 or layouts.pop().samples > 1:
        raise ImageFileError("its red, green and blue pages are stored in different ways: save them as RGB")
    merged = pages[0] | {SAMPLES: (_LONG, (3,)), PHOTOMETRIC: (_LONG, (RGB,)), PLANAR: (_LONG, (2,))}
    for tag in block_tags(pages[0]):
        merged[tag] = (_LONG, tuple(number for tags in pages for number in tags[tag][1]))
    return merged


def _sharpness(page: Page, bit_depth: int) -> float:
    """Return the variance of the Laplacian of the smoothed page."""
    smooth = cv2.GaussianBlur(decode_tiff(page.data, bit_depth), (0, 0), SMOOTHING_PX)
    return float(cv2.Laplacian(smooth, cv2.CV_16S).var())
