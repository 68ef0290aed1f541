"""TIFF variants as other programs write them: read as tifffile reads them, or refused by name."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from edge.base import FailedFrame, Frame
from edge.capture import Encoded, read_encoded, read_frames

HEIGHT, WIDTH = 37, 53
BT601 = (0.299, 0.587, 0.114)
KINDS = [("minisblack", 1), ("miniswhite", 1), ("rgb", 3), ("rgb", 4), ("minisblack", 2), ("palette", 1)]


def picture(bits: int, samples: int, seed: int = 0) -> NDArray[Any]:
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH, samples))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2).reshape(noise.shape)
    scaled = np.clip(smooth * 3 + 0.5, 0, 1) * (2**bits - 1)
    deep: NDArray[Any] = scaled.astype(np.uint8 if bits == 8 else np.uint16)
    return deep


def read(path: Path, bit_depth: int = 16) -> Frame | FailedFrame:
    (frame,) = read_frames([path], bit_depth=bit_depth)
    return frame


def expected(path: Path) -> NDArray[np.float64]:
    """Grey of the first page as tifffile reads it, unrounded."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        samples = page.asarray()
        top = np.iinfo(samples.dtype).max
        if page.photometric.name == "PALETTE":
            samples, top = np.moveaxis(np.asarray(page.colormap)[:, samples], 0, -1), 65535
        elif page.planarconfig == 2 and page.samplesperpixel > 1:
            samples = np.moveaxis(samples, 0, -1)
        if samples.ndim == 2:
            grey = samples.astype(float)
        else:
            grey = (
                samples[..., :3] @ np.array(BT601) if samples.shape[2] >= 3 else samples[..., 0].astype(float)
            )
        bright: NDArray[np.float64] = top - grey if page.photometric.name == "MINISWHITE" else grey
        return bright * (255 / top)


def variants(bits: int) -> Iterator[tuple[str, NDArray[Any], dict[str, Any]]]:
    rng = np.random.default_rng(bits)
    for (kind, samples), compression, tile, order in itertools.product(
        KINDS, ("none", "deflate", "differences"), (None, (16, 32)), "<>"
    ):
        if kind == "palette" and bits == 16:
            continue
        for planar in ("contig", "separate") if samples > 1 else (None,):
            image = picture(bits, samples)
            image = image[..., 0] if samples == 1 else image
            how: dict[str, Any] = {
                "photometric": kind,
                "planarconfig": planar,
                "compression": "none" if compression == "none" else "deflate",
            }
            how["predictor"] = compression == "differences"
            how |= {"tile": tile, "byteorder": order, "rowsperstrip": None if tile else 10}
            if kind == "palette":
                how["colormap"] = rng.integers(0, 256, (3, 256), dtype=np.uint16) * np.uint16(257)
            if samples in (2, 4):
                how["extrasamples"] = ["unassalpha"]
            name = f"{kind}{samples}-{planar}-{compression}-{'tiles' if tile else 'strips'}-{order}"
            yield name, np.moveaxis(image, -1, 0) if planar == "separate" else image, how


@pytest.mark.parametrize("bits", [8, 16])
def test_every_variant_is_read_as_tifffile_reads_it(tmp_path: Path, bits: int) -> None:
    wrong = {}
    for number, (name, image, how) in enumerate(variants(bits)):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, image, metadata=None, **how)
        frame = read(path)
        if isinstance(frame, FailedFrame):
            wrong[name] = frame.reason
        elif np.abs(frame.image - expected(path)).max() > 1:
            wrong[name] = "other pixels"
    assert not wrong


@pytest.mark.parametrize("step", [1, 256, 257])
def test_palettes_of_eight_and_sixteen_bits(tmp_path: Path, step: int) -> None:
    levels = np.arange(256)[::-1]
    image = picture(8, 1)[..., 0]
    colours = np.tile((levels * step).astype(np.uint16), (3, 1))
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="palette", colormap=colours, metadata=None)
    frame = read(tmp_path / "a.tif")
    assert isinstance(frame, Frame)
    np.testing.assert_array_equal(frame.image, 255 - image)


def test_pixels_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    for number, (_, image, how) in enumerate(itertools.islice(variants(16), 0, None, 3)):
        tifffile.imwrite(tmp_path / f"{number}.tif", image, metadata=None, **how)
    encoded = [item for item in read_encoded([tmp_path]) if isinstance(item, Encoded)]
    assert len(encoded) > 20
    pixels = set()
    for threads in (1, 2, 4):
        with ThreadPoolExecutor(threads) as pool:
            frames = list(pool.map(Encoded.decode, encoded))
        pixels.add(tuple(frame.image.tobytes() for frame in frames if isinstance(frame, Frame)))
    assert len(pixels) == 1


@pytest.mark.parametrize(("compression", "predictor"), [("tiff_lzw", 1), ("tiff_lzw", 2), ("packbits", 1)])
@pytest.mark.parametrize("shape", [(37, 53), (37, 53, 3), (36, 52), (1, 1)])
@pytest.mark.parametrize("rows_per_strip", [1, 10, 100])
def test_lzw_and_packbits_of_any_block_size_are_exact(
    tmp_path: Path, shape: tuple[int, ...], compression: str, predictor: int, rows_per_strip: int
) -> None:
    image = np.random.default_rng(1).integers(90, 120, shape, dtype=np.uint8)
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(
        path, compression=compression, tiffinfo={317: predictor, 278: rows_per_strip, 258: 8}
    )
    frame = read(path)
    assert isinstance(frame, Frame)
    grey = image if image.ndim == 2 else image @ np.array(BT601)
    assert np.abs(frame.image - grey).max() <= (0 if image.ndim == 2 else 1)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
@pytest.mark.parametrize("photometric", [0, 1])
def test_samples_packed_into_bytes(tmp_path: Path, bits: int, photometric: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH))
    binary = (values[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(binary.astype(np.uint8).reshape(HEIGHT, -1), axis=1)
    path = tmp_path / "a.tif"
    write_page(path, rows.tobytes(), {258: bits, 262: photometric})
    frame = read(path, bit_depth=12)
    assert isinstance(frame, Frame)
    grey = values * (255 / (2**bits - 1))
    assert np.abs(frame.image - (grey if photometric else 255 - grey)).max() <= 0.5


def write_page(path: Path, pixels: bytes, tags: dict[int, int]) -> None:
    """Write one strip after a directory of exactly these tags, over the defaults of an 8-bit grey page."""
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 279: len(pixels)} | tags
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + pixels)


@pytest.mark.parametrize("bit_depth", [12, 16])
def test_white_is_zero_at_sixteen_bits(tmp_path: Path, bit_depth: int) -> None:
    deep = np.random.default_rng(3).integers(0, 2**bit_depth, (HEIGHT, WIDTH), dtype=np.uint16)
    write_page(tmp_path / "black.tif", deep.tobytes(), {258: 16})
    write_page(tmp_path / "white.tif", deep.tobytes(), {258: 16, 262: 0})
    black, white = read(tmp_path / "black.tif", bit_depth), read(tmp_path / "white.tif", bit_depth)
    assert isinstance(black, Frame)
    assert isinstance(white, Frame)
    np.testing.assert_array_equal(white.image, 255 - black.image)


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_blocks_are_the_luma_of_their_colour(tmp_path: Path, colour: bool) -> None:
    image = cv2.GaussianBlur(picture(8, 3), (0, 0), 3)
    image = image if colour else image[..., 0]
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(path, compression="jpeg", quality=95, tiffinfo={278: 16})
    frame = read(path)
    assert isinstance(frame, Frame)
    decoded = np.asarray(Image.open(path).convert("RGB")) @ np.array(BT601)
    assert np.abs(frame.image - decoded).max() <= 3


def test_bits_stored_from_the_lowest_are_reversed(tmp_path: Path) -> None:
    image = picture(8, 1)[..., 0]
    reversed_bits = np.packbits(np.unpackbits(image[..., None], axis=2)[..., ::-1], axis=2)
    write_page(tmp_path / "a.tif", reversed_bits.tobytes(), {266: 2})
    frame = read(tmp_path / "a.tif")
    assert isinstance(frame, Frame)
    np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({259: 34712}, "JPEG 2000 compression (34712)"),
        ({259: 33003}, "JPEG 2000 compression (33003)"),
        ({259: 50002}, "JPEG XL compression (50002)"),
        ({259: 34933}, "PNG compression (34933)"),
        ({259: 50000}, "Zstandard compression (50000)"),
        ({259: 34925}, "LZMA compression (34925)"),
        ({259: 4}, "CCITT fax 4 compression (4)"),
        ({259: 6}, "the withdrawn JPEG compression (6)"),
        ({259: 777}, "unknown compression (777)"),
        ({262: 5, 277: 4}, "CMYK pixels"),
        ({262: 8, 277: 3}, "CIE L*a*b* pixels"),
        ({262: 6, 277: 3}, "YCbCr pixels"),
        ({262: 32803}, "colour filter array pixels"),
        ({258: 32}, "32 bits per sample"),
        ({339: 2}, "8-bit signed integer samples"),
        ({258: 32, 339: 3}, "32-bit floating-point samples"),
        ({259: 8, 317: 3}, "predictor 3"),
        ({277: 2}, "2 samples per pixel"),
        ({277: 5, 262: 2}, "5 samples per pixel"),
        ({259: 7, 258: 12}, "JPEG-compressed"),
        ({32997: 7}, "a volume in one page"),
    ],
)
def test_other_variants_are_refused_by_name(tmp_path: Path, tags: dict[int, int], words: str) -> None:
    write_page(tmp_path / "a.tif", bytes(WIDTH * HEIGHT * 8), tags)
    failed = read(tmp_path / "a.tif")
    assert isinstance(failed, FailedFrame)
    assert words in failed.reason
    assert "save" in failed.reason
    assert "\n" not in failed.reason


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits", "tiff_deflate", "jpeg"])
@pytest.mark.parametrize("width", [52, 53])
def test_a_block_with_too_few_pixels_is_refused(tmp_path: Path, compression: str, width: int) -> None:
    """Neither shown as black, nor as what the memory held."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, width), dtype=np.uint8)
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(path, compression=compression, tiffinfo={278: HEIGHT})
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        count = file.pages.first.tags[279]
        at, layout, value = count.valueoffset, "<H" if count.dtype == 3 else "<I", count.value[0]
    for kept in (value - 40, value // 2, 1):
        changed = bytearray(whole)
        struct.pack_into(layout, changed, at, kept)
        path.write_bytes(changed)
        failed = read(path)
        assert isinstance(failed, FailedFrame), kept
        assert "truncated" in failed.reason or "damaged" in failed.reason
