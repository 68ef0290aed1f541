"""Pages of a TIFF that are channels, focal planes or times of a field."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from edge.base import FailedFrame, Frame
from edge.capture import PlaneChoice, read_frames
from edge.capture.planes import Channel
from edge.capture.tiff_fields import SMALLER_COPIES
from edge.cli.options import quiet_libraries

SHAPE = (37, 53)
FIELDS = [
    np.clip(cv2.GaussianBlur(np.random.default_rng(k).normal(0, 1, SHAPE), (0, 0), 1) * 200 + 128, 0, 255)
    .astype(np.uint8)
    for k in range(6)
]  # fmt: skip
FOCUS = [cv2.GaussianBlur(FIELDS[0], (0, 0), sigma) if sigma else FIELDS[0] for sigma in (3, 1.5, 0, 1.5)]


def read(path: Path, **choice: str) -> list[Frame | FailedFrame]:
    return list(read_frames([path], planes=PlaneChoice(**choice)))


def assert_fields(path: Path, pages: Sequence[int], images: Sequence[Any], **choice: str) -> None:
    frames = read(path, **choice)
    assert [frame.name for frame in frames] == [f"{path}#{page}" for page in pages]
    for frame, image in zip(frames, images, strict=True):
        assert isinstance(frame, Frame), frame
        np.testing.assert_array_equal(frame.image, image)


def assert_refused(path: Path, *words: str, **choice: str) -> None:
    (failed,) = read(path, **choice)
    assert isinstance(failed, FailedFrame), failed
    assert all(word in failed.reason for word in words), failed.reason
    assert "\n" not in failed.reason


def write(path: Path, images: Sequence[Any], axes: str, kind: str, names: Sequence[str] = ()) -> None:
    sizes: dict[str, Any] = {"axes": axes} | ({"Channel": {"Name": list(names)}} if names else {})
    tifffile.imwrite(
        path,
        np.array(images),
        photometric="minisblack",
        metadata=sizes,
        ome=kind == "ome",
        imagej=kind == "imagej",
    )


@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped"])
def test_times_are_fields(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    write(path, FIELDS[:3], "TYX", kind)
    assert_fields(path, range(3), FIELDS[:3])


@pytest.mark.parametrize("kind", ["ome", "shaped"])
def test_of_focal_planes_the_sharpest_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    write(path, FOCUS, "ZYX", kind)
    assert_fields(path, [2], [FOCUS[2]])


def test_slices_of_an_imagej_hyperstack_are_focal_planes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([FOCUS, FOCUS[::-1]]), imagej=True, metadata={"axes": "TZYX"})
    assert_fields(path, [2, 5], [FOCUS[2], FOCUS[2]])


def test_slices_of_a_plain_imagej_stack_are_refused(tmp_path: Path) -> None:
    described = "ImageJ=1.54f\nimages=3\nslices=3\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for field in FIELDS[:3]:
            file.write(field, description=described, metadata=None)
    assert_refused(tmp_path / "a.tif", "3 slices", "enter them as frames", "--z sharpest")


@pytest.mark.parametrize(
    ("names", "chosen"), [(("BF", "DAPI"), 0), (("Hoechst", "Trans_Light", "FITC"), 1), (("DAPI", "bf_1"), 1)]
)
def test_the_channel_named_as_bright_field_stands_for_the_field(
    tmp_path: Path, names: Sequence[str], chosen: int
) -> None:
    path, count = tmp_path / "a.ome.tif", len(names)
    write(path, [FIELDS[:count], FIELDS[3 : 3 + count]], "TCYX", "ome", names)
    names_read = [chosen, count + chosen]
    assert_fields(path, names_read, [FIELDS[chosen], FIELDS[3 + chosen]])


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        (
            "ome",
            ("DAPI", "FITC"),
            ("2 channels", "DAPI, FITC", "--channel", "save the bright-field channel alone"),
        ),
        ("ome", ("BF 1", "BF 2"), ("2 channels", "BF 1, BF 2")),
        ("imagej", (), ("2 channels", "channel 1, channel 2")),
        ("shaped", (), ("2 channels",)),
    ],
)
def test_channels_without_a_bright_field_one_are_refused(
    tmp_path: Path, kind: str, names: Sequence[str], words: Sequence[str]
) -> None:
    write(tmp_path / "a.tif", FIELDS[:2], "CYX", kind, names)
    assert_refused(tmp_path / "a.tif", *words)


@pytest.mark.parametrize(
    "name",
    [
        *("BF", "bf", "Brightfield", "Bright Field", "bright_field", "TL", "Trans", "Transmitted Light"),
        *("T-PMT", "T PMT-T1", "transmission", "DIA", "TD", "ESID", "White Light", "Bright", "40x BF"),
    ],
)
def test_names_of_bright_field_channels(name: str) -> None:
    assert Channel(name).is_bright_field()


@pytest.mark.parametrize(
    "name",
    [
        *("", "DAPI", "Phase", "TL Phase", "TL-DIC", "Ph1", "Trans DIC", "BFP", "tdTomato", "TLR4"),
        *("Darkfield", "Brilliant Violet", "Diamidino", "Cy5", "Transferrin", "red"),
    ],
)
def test_names_of_other_channels(name: str) -> None:
    assert not Channel(name).is_bright_field()


@pytest.mark.parametrize("said", ['ContrastMethod="Brightfield"', 'IlluminationType="Transmitted"'])
def test_a_channel_that_the_file_calls_bright_field_needs_no_name(tmp_path: Path, said: str) -> None:
    path = tmp_path / "a.ome.tif"
    channels = f'<Channel Name="1" ContrastMethod="Fluorescence"/><Channel Name="2" {said}/>'
    ome = f'<OME><Image><Pixels SizeC="2" SizeZ="1" SizeT="1">{channels}<TiffData/></Pixels></Image></OME>'
    with tifffile.TiffWriter(path) as file:
        for k in range(2):
            file.write(FIELDS[k], description=ome if k == 0 else None, metadata=None)
    assert_fields(path, [1], [FIELDS[1]])


@pytest.mark.parametrize("asked", ["FITC", " fitc", "3"])
def test_a_channel_can_be_asked_for(tmp_path: Path, asked: str) -> None:
    path = tmp_path / "a.ome.tif"
    write(path, FIELDS[:3], "CYX", "ome", ("BF", "DAPI", "FITC"))
    assert_fields(path, [2], [FIELDS[2]], channel=asked)
    assert_refused(path, "--channel GFP", "BF, DAPI, FITC", channel="GFP")
    assert_refused(path, "--channel 4", "BF, DAPI, FITC", channel="4")


def test_a_channel_asked_for_in_files_with_one(tmp_path: Path) -> None:
    write(tmp_path / "named.ome.tif", FIELDS[:1], "CYX", "ome", ("DAPI",))
    assert_refused(tmp_path / "named.ome.tif", "--channel BF", "DAPI", channel="BF")
    assert isinstance(read(tmp_path / "named.ome.tif", channel="dapi")[0], Frame)
    tifffile.imwrite(tmp_path / "plain.tif", FIELDS[0])
    assert isinstance(read(tmp_path / "plain.tif", channel="BF")[0], Frame)


@pytest.mark.parametrize(("name", "noted"), [("DAPI", True), ("Alexa 488", True), ("BF", False), ("", False)])
@pytest.mark.parametrize("times", [1, 2])
def test_an_only_channel_that_is_a_stain_is_noted(tmp_path: Path, name: str, noted: bool, times: int) -> None:
    path = tmp_path / "a.ome.tif"
    write(path, [[field] for field in FIELDS[:times]], "TCYX", "ome", (name,))
    for frame in read(path):
        assert isinstance(frame, Frame)
        assert frame.notes == (
            (f"the only channel of a file is called {name}: if it is a stain, count other files",)
            if noted
            else ()
        )


def test_what_was_chosen_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    write(path, [[FIELDS[5], plane] for plane in FOCUS], "ZCYX", "ome", ("DAPI", "BF"))
    for choice, page, which in (
        ({}, 5, "the sharpest"),
        ({"z": "middle"}, 3, "the middle"),
        ({"z": "4"}, 7, "number 4"),
    ):
        (frame,) = read(path, **choice)
        assert isinstance(frame, Frame)
        assert frame.name.endswith(f"#{page}")
        np.testing.assert_array_equal(frame.image, FOCUS[page // 2])
        assert frame.notes == (
            "of 2 channels of each field (DAPI, BF) only BF is counted; --channel chooses another",
            f"{which} of 4 focal planes (Z) of each field is counted; --z chooses another",
        )
    assert_refused(path, "4 focal planes", "--z asks for number 5", z="5")


def test_a_plain_page_has_no_notes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", FIELDS[0])
    (frame,) = read(tmp_path / "a.tif")
    assert isinstance(frame, Frame)
    assert frame.notes == ()


def _write_times(path: Path) -> None:
    write(path, FIELDS[:2], "TYX", "ome")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.png", lambda path: cv2.imwrite(str(path), FIELDS[0])),
        ("a.jpg", lambda path: cv2.imwrite(str(path), FIELDS[0])),
        ("a.tif", lambda path: tifffile.imwrite(path, FIELDS[0])),
        ("pages.tif", lambda path: tifffile.imwrite(path, np.stack(FIELDS[:2]), metadata=None)),
        ("times.ome.tif", _write_times),
    ],
)
def test_a_choice_without_an_effect_is_noted(tmp_path: Path, name: str, make: Any) -> None:
    make(tmp_path / name)
    frames = read(tmp_path / name, channel="DAPI", z="3")
    assert frames
    for frame in frames:
        assert isinstance(frame, Frame)
        assert [note.partition(":")[0] for note in frame.notes] == [
            "--channel DAPI has no effect on files that name no channels",
            "--z 3 has no effect on files that name no focal planes",
        ]


def test_a_choice_with_an_effect_is_not_called_idle(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", FIELDS[:1], "CYX", "ome", ("BF",))
    write(tmp_path / "z.ome.tif", FOCUS, "ZYX", "ome")
    for name, choice in (("a.ome.tif", {"channel": "bf"}), ("z.ome.tif", {"z": "sharpest"})):
        (frame,) = read(tmp_path / name, **choice)
        assert isinstance(frame, Frame)
        assert not any("no effect" in note for note in frame.notes)


def test_slices_of_a_plain_imagej_stack_are_planes_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for k, plane in enumerate(FOCUS):
            file.write(
                plane, description="ImageJ=1.54f\nimages=4\nslices=4\n" if k == 0 else None, metadata=None
            )
    assert_refused(path, "--z sharpest")
    assert_fields(path, [2], [FOCUS[2]], z="sharpest")


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_choose_the_plane(tmp_path: Path, seed: int) -> None:
    """Noise is as sharp in every plane; the planes differ by what the optics let through."""
    rng = np.random.default_rng(seed)
    sharp = np.full((200, 200), 128.0)
    for x, y in rng.integers(20, 180, (12, 2)):
        cv2.circle(sharp, (int(x), int(y)), 9, (90.0,), 2, cv2.LINE_AA)
    planes = [cv2.GaussianBlur(sharp, (0, 0), sigma) if sigma else sharp for sigma in (4, 2, 0, 2, 4)]
    noisy = [np.clip(plane + rng.normal(0, 6, plane.shape), 0, 255).astype(np.uint8) for plane in planes]
    write(tmp_path / "a.tif", noisy, "ZYX", "ome")
    assert_fields(tmp_path / "a.tif", [2], [noisy[2]])


@pytest.mark.parametrize("order", ["<", ">"])
def test_labels_of_imagej_slices_name_its_channels(tmp_path: Path, order: Any) -> None:
    path = tmp_path / "a.tif"
    for labels, chosen in ((["DAPI", "BF"], FIELDS[1]), (["Blue", "Green", "Red"], None)):
        images = np.array(FIELDS[: len(labels)])
        tifffile.imwrite(
            path, images, imagej=True, byteorder=order, metadata={"axes": "CYX", "Labels": labels}
        )
        (frame,) = read(path)
        assert isinstance(frame, Frame), frame
        colour = cv2.cvtColor(np.dstack(FIELDS[2::-1]), cv2.COLOR_RGB2GRAY)
        np.testing.assert_array_equal(frame.image, colour if chosen is None else chosen)


def test_channels_that_are_samples_of_one_page(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    axes = {"axes": "CYX"}
    tifffile.imwrite(
        path, np.array(FIELDS[:2]), photometric="minisblack", planarconfig="separate", metadata=axes
    )
    assert_refused(path, "2 channels", "--channel")
    assert_fields(path, [0], [FIELDS[1]], channel="2")


def test_channels_of_an_lsm_file(tmp_path: Path) -> None:
    """Zeiss stores channels as separate samples, and their names behind an offset in its own tag."""
    path, names = (
        tmp_path / "a.lsm",
        b"".join(struct.pack("<I", 6) + name for name in (b"ChS1\0\0", b"T-PMT\0")),
    )
    planes = b"".join(field.tobytes() for field in FIELDS[:2])
    size = SHAPE[0] * SHAPE[1]
    colours = struct.pack("<6I", 24 + 8 + len(names), 2, 2, 24, 32, 0) + bytes(8) + names
    info = struct.pack("<7i", 0x4494C, 112, SHAPE[1], SHAPE[0], 1, 2, 1).ljust(108, b"\0")
    info += struct.pack("<I", 8 + len(planes))
    offsets = struct.pack("<2I", 8, 8 + size)
    more = [(34412, 1, len(info), info), (273, 4, 2, offsets), (279, 4, 2, struct.pack("<2I", size, size))]
    one_directory(path, planes + colours, b"\0", more, samples=2)
    assert_fields(path, [0], [FIELDS[1]])
    assert_fields(path, [0], [FIELDS[0]], channel="ChS1")


def test_images_of_a_file_have_channels_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(np.array(FIELDS[:2]), metadata={"axes": "CYX", "Channel": {"Name": ["BF", "DAPI"]}})
        file.write(np.array(FIELDS[2:4]), metadata={"axes": "CYX", "Channel": {"Name": ["GFP", "TL"]}})
        file.write(np.array(FIELDS[4:6]), metadata={"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}})
    first, second, third = read(path)
    assert isinstance(third, FailedFrame)
    for frame, field in ((first, FIELDS[0]), (second, FIELDS[3])):
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.image, field)
    assert third.name == f"{path}#4"
    assert "GFP, DAPI" in third.reason


def test_the_first_of_two_descriptions_holds(tmp_path: Path) -> None:
    """Micro-Manager writes OME-XML, and then what ImageJ reads, which has no names for channels."""
    path = tmp_path / "a.tif"
    channels = '<Channel Name="DAPI"/><Channel Name="BF"/>'
    ome = f'<OME><Image><Pixels SizeC="2">{channels}<TiffData/></Pixels></Image></OME>'
    imagej = "ImageJ=1.42e\nimages=2\nchannels=2\nhyperstack=true\n"
    with tifffile.TiffWriter(path) as file:
        file.write(FIELDS[0], description=ome, extratags=[(270, "s", 0, imagej, True)], metadata=None)
        file.write(FIELDS[1], metadata=None)
    assert_fields(path, [1], [FIELDS[1]])


@pytest.mark.parametrize("flagged", [True, False])
def test_previews_and_levels_of_a_pyramid_are_no_fields(tmp_path: Path, flagged: bool) -> None:
    """Writers of pyramids (Aperio, Hamamatsu) do not always flag the smaller copies."""
    path, sizes = tmp_path / "a.tif", [(53, 37), (27, 19), (26, 18), (13, 9)]
    with tifffile.TiffWriter(path) as file:
        for k, size in enumerate(sizes):
            file.write(cv2.resize(FIELDS[0], size), subfiletype=1 if flagged and k else 0, metadata=None)
        file.write(FIELDS[1], metadata=None)
    frames = read(path)
    assert [frame.image.shape for frame in frames if isinstance(frame, Frame)] == [SHAPE, SHAPE]
    assert [frame.notes for frame in frames if isinstance(frame, Frame)] == (
        [(), ()] if flagged else [(SMALLER_COPIES,), ()]
    )


def test_colours_on_pages_of_their_own_are_one_colour_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    blue, red, green = FIELDS[:3]
    write(path, [blue, red, green], "CYX", "ome", ("Blue", "Red", "Green"))
    assert_fields(path, [0], [cv2.cvtColor(np.dstack([red, green, blue]), cv2.COLOR_RGB2GRAY)])


def test_a_channel_in_a_file_of_its_own_is_not_a_field(tmp_path: Path) -> None:
    """OME sets of files: each holds the metadata of all."""
    pixels = '<Pixels DimensionOrder="XYCZT" SizeC="2"><Channel Name="BF"/><Channel Name="DAPI"/>'
    for channel, own in enumerate(("bf", "dapi")):
        data = "".join(
            f'<TiffData IFD="0" FirstC="{k}"><UUID FileName="{name}.tif">urn:{name}</UUID></TiffData>'
            for k, name in enumerate(("bf", "dapi"))
        )
        ome = f'<OME xmlns="o" UUID="urn:{own}"><Image>{pixels}{data}</Pixels></Image></OME>'
        tifffile.imwrite(tmp_path / f"{own}.tif", FIELDS[channel], description=ome, metadata=None)
    assert_fields(tmp_path / "bf.tif", [0], [FIELDS[0]])
    assert_refused(tmp_path / "dapi.tif", "DAPI", "not the bright-field one")


def one_directory(
    path: Path,
    planes: bytes,
    description: bytes,
    more: Sequence[tuple[int, int, int, bytes]] = (),
    samples: int = 1,
) -> None:
    """Write planes after each other, and a directory of the first one: (tag, type, number, value) over it."""
    height, width = SHAPE
    long_values, at = b"", 8 + len(planes)
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, height * width)]
    fields += [(284, 3, 1, 2)] if samples > 1 else []
    for tag, kind, number, value in [(270, 2, len(description), description), *more]:
        fields = [field for field in fields if field[0] != tag]
        fields.append((tag, kind, number, at + len(long_values)))
        long_values += value
    directory = b"".join(struct.pack("<HHII", *field) for field in sorted(fields))
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, at + len(long_values)) + planes + long_values
        + struct.pack("<H", len(fields)) + directory + bytes(4)
    )  # fmt: skip


def test_imagej_planes_after_one_directory(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    planes = b"".join(field.tobytes() for field in FIELDS[:4])
    one_directory(path, planes, b"ImageJ=1.54f\nimages=4\nframes=4\n\0")
    assert_fields(path, range(4), FIELDS[:4])
    one_directory(path, planes, b"ImageJ=1.54f\nimages=9\nframes=9\n\0")
    *good, failed = read(path)
    assert [isinstance(frame, Frame) for frame in good] == [True] * 4
    assert isinstance(failed, FailedFrame)
    assert "5 of its 9 planes were not read" in failed.reason


def test_planes_after_one_compressed_page_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    described = "ImageJ=1.54f\nimages=4\nframes=4\n"
    tifffile.imwrite(path, FIELDS[0], compression="deflate", description=described, metadata=None)
    good, failed = read(path)
    assert isinstance(good, Frame)
    assert isinstance(failed, FailedFrame)
    assert "3 of its 4 planes were not read" in failed.reason


@pytest.mark.parametrize("distances", [(0, 0, 0, 0), (0, 5, 10, 15)])
def test_metamorph_stacks(tmp_path: Path, distances: Sequence[int]) -> None:
    planes = b"".join(plane.tobytes() for plane in FOCUS)
    uic2 = b"".join(struct.pack("<6I", distance, 1, 0, 0, 0, 0) for distance in distances)
    one_directory(tmp_path / "a.stk", planes, b"\0", [(33629, 5, 4, uic2)])
    if any(distances):
        assert_fields(tmp_path / "a.stk", [2], [FOCUS[2]])
    else:
        assert_fields(tmp_path / "a.stk", range(4), FOCUS)


def test_lsm_focal_planes(tmp_path: Path) -> None:
    info = struct.pack("<7i", 0x4494C, 28, SHAPE[1], SHAPE[0], 4, 1, 1)
    one_directory(tmp_path / "a.lsm", b"".join(p.tobytes() for p in FOCUS), b"\0", [(34412, 1, 28, info)])
    assert_fields(tmp_path / "a.lsm", [2], [FOCUS[2]])


def test_a_truncated_shaped_file_names_its_array(tmp_path: Path) -> None:
    described = '{"shape": [4, 37, 53], "truncated": true}'
    tifffile.imwrite(tmp_path / "a.tif", FIELDS[0], description=described, metadata=None)
    assert_refused(tmp_path / "a.tif", "4 x 37 x 53")


@pytest.mark.parametrize(
    "description",
    [
        "<OME><Image><Pixels",
        "<OME><Image/></OME>",
        '<OME><Image><Pixels SizeZ="-1" SizeT="-1"><TiffData/></Pixels></Image></OME>',
        '<OME><Image><Pixels SizeT="9999999"><TiffData/></Pixels></Image></OME>',
        '<OME><Image><Pixels SizeT="2"><TiffData IFD="x"/></Pixels></Image></OME>',
        '<OME><Image><Pixels SizeT="2" DimensionOrder="XY"><TiffData/></Pixels></Image></OME>',
        "ImageJ=1\nimages=many\n",
        "ImageJ=1\nimages=999999999\n",
        "ImageJ=1\nimages=0\n",
    ],
)
def test_metadata_that_cannot_be_read_are_refused(tmp_path: Path, description: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", FIELDS[0], description=description, metadata=None)
    assert_refused(tmp_path / "a.tif", "metadata" if "ImageJ" in description else "")


@pytest.mark.parametrize("description", ["a camera", '{"shape": [37, 53]}', '{"shape": 3}', "ImageJ=1.54f\n"])
def test_other_descriptions_leave_pages_as_they_are(tmp_path: Path, description: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", FIELDS[0], description=description, metadata=None)
    (frame,) = read(tmp_path / "a.tif")
    assert isinstance(frame, Frame)
    assert frame.name == str(tmp_path / "a.tif")


def test_mutated_stacks_never_raise(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    originals = []
    for axes, kind, names in (("CYX", "ome", ("R", "G", "B")), ("ZYX", "ome", ()), ("TYX", "imagej", ())):
        write(path, FIELDS[:3], axes, kind, names)
        originals.append(path.read_bytes())
    one_directory(path, b"".join(p.tobytes() for p in FOCUS), b"ImageJ=1.54f\nimages=4\nframes=4\n\0")
    originals.append(path.read_bytes())
    rng = np.random.default_rng(14)
    with quiet_libraries():
        for k in range(400):
            content = bytearray(originals[k % len(originals)])
            for _ in range(rng.integers(1, 8)):
                # headers and directories sit at either end
                place = int(rng.integers(0, 500)) * int(rng.choice([-1, 1]))
                content[place] = int(rng.choice([0, 1, 255, rng.integers(256)]))
            path.write_bytes(content[: rng.integers(8, len(content))] if k % 10 == 0 else content)
            assert list(read_frames([path], max_megapixels=1.0))


@pytest.mark.parametrize("tag", [273, 279])
def test_a_stack_that_does_not_say_where_its_pixels_are(tmp_path: Path, tag: int) -> None:
    path = tmp_path / "a.tif"
    planes = b"".join(field.tobytes() for field in FIELDS[:4])
    one_directory(path, planes, b"ImageJ=1.54f\nimages=4\nframes=4\n\0")
    content = path.read_bytes()
    entry = content.rindex(struct.pack("<HHI", tag, 4, 1))
    path.write_bytes(content[:entry] + struct.pack("<H", tag + 1000) + content[entry + 2 :])
    assert all(isinstance(frame, FailedFrame) for frame in read(path))
