"""The size of a pixel that image files state, as several programs write it."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from edge.base import FailedFrame, StatedPixel
from edge.capture import agreed_pixel, contradiction, files_pixels, read_frames
from edge.capture.image_file import stated_pixels
from edge.capture.stated_pixel import MICROSCOPE_UM, unit_um
from edge.cli.options import quiet_libraries

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)


def stated(path: Path) -> StatedPixel | None:
    """Return what a frame and the file's header alone state: the same."""
    (frame,) = read_frames([path])
    assert not isinstance(frame, FailedFrame), frame
    assert files_pixels([path]) == {frame.pixel: 1}
    return frame.pixel


def assert_states(path: Path, um: float, source: str) -> None:
    pixel = stated(path)
    assert pixel is not None
    assert pixel.square
    assert pixel.um == pytest.approx(um, rel=1e-4)
    assert pixel.source == source


def write_ome(path: Path, attributes: str) -> None:
    ome = (
        f'<OME><Image><Pixels SizeX="32" SizeY="24" {attributes}><Channel/><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, IMAGE, description=ome.encode(), metadata=None)


@pytest.mark.parametrize(
    ("value", "unit", "um"),
    [
        ("0.275", None, 0.275),
        ("0.275", "µm", 0.275),
        ("0.275", "\u03bcm", 0.275),
        ("275", "nm", 0.275),
        ("2.75e-4", "mm", 0.275),
        ("2.75e-5", "cm", 0.275),
        ("2.75E-7", "m", 0.275),
        ("2750", "Å", 0.275),
        ("1.0826772e-5", "in", 0.275),
    ],
)
def test_ome_xml(tmp_path: Path, value: str, unit: str | None, um: float) -> None:
    units = "" if unit is None else f'PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    write_ome(tmp_path / "a.tif", f'PhysicalSizeX="{value}" PhysicalSizeY="{value}" {units}')
    assert_states(tmp_path / "a.tif", um, "OME-XML")


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        'PhysicalSizeX="0"',
        'PhysicalSizeX="-1" PhysicalSizeY="-1"',
        'PhysicalSizeX="NaN" PhysicalSizeY="inf"',
        'PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1" PhysicalSizeYUnit="pixel"',
        'PhysicalSizeX="1" PhysicalSizeXUnit="reference frame"',
        'PhysicalSizeX="300" PhysicalSizeY="300"',
        'PhysicalSizeX="a lot"',
    ],
)
def test_ome_xml_that_states_no_microscopes_pixel(tmp_path: Path, attributes: str) -> None:
    write_ome(tmp_path / "a.tif", attributes)
    assert stated(tmp_path / "a.tif") is None


def test_pixels_that_are_not_square_are_stated_as_such(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.tif", 'PhysicalSizeX="0.125" PhysicalSizeY="250" PhysicalSizeYUnit="nm"')
    pixel = stated(tmp_path / "a.tif")
    assert pixel is not None
    assert not pixel.square
    assert str(pixel) == "0.125 × 0.25 µm (OME-XML)"
    assert agreed_pixel({pixel: 3}) is None


@pytest.mark.parametrize(
    "unit",
    ["um", "µm", "\u03bcm", "micron", "microns", "Micron", "\\u00B5m", "micrometer", "micrometre", " um "],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_imagej_units(tmp_path: Path, unit: str, order: Any) -> None:
    description = f"ImageJ=1.54f\nunit={unit}\nmin=0.0\nmax=255.0\n".encode()
    tags = {"resolution": (1 / 0.275, 1 / 0.275), "resolutionunit": 1, "byteorder": order}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, description=description, metadata=None, **tags)
    assert_states(tmp_path / "a.tif", 0.275, "ImageJ")


@pytest.mark.parametrize(
    ("unit", "per_unit", "um"),
    [("nm", 1 / 275, 0.275), ("mm", 8000, 0.125), ("cm", 80_000, 0.125), ("inch", 203_200, 0.125)],
)
def test_imagej_other_lengths(tmp_path: Path, unit: str, per_unit: float, um: float) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", imagej=True) as file:
        file.write(IMAGE, resolution=(per_unit, per_unit), metadata={"unit": unit})
    assert_states(tmp_path / "a.tif", um, "ImageJ")


def test_imagej_latin_1(tmp_path: Path) -> None:
    """Older programs write the micro sign as one byte."""
    description = b"ImageJ=1.47\nunit=\xb5m\n"
    tifffile.imwrite(
        tmp_path / "a.tif", IMAGE, description=description, metadata=None, resolution=(4, 4), resolutionunit=1
    )
    assert_states(tmp_path / "a.tif", 0.25, "ImageJ")


@pytest.mark.parametrize("unit", ["pixel", "", "inch"])
def test_imagej_without_a_scale(tmp_path: Path, unit: str) -> None:
    """ImageJ writes 72 per inch, or 1 per pixel, of an image that nobody has calibrated."""
    density = 72 if unit == "inch" else 1
    tifffile.imwrite(
        tmp_path / "a.tif", IMAGE, imagej=True, resolution=(density, density), metadata={"unit": unit}
    )
    assert stated(tmp_path / "a.tif") is None


@pytest.mark.parametrize(("unit", "density"), [(3, 80_000), (2, 203_200)])
def test_resolution_tags(tmp_path: Path, unit: int, density: int) -> None:
    for kind, options in (("plain", {"metadata": None}), ("shaped", {}), ("big", {"bigtiff": True})):
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, IMAGE, resolution=(density, density), resolutionunit=unit, **options)
        assert_states(path, 0.125, "resolution tags")


@pytest.mark.parametrize("dpi", [1, 72, 96, 150, 300, 600, 1200, 2400, 4800, 9600])
def test_what_printers_and_scanners_write_is_no_microscopes_pixel(tmp_path: Path, dpi: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, resolution=(dpi, dpi), resolutionunit=2)
    write_png(tmp_path / "a.png", round(dpi / 0.0254))
    write_jpeg(tmp_path / "a.jpg", 1, dpi)
    write_bmp(tmp_path / "a.bmp", round(dpi / 0.0254))
    assert files_pixels([tmp_path]) == {None: 4}


def write_png(path: Path, per_metre: int, unit: int = 1) -> None:
    data = cv2.imencode(".png", IMAGE)[1].tobytes()
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, unit)
    path.write_bytes(
        data[:33] + struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
    )


def write_jpeg(path: Path, unit: int, density: int) -> None:
    data = bytearray(cv2.imencode(".jpg", IMAGE)[1].tobytes())
    assert data[6:11] == b"JFIF\0"
    data[13:18] = struct.pack(">BHH", unit, density, density)
    path.write_bytes(data)


def write_bmp(path: Path, per_metre: int) -> None:
    data = bytearray(cv2.imencode(".bmp", IMAGE)[1].tobytes())
    data[38:46] = struct.pack("<ii", per_metre, per_metre)
    path.write_bytes(data)


def test_png_jpeg_and_bmp(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", 8_000_000)
    write_jpeg(tmp_path / "a.jpg", 2, 40_000)
    write_bmp(tmp_path / "a.bmp", 8_000_000)
    assert_states(tmp_path / "a.png", 0.125, "pHYs")
    assert_states(tmp_path / "a.jpg", 0.25, "JPEG density")
    assert_states(tmp_path / "a.bmp", 0.125, "BMP resolution")
    write_png(tmp_path / "ratio.png", 8_000_000, unit=0)
    write_jpeg(tmp_path / "ratio.jpg", 0, 40_000)
    assert stated(tmp_path / "ratio.png") is None
    assert stated(tmp_path / "ratio.jpg") is None


def test_zeiss_lsm(tmp_path: Path) -> None:
    info = struct.pack("<7i", 0x4494C, 512, 32, 24, 1, 1, 1).ljust(40, b"\0") + struct.pack(
        "<2d", 1.6e-7, 1.6e-7
    )
    tifffile.imwrite(
        tmp_path / "a.lsm", IMAGE, extratags=[(34412, 1, 512, info.ljust(512, b"\0"), True)], metadata=None
    )
    assert_states(tmp_path / "a.lsm", 0.16, "LSM")


@pytest.mark.parametrize("calibrated", [1, 0])
def test_metamorph_stk(tmp_path: Path, calibrated: int) -> None:
    path = tmp_path / "a.stk"
    facts = [3, calibrated, 4, 0xAAAAAAAA, 5, 0xAAAAAAAA, 6, 0xBBBBBBBB]
    path.write_bytes(_stk(facts))
    if calibrated:
        assert_states(path, 0.3225, "MetaMorph")
    else:
        assert stated(path) is None


def _stk(facts: list[int]) -> bytes:
    """Return a page with the tag UIC1, whose values stand behind the page."""
    height, width = IMAGE.shape
    pixels, at = IMAGE.tobytes(), 8 + IMAGE.size
    ratio, unit = struct.pack("<2I", 3225, 10_000), struct.pack("<I", 3) + b"um\0\0"
    facts = [{0xAAAAAAAA: at, 0xBBBBBBBB: at + 8}.get(fact, fact) for fact in facts]
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, height * width)]
    fields += [(33628, 4, len(facts) // 2, at + 16)]
    body = pixels + ratio + unit + struct.pack(f"<{len(facts)}I", *facts)
    directory = b"".join(struct.pack("<HHII", *field) for field in fields)
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(body))
        + body
        + struct.pack("<H", len(fields))
        + directory
        + bytes(4)
    )


@pytest.mark.parametrize(
    ("description", "source", "um"),
    [
        (
            '<MetaData><prop id="spatial-calibration-state" type="bool" value="on"/>'
            '<prop id="spatial-calibration-x" type="float" value="0.1075"/>'
            '<prop id="spatial-calibration-y" type="float" value="0.1075"/>'
            '<prop id="spatial-calibration-units" type="string" value="um"/></MetaData>',
            "MetaMorph",
            0.1075,
        ),
        ("Aperio Image Library v11.2.1\r\n46000x32914 -> 32x24|AppMag = 20|MPP = 0.4990", "Aperio", 0.499),
    ],
)
def test_other_descriptions(tmp_path: Path, description: str, source: str, um: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, description=description, metadata=None)
    assert_states(tmp_path / "a.tif", um, source)


@pytest.mark.parametrize(("key", "value"), [("PixelSizeUm", 0.1083), ("PixelSize_um", 0.1083)])
def test_micro_manager(tmp_path: Path, key: str, value: float) -> None:
    tag = f'{{"Binning": "1", "{key}": {value}, "Width": 32}}'
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=[(51123, "s", 0, tag, True)], metadata=None)
    assert_states(tmp_path / "a.tif", value, "Micro-Manager")


def test_metadata_come_before_resolution_tags(tmp_path: Path) -> None:
    ome = '<OME><Image><Pixels PhysicalSizeX="0.2"><Channel/><TiffData/></Pixels></Image></OME>'
    tifffile.imwrite(
        tmp_path / "a.tif",
        IMAGE,
        description=ome,
        metadata=None,
        resolution=(80_000, 80_000),
        resolutionunit=3,
    )
    assert_states(tmp_path / "a.tif", 0.2, "OME-XML")


def test_images_of_one_file_have_pixels_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for um in (0.2, 0.4):
            file.write(IMAGE, metadata={"PhysicalSizeX": um, "PhysicalSizeY": um})
    frames = [frame for frame in read_frames([path]) if not isinstance(frame, FailedFrame)]
    assert [frame.pixel and frame.pixel.um for frame in frames] == [0.2, 0.4]
    assert files_pixels([path]) == {frame.pixel: 1 for frame in frames}


def test_what_is_no_image_states_nothing(tmp_path: Path) -> None:
    """Only images and videos can disagree; damaged files are reported when they are read."""
    (tmp_path / "notes.tif").write_text("II, a note")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0\xff")
    (tmp_path / "empty.png").touch()
    (tmp_path / "film.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST")
    assert files_pixels([tmp_path, tmp_path / "missing.png"]) == {None: 1}


@pytest.mark.parametrize(
    "tag", [(282, 5, 1, struct.pack("<2I", 1, 0)), (282, 2, 4, b"fine"), (51123, 2, 4, b"\xff{}\0")]
)
def test_a_scale_that_cannot_be_read_hides_no_picture(tmp_path: Path, tag: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=[(*tag, True)], metadata=None)
    assert stated(tmp_path / "a.tif") is None


@given(st.sampled_from([write_png, write_bmp]), st.floats(MICROSCOPE_UM[0] * 1.001, MICROSCOPE_UM[1] * 0.999))
def test_a_density_gives_back_the_pixel(write: Callable[[Path, int], None], um: float) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder) / "a", round(1e6 / um))
        (pixel,) = stated_pixels(io.BytesIO((Path(folder) / "a").read_bytes()))
    assert pixel is not None
    assert pixel.um == pytest.approx(um, rel=1e-5)


@given(st.dictionaries(st.sampled_from([0.1, 0.1005, 0.102, 0.2, None]), st.integers(1, 9), min_size=1))
def test_only_what_all_files_state_is_agreed(sizes: dict[float | None, int]) -> None:
    counts = {um if um is None else StatedPixel(um, um, "OME-XML"): n for um, n in sizes.items()}
    agreed = agreed_pixel(Counter(counts))
    known = [um for um in sizes if um is not None]
    if None in sizes or max(known) > 1.01 * min(known):
        assert agreed is None
    else:
        assert agreed is not None
        assert min(known) <= agreed.um <= max(known)
        assert contradiction(Counter(counts), agreed.um, "") == ""


@given(st.floats(0.02, 2), st.floats(0.02, 2))
def test_a_contradiction_does_not_depend_on_which_is_which(first: float, second: float) -> None:
    there, back = (
        contradiction({StatedPixel(a, a, "ImageJ"): 1}, b, "from --pixel-um")
        for a, b in ((first, second), (second, first))
    )
    assert bool(there) == bool(back) == (max(first, second) / min(first, second) > 1.05)
    if there:
        assert f"{first:.4g} µm (ImageJ)" in there
        assert f"{second:.4g} µm that is used" in there


def test_units_that_are_no_length() -> None:
    assert [unit_um(unit) for unit in ("pixel", "pixels", "", "px", "a.u.", "sec")] == [None] * 6


def test_mutated_scales_never_raise(tmp_path: Path) -> None:
    """A picture is read or refused whatever its metadata say, and its header alone never fails."""
    facts = [3, 1, 4, 0xAAAAAAAA, 5, 0xAAAAAAAA, 6, 0xBBBBBBBB]
    info = struct.pack("<7i", 0x4494C, 512, 32, 24, 1, 1, 1).ljust(40, b"\0") + struct.pack("<2d", 1e-7, 1e-7)
    tifffile.imwrite(tmp_path / "lsm", IMAGE, extratags=[(34412, 1, 512, info.ljust(512, b"\x08"), True)])
    tifffile.imwrite(
        tmp_path / "imagej",
        np.stack([IMAGE] * 2),
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "CYX", "unit": "um", "Labels": ["BF", "DAPI"]},
    )
    write_png(tmp_path / "png", 8_000_000)
    write_jpeg(tmp_path / "jpg", 2, 40_000)
    write_bmp(tmp_path / "bmp", 8_000_000)
    originals = [path.read_bytes() for path in sorted(tmp_path.iterdir())] + [_stk(facts)]
    rng, path = np.random.default_rng(14), tmp_path / "mutated"
    with quiet_libraries():
        for k in range(600):
            content = bytearray(originals[k % len(originals)])
            for _ in range(rng.integers(1, 6)):
                place = int(rng.integers(0, min(len(content), 700))) * int(rng.choice([-1, 1]))
                content[place] = int(rng.choice([0, 1, 255, rng.integers(256)]))
            path.write_bytes(content[: rng.integers(8, len(content))] if k % 9 == 0 else content)
            assert files_pixels([path]).total() <= 2
            assert list(read_frames([path], max_megapixels=1.0))
