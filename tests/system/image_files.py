"""Image files in the variants that other programs write, each with its right grey levels.

``python -m tests.system.image_files FOLDER`` writes them with tifffile and Pillow, and with imagecodecs,
ImageMagick (``convert``) and ``ffmpeg`` where they are installed. Nothing of leuko is imported here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 37, 53
BT601 = (0.299, 0.587, 0.114)
LIST = "files.json"
LOSSLESS = 1.1
"""For grey levels are rounded, the weights of the colours too."""

LOSSY = 3.0
"""Grey levels that two decoders of the same lossy file may differ by."""

Array = NDArray[Any]


@dataclass(frozen=True)
class ImageFile:
    """A file of a format and a kind of pixels; these two decide whether it is read.

    Attributes
    ----------
    how : str
        Writer and layout, which must not matter.
    grey : str
        Name of a file with float64 grey levels [HEIGHT, WIDTH], 0 to 255; empty if it must be refused.
    tolerance : float
        Difference that a grey level may have.
    """

    name: str
    container: str
    kind: str
    how: str
    grey: str
    tolerance: float


class Folder:
    """Where the files are written, and the list of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[ImageFile] = []

    def next_path(self, suffix: str) -> Path:
        """Return the path of the next file."""
        return self.path / f"{len(self.files):04}{suffix}"

    def add(
        self, path: Path, container: str, kind: str, how: str, grey: Array | None, *, lossy: bool
    ) -> None:
        """List a file; a TIFF by its own tags, since some programs write another kind than asked for."""
        if container.startswith("TIFF") and not how.startswith("tifffile"):
            container, kind = tiff_kind(path)
        levels = "" if grey is None else f"{path.name}.npy"
        if grey is not None:
            np.save(self.path / levels, grey.astype(np.float64))
        self.files.append(ImageFile(path.name, container, kind, how, levels, LOSSY if lossy else LOSSLESS))


def tiff_kind(path: Path) -> tuple[str, str]:
    """Return the format and the kind of pixels that a TIFF's tags state."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        code, photometric = int(page.compression), int(page.photometric)
        bits, samples = page.bitspersample, page.samplesperpixel
        signed = {2: " signed", 3: " float"}.get(page.sampleformat, "")
    compression = TIFF_COMPRESSIONS.get(code, str(code))
    colour = {2: " RGB", 3: " palette", 5: " CMYK", 6: " YCbCr", 8: " CIELAB"}.get(photometric, " grey")
    alpha = " and alpha" if samples == (2 if colour == " grey" else 4) and colour != " CMYK" else ""
    white = ", 0 is white" if photometric == 0 else ""
    if bits == 1 and colour == " grey":
        colour = ""
    return f"TIFF, {compression}", f"{bits}-bit{signed or colour}{alpha}{white}"


def picture(samples: int) -> Array:
    """Return a smooth picture with noise, float64 [HEIGHT, WIDTH, samples], 0 to 1."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.stack([np.sin(x / (5 + k) + k) * np.cos(y / (7 - k)) for k in range(samples)], -1)
    clipped: Array = np.clip(waves * 0.4 + 0.5 + np.random.default_rng(0).normal(0, 0.02, waves.shape), 0, 1)
    return clipped


PALETTE = np.stack([np.arange(256) * (2 * k + 3) % 256 for k in range(3)], -1).astype(np.uint8)


def grey_of(samples: Array, top: float) -> Array:
    """Return samples [h, w] or [h, w, n] as grey levels, 0 to 255: BT.601 of colours, alpha ignored."""
    if samples.ndim == 3:
        samples = samples[..., :3] @ np.array(BT601) if samples.shape[2] > 2 else samples[..., 0]
    return samples * (255.0 / top)


TIFF_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT group 3",
    4: "CCITT group 4",
    5: "LZW",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32809: "ThunderScan",
    32946: "old deflate",
    34676: "SGI log",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
"""Tag 259 → name; of what Pillow, ImageMagick and ffmpeg write."""

# Kind of pixels → data type, samples per pixel, tifffile's photometric interpretation, extra samples.
TIFF_KINDS: dict[str, tuple[str, int, str, tuple[str, ...]]] = {
    "1-bit": ("bool", 1, "minisblack", ()),
    "1-bit, 0 is white": ("bool", 1, "miniswhite", ()),
    "8-bit grey": ("uint8", 1, "minisblack", ()),
    "8-bit grey, 0 is white": ("uint8", 1, "miniswhite", ()),
    "8-bit grey and alpha": ("uint8", 2, "minisblack", ("unassalpha",)),
    "8-bit palette": ("uint8", 1, "palette", ()),
    "8-bit RGB": ("uint8", 3, "rgb", ()),
    "8-bit RGB and alpha": ("uint8", 4, "rgb", ("unassalpha",)),
    "8-bit YCbCr": ("uint8", 3, "ycbcr", ()),
    "8-bit CMYK": ("uint8", 4, "separated", ()),
    "8-bit CIELAB": ("uint8", 3, "cielab", ()),
    "8-bit, 3 channels": ("uint8", 3, "minisblack", ("unspecified", "unspecified")),
    "16-bit grey": ("uint16", 1, "minisblack", ()),
    "16-bit grey, 0 is white": ("uint16", 1, "miniswhite", ()),
    "16-bit grey and alpha": ("uint16", 2, "minisblack", ("unassalpha",)),
    "16-bit RGB": ("uint16", 3, "rgb", ()),
    "16-bit RGB and alpha": ("uint16", 4, "rgb", ("assocalpha",)),
    "32-bit grey": ("uint32", 1, "minisblack", ()),
    "8-bit signed": ("int8", 1, "minisblack", ()),
    "16-bit signed": ("int16", 1, "minisblack", ()),
    "16-bit float": ("float16", 1, "minisblack", ()),
    "32-bit float": ("float32", 1, "minisblack", ()),
    "64-bit float": ("float64", 1, "minisblack", ()),
}
_REFUSED_KINDS = {"8-bit CMYK", "8-bit CIELAB", "8-bit, 3 channels", "32-bit grey"}
_COMMON = {"none": "none", "deflate": "adobe_deflate", "LZW": "lzw", "PackBits": "packbits"}
_OTHER = {
    "old deflate": "deflate",
    "CCITT group 4": "ccitt_t6",
    "JPEG": "jpeg",
    "JPEG 2000": "jpeg2000",
    "JPEG XL": "jpegxl",
    "JPEG XR": "jpegxr",
    "LERC": "lerc",
    "LZMA": "lzma",
    "PNG": "png",
    "WebP": "webp",
    "Zstandard": "zstd",
}
_LAYOUTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("strips of 10 rows", {"rowsperstrip": 10, "byteorder": "<"}),
    ("one strip, big-endian", {"byteorder": ">"}),
    ("tiles", {"tile": (16, 32), "byteorder": "<"}),
    ("tiles, big-endian BigTIFF", {"tile": (16, 32), "byteorder": ">", "bigtiff": True}),
)


def _tiffs(folder: Folder) -> None:
    """Write every compression of every kind of pixels, the common ones in every layout."""
    for kind, (compression, code) in product(TIFF_KINDS, (_COMMON | _OTHER).items()):
        dtype, samples, _, _ = TIFF_KINDS[kind]
        common = compression in _COMMON
        for (layout, options), planar, predictor in product(
            _LAYOUTS if common else _LAYOUTS[::2],
            ("contig", "separate") if samples > 1 and common else (None,),
            (False, True) if compression in ("deflate", "LZW") and dtype != "bool" else (False,),
        ):
            how = ", ".join(filter(None, ("tifffile", layout, planar, "predictor" if predictor else "")))
            settings = {"compression": code, "planarconfig": planar, "predictor": predictor} | options
            _write_tiff(folder, f"TIFF, {compression}", kind, how, settings)


def _write_tiff(folder: Folder, container: str, kind: str, how: str, settings: dict[str, Any]) -> None:
    dtype, samples, photometric, extra = TIFF_KINDS[kind]
    image, top = _samples(dtype, samples)
    if photometric == "ycbcr":  # of colours that exist
        image = np.asarray(Image.fromarray(image).convert("YCbCr"))
    if extra:
        settings["extrasamples"] = extra
    if photometric == "palette":
        settings["colormap"] = PALETTE.T.astype(np.uint16) * 257
    path = folder.next_path(".tif")
    planes = np.moveaxis(image, -1, 0) if settings["planarconfig"] == "separate" else image
    try:
        tifffile.imwrite(path, planes, photometric=photometric, metadata=None, **settings)
    except Exception:  # each codec refuses a variant that it lacks with an error of its own
        path.unlink(missing_ok=True)
        return
    lossy = settings["compression"] in ("jpeg", "jpeg2000", "jpegxl", "jpegxr", "webp")
    if lossy:
        image = tifffile.imread(path)
    grey: Array | None = grey_of(image, top)
    if photometric == "palette":
        grey = grey_of(PALETTE[image], 255)
    elif photometric == "miniswhite":
        grey = 255 - grey_of(image, top)
    elif (
        kind in _REFUSED_KINDS or (photometric == "ycbcr" and not lossy) or dtype.startswith(("int", "float"))
    ):
        grey = None
    folder.add(path, container, kind, how, grey, lossy=lossy)


def _samples(dtype: str, samples: int) -> tuple[Array, float]:
    """Return a picture of a data type, [h, w] or [h, w, samples], and the value of white."""
    values = picture(samples)
    values = values[..., 0] if samples == 1 else values
    if dtype == "bool":
        return values > 0.5, 1.0
    top = 1.0 if dtype.startswith("float") else float(np.iinfo(dtype).max)
    return (values * top if top == 1.0 else np.round(values * top)).astype(dtype), top


_PILLOW_KINDS = {  # of PIL.Image's modes
    "1": "1-bit",
    "L": "8-bit grey",
    "LA": "8-bit grey and alpha",
    "P": "8-bit palette",
    "RGB": "8-bit RGB",
    "RGBA": "8-bit RGB and alpha",
    "CMYK": "8-bit CMYK",
    "YCbCr": "8-bit YCbCr",
    "LAB": "8-bit CIELAB",
    "I;16": "16-bit grey",
    "I": "32-bit grey",
    "F": "32-bit float",
}
_PILLOW_TIFF = {
    "none": "raw",
    "deflate": "tiff_adobe_deflate",
    "old deflate": "tiff_deflate",
    "LZW": "tiff_lzw",
    "PackBits": "packbits",
    "JPEG": "jpeg",
    "CCITT RLE": "tiff_ccitt",
    "CCITT group 3": "group3",
    "CCITT group 4": "group4",
    "ThunderScan": "tiff_thunderscan",
    "SGI log": "tiff_sgilog",
    "LZMA": "lzma",
    "Zstandard": "zstd",
    "WebP": "webp",
}
_PILLOW_OTHERS: dict[str, tuple[str, bool, tuple[dict[str, Any], ...]]] = {
    "PNG": ("PNG", False, ({}, {"compress_level": 0}, {"optimize": True}, {"bits": 4}, {"transparency": 0})),
    "JPEG": (
        "JPEG",
        True,
        (
            {"restart_marker_rows": 1},
            {"optimize": True},
            *(
                {"quality": quality, "progressive": progressive, "subsampling": subsampling}
                for quality, progressive, subsampling in product((60, 95), (False, True), (0, 1, 2))
            ),
        ),
    ),
    "BMP": ("BMP", False, ({},)),
    "GIF": ("GIF", True, ({},)),
    "WebP": ("WEBP", True, ({}, {"lossless": True})),
    "JPEG 2000": ("JPEG2000", False, ({}, {"no_jp2": True})),
    "AVIF": ("AVIF", True, ({},)),
    "netpbm": ("PPM", False, ({},)),
    "Targa": ("TGA", False, ({}, {"compression": "tga_rle"})),
    "PCX": ("PCX", False, ({},)),
    "SGI": ("SGI", False, ({},)),
    "ICO": ("ICO", False, ({},)),
    "DDS": ("DDS", False, ({},)),
    "IM": ("IM", False, ({},)),
    "EPS": ("EPS", False, ({},)),
    "PDF": ("PDF", False, ({},)),
}


def _pillows(folder: Folder) -> None:
    """Write every format and mode of Pillow."""
    for mode, (compression, name) in product(_PILLOW_KINDS, _PILLOW_TIFF.items()):
        options = {"compression": name}
        _save(folder, f"TIFF, {compression}", mode, "TIFF", options, lossy=name in ("jpeg", "webp"))
    for mode, (container, (name, lossy, variants)) in product(_PILLOW_KINDS, _PILLOW_OTHERS.items()):
        for options in variants:
            _save(folder, container, mode, name, options, lossy=lossy)


def _save(
    folder: Folder, container: str, mode: str, pillow: str, options: dict[str, Any], *, lossy: bool
) -> None:
    path = folder.next_path("." + pillow.lower())
    image, grey = _pillow_image(mode)
    if options.get("bits"):
        if mode != "P":
            return
        # sixteen colours: the picture's upper half
        image, grey = image.point(lambda level: level >> 4), grey_of(PALETTE[np.asarray(image) >> 4], 255)
    try:
        image.save(path, pillow, **options)
        with Image.open(path) as again:
            same = again.size == image.size
            if lossy and grey is not None:
                grey = grey_of(np.asarray(again.convert("RGB")).astype(float), 255)
    except Exception:  # Pillow's writers refuse a variant that they lack with any error
        same = pillow in ("PDF", "EPS") and path.exists()
    if not same:
        path.unlink(missing_ok=True)
        return
    details = ", ".join(f"{key} {value}" for key, value in options.items() if key != "compression")
    how = f"Pillow, {details}" if details else "Pillow"
    folder.add(path, container, _PILLOW_KINDS[mode], how, grey, lossy=lossy)


def _pillow_image(mode: str) -> tuple[Image.Image, Array | None]:
    """Return a picture of a mode, and its grey levels if they must be read."""
    dtype = {"1": "bool", "I;16": "uint16", "I": "int32", "F": "float32"}.get(mode, "uint8")
    count = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3}.get(mode, 1)
    samples, top = _samples(dtype, count)
    grey = None if mode in ("CMYK", "LAB", "I", "F") else grey_of(samples, top)
    if mode == "P":
        image = Image.fromarray(samples, "L")
        image.putpalette(PALETTE.tobytes())
        return image, grey_of(PALETTE[samples], 255)
    if mode in ("CMYK", "LAB"):
        return Image.frombytes(mode, (WIDTH, HEIGHT), samples.tobytes()), None
    image = Image.fromarray(samples)
    return image.convert("YCbCr") if mode == "YCbCr" else image, grey


_MAGICK_TIFF = {
    "none": "None",
    "deflate": "Zip",
    "LZW": "LZW",
    "PackBits": "RLE",
    "JPEG": "JPEG",
    "CCITT group 3": "Fax",
    "CCITT group 4": "Group4",
    "LZMA": "LZMA",
    "Zstandard": "ZSTD",
    "WebP": "WebP",
}
# kind → data type, samples, options
_MAGICK_KINDS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "1-bit": ("bool", 1, ("-depth", "1", "-type", "Bilevel")),
    "8-bit grey": ("uint8", 1, ("-depth", "8", "-type", "Grayscale")),
    "8-bit RGB": ("uint8", 3, ("-depth", "8", "-type", "TrueColor")),
    "8-bit RGB and alpha": ("uint8", 4, ("-depth", "8", "-type", "TrueColorAlpha")),
    "16-bit grey": ("uint16", 1, ("-depth", "16", "-type", "Grayscale")),
    "16-bit RGB": ("uint16", 3, ("-depth", "16", "-type", "TrueColor")),
    "16-bit RGB and alpha": ("uint16", 4, ("-depth", "16", "-type", "TrueColorAlpha")),
    "8-bit CMYK": ("uint8", 3, ("-depth", "8", "-colorspace", "CMYK")),
}
_MAGICK_LAYOUTS: tuple[tuple[str, ...], ...] = (
    (),
    ("-endian", "MSB"),
    ("-define", "tiff:tile-geometry=16x16"),
    ("-define", "tiff:rows-per-strip=3"),
    ("-interlace", "plane"),
)
# format → suffixes, whether lossy
_MAGICK_OTHERS: dict[str, tuple[tuple[str, ...], bool]] = {
    "PNG": (("png", "png8", "png24", "png32", "png48", "png64"), False),
    "JPEG": (("jpg", "pjpeg"), True),
    "BMP": (("bmp", "bmp2", "bmp3"), False),
    "GIF": (("gif",), True),
    "WebP": (("webp",), True),
    "netpbm": (("pbm", "pgm", "ppm", "pam", "pfm"), False),
    "Targa": (("tga",), False),
    "PCX": (("pcx",), False),
    "SGI": (("sgi",), False),
    "ICO": (("ico",), False),
    "Photoshop": (("psd",), False),
    "DPX": (("dpx",), False),
    "FITS": (("fits",), False),
    "MIFF": (("miff",), False),
    "OpenEXR": (("exr",), False),
    "JPEG 2000": (("jp2", "j2k"), False),
}


def _magicks(folder: Folder) -> None:
    """Write every format and kind of ImageMagick."""
    if shutil.which("convert") is None or b"ImageMagick" not in _output("convert", "-version"):
        return
    for kind, (compression, name), layout in product(_MAGICK_KINDS, _MAGICK_TIFF.items(), _MAGICK_LAYOUTS):
        options = ("-compress", name, *layout)
        lossy = name in ("JPEG", "WebP")
        _magick(folder, f"TIFF, {compression}", kind, "tif", options, lossy=lossy)
    for kind, (container, (suffixes, lossy)) in product(_MAGICK_KINDS, _MAGICK_OTHERS.items()):
        for suffix, options in product(suffixes, ((), ("-interlace", "plane"))):
            if not options or container in ("PNG", "JPEG", "GIF"):
                _magick(folder, container, kind, suffix, options, lossy=lossy)


def _magick(
    folder: Folder, container: str, kind: str, suffix: str, options: tuple[str, ...], *, lossy: bool
) -> None:
    dtype, count, type_options = _MAGICK_KINDS[kind]
    image, top = _samples(dtype, count)
    source, path = folder.path / "source.tif", folder.next_path(f".{suffix}")
    photometric = "rgb" if count > 2 else "minisblack"
    alpha = {"extrasamples": ["unassalpha"]} if count == 4 else {}
    tifffile.imwrite(source, image, photometric=photometric, metadata=None, **alpha)
    written = f"{suffix}:{path}"
    done = subprocess.run(
        ["convert", str(source), *type_options, *options, written], capture_output=True, check=False
    )
    source.unlink()
    if done.returncode or not path.exists():
        path.unlink(missing_ok=True)
        return
    grey: Array | None = grey_of(image, top)
    stored = _magick_kind(path, suffix, kind)
    if lossy or stored != kind or suffix in ("png8", "bmp2"):  # fewer bits, or a palette of 256 colours
        again = subprocess.run(
            ["convert", written, "-depth", "16", "-endian", "LSB", "rgb:-"], capture_output=True, check=False
        ).stdout
        if len(again) != HEIGHT * WIDTH * 6:
            path.unlink()
            return
        grey = grey_of(np.frombuffer(again, "<u2").reshape(HEIGHT, WIDTH, 3), 65535)
    if "CMYK" in stored:
        grey = None
    folder.add(path, container, stored, " ".join(("ImageMagick", suffix, *options)), grey, lossy=lossy)


def _magick_kind(path: Path, suffix: str, asked: str) -> str:
    """Return the kind of pixels that a file really holds, which is not always the one asked for."""
    form = "%[channels] %[bit-depth] %r"
    words = _output("identify", "-format", form, f"{suffix}:{path}[0]").decode().split()
    if len(words) < 3:
        return asked
    channels, bits, stored = words[0].lower(), int(words[1]), words[2]
    if "cmyk" in channels:
        return f"{bits}-bit CMYK"
    if stored == "PseudoClass" and "gray" not in channels:
        return "8-bit palette"
    if bits == 1:
        return "1-bit"
    colour = "grey" if "gray" in channels else "RGB"
    return f"{bits}-bit {colour}{' and alpha' if channels.endswith('a') else ''}"


_FFMPEG_KINDS = {
    "monow": ("1-bit", "", 0),
    "gray": ("8-bit grey", "uint8", 1),
    "ya8": ("8-bit grey and alpha", "uint8", 2),
    "rgb24": ("8-bit RGB", "uint8", 3),
    "bgr24": ("8-bit RGB", "uint8", 3),
    "rgba": ("8-bit RGB and alpha", "uint8", 4),
    "bgra": ("8-bit RGB and alpha", "uint8", 4),
    "gray16be": ("16-bit grey", "uint16", 1),
    "gray16le": ("16-bit grey", "uint16", 1),
    "ya16be": ("16-bit grey and alpha", "uint16", 2),
    "rgb48be": ("16-bit RGB", "uint16", 3),
    "rgb48le": ("16-bit RGB", "uint16", 3),
    "rgba64be": ("16-bit RGB and alpha", "uint16", 4),
    "rgba64le": ("16-bit RGB and alpha", "uint16", 4),
}
# format → suffix, codec, whether lossy, options
_FFMPEG_FORMATS: tuple[tuple[str, str, str, bool, tuple[str, ...]], ...] = (
    *(
        (f"TIFF, {compression}", "tif", "tiff", False, ("-compression_algo", name))
        for compression, name in (
            *(("none", "raw"), ("deflate", "deflate"), ("LZW", "lzw"), ("PackBits", "packbits")),
        )
    ),
    ("PNG", "png", "png", False, ()),
    ("PNG", "png", "png", False, ("-pred", "paeth")),
    ("BMP", "bmp", "bmp", False, ()),
    ("netpbm", "pgm", "pgm", False, ()),
    ("netpbm", "ppm", "ppm", False, ()),
    ("netpbm", "pam", "pam", False, ()),
    ("Targa", "tga", "targa", False, ()),
    ("PCX", "pcx", "pcx", False, ()),
    ("SGI", "sgi", "sgi", False, ()),
    ("Sun raster", "sun", "sunrast", False, ()),
    ("DPX", "dpx", "dpx", False, ()),
    ("JPEG 2000", "jp2", "jpeg2000", False, ()),
    ("JPEG-LS", "jls", "jpegls", False, ()),
    ("GIF", "gif", "gif", True, ()),
    ("WebP", "webp", "libwebp", True, ("-lossless", "1")),
)


def _ffmpegs(folder: Folder) -> None:
    """Write every format and pixel layout of ffmpeg."""
    if shutil.which("ffmpeg") is None:
        return
    for (layout, (kind, dtype, count)), (container, suffix, codec, lossy, options) in product(
        _FFMPEG_KINDS.items(), _FFMPEG_FORMATS
    ):
        if dtype:
            image, top = _samples(dtype, count)
            raw = image[..., [2, 1, 0, 3][:count]] if layout.startswith("bgr") else image
            data = raw.astype(raw.dtype.newbyteorder(">" if layout.endswith("be") else "<")).tobytes()
            grey = grey_of(image, top)
        else:  # a set bit is black
            bits, _ = _samples("bool", 1)
            data, grey = np.packbits(~bits, axis=1).tobytes(), grey_of(bits, 1)
        path = folder.next_path(f".{suffix}")
        size = f"{WIDTH}x{HEIGHT}"
        source = ("-f", "rawvideo", "-pix_fmt", layout, "-s", size, "-i", "pipe:")
        target = ("-c:v", codec, "-pix_fmt", layout, *options, "-frames:v", "1", "-update", "1", str(path))
        done = subprocess.run(
            ["ffmpeg", "-loglevel", "warning", *source, *target], input=data, capture_output=True, check=False
        )
        # another layout than asked for is another kind of pixels
        if done.returncode or b"ncompatible" in done.stderr or not path.exists() or path.stat().st_size == 0:
            path.unlink(missing_ok=True)
            continue
        how = " ".join(("ffmpeg", layout, *options))
        folder.add(path, container, kind, how, None if lossy else grey, lossy=lossy)


def _output(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=False).stdout


LIBRARIES = (_tiffs, _pillows)
PROGRAMS = (_magicks, _ffmpegs)


def write_image_files(path: Path, writers: Iterable[Callable[[Folder], None]]) -> list[ImageFile]:
    """Write all files of some writers, and their list."""
    folder = Folder(path)
    for write in writers:
        write(folder)
    (path / LIST).write_text(json.dumps([asdict(file) for file in folder.files]))
    return folder.files


def read_list(path: Path) -> Iterator[ImageFile]:
    """Yield the files of a folder."""
    return (ImageFile(**values) for values in json.loads((path / LIST).read_text()))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    print(f"{len(write_image_files(place, (*LIBRARIES, *PROGRAMS)))} files")
