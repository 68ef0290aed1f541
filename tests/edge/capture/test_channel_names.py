"""Files that are channels of one field, by their names."""

from __future__ import annotations

import pytest

from edge.capture.channel_names import channels_by_name


@pytest.mark.parametrize(
    ("names", "channels"),
    [
        (("f1_ch00.tif", "f1_ch01.tif", "f2_ch00.tif", "f2_ch01.tif"), ["ch00", "ch01"]),
        (("s1_w1BF.TIF", "s1_w2DAPI.TIF"), ["w1BF", "w2DAPI"]),
        (("img_channel000_position001.tif", "img_channel001_position001.tif"), ["channel000", "channel001"]),
        (("a - C=0.tif", "a - C=1.tif"), ["C=0", "C=1"]),
        (("d/1 BF.png", "d/1 Hoechst.png", "d/2 BF.png", "d/2 Hoechst.png", "d/map.png"), ["BF", "Hoechst"]),
        (("dapi_01.png", "brightfield_01.png"), ["brightfield", "dapi"]),
    ],
)
def test_files_that_differ_in_their_channel(names: tuple[str, ...], channels: list[str]) -> None:
    assert channels_by_name(names) == channels


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("frame_0001.png", "frame_0002.png"),
        ("f1_ch00.tif", "f2_ch00.tif"),
        ("f1_ch00.tif", "f2_ch01.tif"),
        ("bf_1.png", "bf_2.png", "bf_3.png"),
        ("church1.png", "church2.png"),
        ("a/f1_ch00.tif", "b/f1_ch01.tif"),
        ("chip1.png", "chip2.png"),
        ("f1_ch00.tif", "f1_ch01.tif", *(f"{k}.png" for k in range(9))),
        ("2024-01-01 12-00-01.png", "2024-01-01 12-00-02.png"),
    ],
)
def test_other_files(names: tuple[str, ...]) -> None:
    assert channels_by_name(names) == []
