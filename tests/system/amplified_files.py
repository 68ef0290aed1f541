"""Small files that ask for much: each declares, shares or inflates far more than it holds."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

Tag = tuple[int, int, int, int]
"""Number, type, count, and value or place."""


def _directory(tags: list[Tag], following: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _tags(width: int, height: int, strip: int, length: int, compression: int = 8) -> list[Tag]:
    values = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: strip, 277: 1, 278: height}
    return [(tag, 4, 1, value) for tag, value in (values | {279: length}).items()]


def _bomb(megabytes: int) -> bytes:
    """Return a zlib stream of so much black: one flushed block, again and again."""
    deflate, adler = zlib.compressobj(9, wbits=-15), 1
    deflate.compress(bytes(1 << 20)), deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    for _ in range(megabytes):
        adler = zlib.adler32(bytes(1 << 20), adler)
    return b"\x78\xda" + block * megabytes + b"\x03\0" + struct.pack(">I", adler)


def pages_of_one_strip(pages: int = 2000, side: int = 4000, *, noise: int = 0) -> bytes:
    """Return a TIFF whose pages share one strip; its first `noise` rows cannot be compressed."""
    rows = np.zeros((side, side), np.uint8)
    rows[:noise] = np.random.default_rng(0).integers(0, 256, (noise, side), np.uint8)
    strip = zlib.compress(rows.tobytes(), 9)
    content, at = [b"II*\0" + struct.pack("<I", 8 + len(strip)), strip], 8 + len(strip)
    for page in range(pages):
        at += 2 + 12 * 9 + 4
        content.append(_directory(_tags(side, side, 8, len(strip)), at if page < pages - 1 else 0))
    return b"".join(content)


def inflating_strip(megabytes: int = 3000) -> bytes:
    """Return a TIFF of 64 x 64 px whose strip inflates to so much."""
    strip = _bomb(megabytes)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + _directory(_tags(64, 64, 8, len(strip)), 0)


def overlapping_directories(number: int = 2000, tags: int = 60_000) -> bytes:
    """Return a TIFF with directories of many entries, each beginning four bytes after the one before."""
    content = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(4 * number + 12 * tags + 64))
    for k in range(number):
        struct.pack_into("<H", content, 8 + 4 * k, tags)
        end = 8 + 4 * k + 2 + 12 * tags
        struct.pack_into("<I", content, end, 8 + 4 * (k + 1))
    return bytes(content)


def wide_tiles(width: int = 1, height: int = 60_000, side: int = 90_000_000) -> bytes:
    """Return a TIFF of one column whose tiles are one row high and very wide, all the same."""
    tile = zlib.compress(bytes(side), 9)
    places = struct.pack("<I", 8) * height
    counts = struct.pack("<I", len(tile)) * height
    start = 8 + len(tile)
    tags = [(tag, 4, 1, value) for tag, value in ((256, width), (257, height), (258, 8), (259, 8))]
    tags += [(262, 4, 1, 1), (277, 4, 1, 1), (322, 4, 1, side), (323, 4, 1, 1)]
    tags += [(324, 4, height, start), (325, 4, height, start + len(places))]
    directory = _directory(tags, 0)
    head = b"II*\0" + struct.pack("<I", start + len(places) + len(counts))
    return head + tile + places + counts + directory


def tiny_blocks(width: int = 1, height: int = 1_000_000) -> bytes:
    """Return a TIFF of a million strips of one pixel, whose places and lengths are one table."""
    table = struct.pack("<H", 1) * height
    tags = [tag for tag in _tags(width, height, 8, 0, 1) if tag[0] not in (273, 278, 279)]
    tags += [(273, 3, height, 8), (279, 3, height, 8), (278, 4, 1, 1)]
    return b"II*\0" + struct.pack("<I", 8 + len(table)) + table + _directory(tags, 0)


def _described(text: str) -> bytes:
    strip, words = zlib.compress(bytes(64 * 64)), text.encode() + b"\0"
    tags = [*_tags(64, 64, 8, len(strip)), (270, 2, len(words), 8 + len(strip))]
    head = b"II*\0" + struct.pack("<I", 8 + len(strip) + len(words))
    return head + strip + words + _directory(tags, 0)


def entities() -> bytes:
    """Return an OME-TIFF whose XML declares entities of entities."""
    declared = '<!ENTITY a0 "aaaaaaaaaa">'
    declared += "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    return _described(f'<?xml version="1.0"?><!DOCTYPE OME [{declared}]><OME><Image Name="&a9;"/></OME>')


def ome_planes(elements: int = 100_000) -> bytes:
    """Return an OME-TIFF with a million planes in each of many elements."""
    data = '<TiffData IFD="0" PlaneCount="90000"/>' * elements
    return _described(f'<OME><Image><Pixels SizeC="1" SizeZ="1" SizeT="90000">{data}</Pixels></Image></OME>')


def ome_images(images: int = 90_000) -> bytes:
    """Return an OME-TIFF of many images with one plane each."""
    image = '<Pixels SizeC="3"><TiffData IFD="0"/></Pixels>'
    return _described(f"<OME>{image * images}</OME>")


def ome_channels() -> bytes:
    """Return an OME-TIFF of channels with endless names."""
    channels = f'<Channel Name="{"x" * 1000}"/>' * 3000
    return _described(f'<OME><Image><Pixels SizeC="3000">{channels}<TiffData/></Pixels></Image></OME>')


def ome_bare_channels(images: int = 4000) -> bytes:
    """Return an OME-TIFF of many images that state many channels and describe none."""
    bare = '<Pixels SizeC="100000"/>' * images
    return _described(f'<OME><Pixels SizeC="1"><TiffData IFD="0"/></Pixels>{bare}</OME>')


def imagej_strips(strips: int = 20_000, images: int = 60_000) -> bytes:
    """Return an ImageJ stack of one directory whose strips are empty, but for the last one."""
    words = f"ImageJ=1.53\nimages={images}\nframes={images}\n".encode() + b"\0"
    counts = struct.pack(f"<{strips}H", *[0] * (strips - 1), 1)
    places = struct.pack(f"<{strips}I", *[8] * strips)
    tags = [tag for tag in _tags(16, strips, 0, 0, 1) if tag[0] not in (273, 278, 279)]
    start = 8 + images + images % 2
    tags += [(278, 4, 1, 1), (270, 2, len(words), start), (273, 4, strips, start + len(words))]
    tags += [(279, 3, strips, start + len(words) + len(places))]
    body = words + places + counts
    head = b"II*\0" + struct.pack("<I", start + len(body))
    return head + bytes(start - 8) + body + _directory(tags, 0)


def ome_distant_page(pages: int = 4_900_000) -> bytes:
    """Return an OME-TIFF of one byte of pixels, whose metadata state a page far behind the first."""
    far = f'<TiffData IFD="0"/><TiffData FirstT="1" IFD="{pages}"/>'
    words = f'<OME><Image><Pixels SizeC="1" SizeZ="1" SizeT="2">{far}</Pixels></Image></OME>'.encode() + b"\0"
    tags = [*_tags(1, 1, 8, 1, 1), (270, 2, len(words), 8 + pages)]
    return b"II*\0" + struct.pack("<I", 8 + pages + len(words)) + bytes(pages) + words + _directory(tags, 0)


def empty_directories(number: int = 800_000) -> bytes:
    """Return a TIFF of so many directories without a tag."""
    places = (8 + 6 * k for k in range(1, number + 1))
    chain = b"".join(struct.pack("<HI", 0, place if k < number else 0) for k, place in enumerate(places, 1))
    return b"II*\0" + struct.pack("<I", 8) + chain


def metaseries(number: int = 100_000) -> bytes:
    """Return a TIFF whose description makes a search go back and forth."""
    return _described("<MetaData>" + '<prop id="spatial-calibration-x"' * number)


def nested_json(depth: int = 1_000_000) -> bytes:
    """Return a TIFF of deeply nested JSON."""
    return _described('{"shape": ' + "[" * depth)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(
    width: int, height: int, bits: int, colour: int, data: bytes, *others: bytes, interlaced: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    chunks = (_chunk(b"IHDR", header), *others, _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_profile_bomb(megabytes: int = 1000) -> bytes:
    """Return a PNG whose colour profile and text inflate to so much."""
    bomb = _bomb(megabytes)
    data = zlib.compress(bytes(65 * 64))
    return _png(64, 64, 8, 0, data, _chunk(b"iCCP", b"p\0\0" + bomb), _chunk(b"zTXt", b"t\0\0" + bomb))


def png_data_bomb(megabytes: int = 4000) -> bytes:
    """Return a PNG of 64 x 64 px whose pixels inflate to so much."""
    return _png(64, 64, 8, 0, _bomb(megabytes))


def large_png(side: int, *, interlaced: bool = False) -> bytes:
    """Return a PNG of 16-bit RGBA, black."""
    deflate = zlib.compressobj(9)
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    rows = (
        bytes(1 + 8 * -(-(side - x) // across))
        for x, y, across, down in (passes if interlaced else [(0, 0, 1, 1)])
        for _ in range(y, side, down)
    )
    data = b"".join(map(deflate.compress, rows)) + deflate.flush()
    return _png(side, side, 16, 6, data, interlaced=int(interlaced))


def many_scans(scans: int = 20_000, side: int = 4000) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), 128, np.uint8)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:-2] + scan * min(scans, 4_000_000 // len(scan)) + data[-2:]


def large_jpeg(side: int) -> bytes:
    """Return a progressive colour JPEG without subsampling, grey."""
    buffer, colour = io.BytesIO(), np.full((side, side, 3), 128, np.uint8)
    Image.fromarray(colour).save(buffer, "JPEG", progressive=True, subsampling=0, quality=30)
    return buffer.getvalue()


def large_bmp(side: int) -> bytes:
    """Return a run-length encoded BMP without a single run."""
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + bytes(1024) + b"\0\1"


def large_tiff(side: int, pages: int = 1) -> bytes:
    """Return a TIFF of 16-bit RGB with pages of one strip each, black."""
    deflate = zlib.compressobj(9)
    strip = b"".join(deflate.compress(bytes(6 * side)) for _ in range(side)) + deflate.flush()
    content, at = [b"II*\0\x08\0\0\0"], 8
    for page in range(pages):
        place = at + 2 + 12 * 10 + 4
        tags = [tag for tag in _tags(side, side, place + 6, len(strip)) if tag[0] not in (258, 262, 277)]
        tags += [(258, 3, 3, place), (262, 4, 1, 2), (277, 4, 1, 3), (284, 4, 1, 1)]
        at = place + 6 + len(strip)
        content += [_directory(tags, at if page < pages - 1 else 0), struct.pack("<3H", 16, 16, 16), strip]
    return b"".join(content)


def one_strip(side: int, bits: int, samples: int, compression: int) -> bytes:
    """Return a black TIFF of one strip: deflate (8), PackBits (32773), or LZW (5) that ends at once."""
    row = -(-side * bits * samples // 8)
    if compression == 8:
        deflate = zlib.compressobj(9)
        strip = b"".join(deflate.compress(bytes(row)) for _ in range(side)) + deflate.flush()
    else:
        strip = b"\x81\0" * -(-row * side // 128) if compression == 32773 else b"\x80\x40\x40"
    ours = {258: bits, 259: compression, 262: 1 if samples == 1 else 2, 277: samples, 284: 1}
    tags = [tag for tag in _tags(side, side, 8, len(strip)) if tag[0] not in ours]
    tags += [(tag, 4, 1, value) for tag, value in ours.items()]
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + _directory(tags, 0)


def crowd(side: int = 5000, period: int = 62) -> bytes:
    """Return a PNG full of rings as large as cells."""
    ring = cv2.circle(np.full((period, period), 128, np.uint8), (period // 2, period // 2), 20, (40,), 4)
    return cv2.imencode(".png", np.tile(ring, (side // period,) * 2))[1].tobytes()


def outlines(side: int = 7000, step: int = 100) -> bytes:
    """Return a PNG of rings inside rings."""
    image = np.full((side, side), 128, np.uint8)
    for radius in range(step, side // 2, step):
        cv2.circle(image, (side // 2, side // 2), radius, (40,), 8)
    return cv2.imencode(".png", image)[1].tobytes()


def repeated_video(packets: int = 20_000, side: int = 2000, *, broken: bool = False) -> bytes:
    """Return an AVI whose index names the same picture again and again, or whose others are `broken`."""
    picture = cv2.imencode(".jpg", np.full((side, side), 128, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 20])[
        1
    ].tobytes()
    picture += bytes(len(picture) % 2)
    stream = struct.pack(
        "<4s4sIHHIIIIIIIIHHHH", b"vids", b"MJPG", 0, 0, 0, 0, 1, 25, 0, packets, 0, 0, 0, 0, 0, side, side
    )
    form = struct.pack("<IiiHH4sIiiII", 40, side, side, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    main = struct.pack("<14I", 40_000, 0, 0, 16, packets, 0, 1, 0, side, side, 0, 0, 0, 0)

    def part(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body

    streams = part(b"LIST", b"strl" + part(b"strh", stream) + part(b"strf", form))
    head = part(b"LIST", b"hdrl" + part(b"avih", main) + streams)
    index = struct.pack("<4sIII", b"00dc", 16, 4, len(picture)) * packets
    movie, tail = part(b"00dc", picture), part(b"idx1", index)
    if broken:
        movie, tail = movie + part(b"00dc", b"\xff\xd8") * packets, b""
    body = b"AVI " + head + part(b"LIST", b"movi" + movie) + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


KINDS: dict[str, Callable[[], bytes]] = {
    "pages.tif": pages_of_one_strip,
    "noisy-pages.tif": lambda: pages_of_one_strip(2000, 1000, noise=1000),
    "strip.tif": inflating_strip,
    "directories.tif": overlapping_directories,
    "tiles.tif": wide_tiles,
    "blocks.tif": tiny_blocks,
    "entities.ome.tif": entities,
    "planes.ome.tif": ome_planes,
    "images.ome.tif": ome_images,
    "channels.ome.tif": ome_channels,
    "bare-channels.ome.tif": ome_bare_channels,
    "empty-strips.tif": imagej_strips,
    "distant-page.ome.tif": ome_distant_page,
    "empty-directories.tif": empty_directories,
    "metaseries.tif": metaseries,
    "json.tif": nested_json,
    "profile.png": png_profile_bomb,
    "data.png": png_data_bomb,
    "large.png": lambda: large_png(5000),
    "interlaced.png": lambda: large_png(5000, interlaced=True),
    "huge.png": lambda: large_png(9900),
    "scans.jpg": many_scans,
    "large.jpg": lambda: large_jpeg(5000),
    "huge.jpg": lambda: large_jpeg(9900),
    "large.bmp": lambda: large_bmp(5000),
    "large.tif": lambda: large_tiff(5000),
    "large-pages.tif": lambda: large_tiff(5000, 20),
    "largest.png": lambda: large_png(7000),
    "largest.jpg": lambda: large_jpeg(7000),
    "largest.tif": lambda: one_strip(7000, 16, 3, 8),
    "largest-packbits.tif": lambda: one_strip(4000, 16, 3, 32773),
    "largest-lzw.tif": lambda: one_strip(7000, 16, 3, 5),
    "largest-bits.tif": lambda: one_strip(7000, 1, 1, 8),
    "crowd.png": crowd,
    "outlines.png": outlines,
    "repeated.avi": repeated_video,
    "broken.avi": lambda: repeated_video(300_000, 200, broken=True),
}
"""Name of a file → what makes it: at most 5 MB each."""
