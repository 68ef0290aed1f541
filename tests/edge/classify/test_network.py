"""A network that asks for too much is refused before an interpreter takes memory for it."""

from __future__ import annotations

import dataclasses
import random
import struct
from collections.abc import Callable

import numpy as np
import pytest

from convert.operators import ALLOWED
from edge.classify import Classifier, network
from edge.classify.flatbuffer import Table
from edge.classify.network import OPERATORS, check_network
from edge.classify.runtime import Model
from edge.model import BundleError, DeviceSettings, load_bundle, shipped_bundles

BUNDLE = load_bundle("phantom3", DeviceSettings())
SOUND = BUNDLE.flatbuffer

Change = Callable[[bytearray], None]


def test_the_operators_are_those_that_convert_writes() -> None:
    assert set(OPERATORS) == set(ALLOWED)


@pytest.mark.parametrize("name", shipped_bundles())
def test_shipped_networks_are_taken(name: str) -> None:
    check_network(load_bundle(name, DeviceSettings()).flatbuffer)


def place(table: Table, field: int, behind: int = 4) -> int:
    """Return where a list begins."""
    at = table._place(field)
    return at + int.from_bytes(table.data[at : at + 4], "little") + behind


def graph(data: bytes) -> Table:
    return Table.root(data).tables(2)[0]


def operator(code: int) -> Change:
    """The first kind of operator becomes another."""

    def change(data: bytearray) -> None:
        one = Table.root(bytes(data)).tables(1)[0]
        for field, kind in ((0, "b"), (3, "i")):
            if at := one._place(field):
                struct.pack_into(f"<{kind}", data, at, code)

    return change


def shape(tensor: Callable[[Table], int], *sides: int) -> Change:
    """A tensor states another shape."""

    def change(data: bytearray) -> None:
        whole = graph(bytes(data))
        struct.pack_into(f"<{len(sides)}i", data, place(whole.tables(0)[tensor(whole)], 0), *sides)

    return change


def result(number: int) -> Callable[[Table], int]:
    return lambda whole: whole.tables(3)[number].numbers(2)[0]


def weights(number: int) -> Callable[[Table], int]:
    return lambda whole: whole.tables(3)[number].numbers(1)[1]


def padding(side: int) -> Change:
    """The first padding becomes so wide."""

    def change(data: bytearray) -> None:
        whole = graph(bytes(data))
        tensor = whole.tables(0)[weights(1)(whole)]
        buffer = Table.root(bytes(data)).tables(4)[tensor.number(2, "I")]
        struct.pack_into("<8i", data, place(buffer, 0), 0, 0, side, side, side, side, 0, 0)

    return change


def option(number: int, field: int, kind: str, value: int) -> Change:
    def change(data: bytearray) -> None:
        options = graph(bytes(data)).tables(3)[number].table(4)
        assert options is not None
        struct.pack_into(f"<{kind}", data, options._place(field), value)

    return change


def all_of(*changes: Change) -> Change:
    def change(data: bytearray) -> None:
        for one in changes:
            one(data)

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (operator(97), "an operator other than ADD, "),  # resize to any size
        (operator(69), "an operator other than ADD, "),  # tile
        (operator(119), "an operator other than ADD, "),  # while
        (shape(result(1), 1, 54, 53, 16), "its operator PAD gives another size"),
        (padding(20_000), "its operator PAD gives another size"),
        (all_of(padding(20_000), shape(result(1), 1, 40_050, 40_050, 16)), "more than 48 MB"),
        (shape(weights(2), 30_000, 4, 4, 16), "its weights are not of the size"),
        (shape(lambda whole: whole.numbers(1)[0], 1, 20_000, 20_000, 1), "SPACE_TO_DEPTH gives another size"),
        (option(4, 3, "i", 1 << 30), "its operator MAX_POOL_2D gives another size"),
        (option(2, 1, "i", 0), "no stride or no window"),
        (option(2, 1, "i", -1), "no stride or no window"),
    ],
)
def test_a_network_that_asks_for_more_is_refused(change: Change, why: str) -> None:
    data = bytearray(SOUND)
    change(data)
    with pytest.raises(ValueError, match=why):
        check_network(bytes(data))
    with pytest.raises(BundleError, match=why):
        Classifier(dataclasses.replace(BUNDLE, flatbuffer=bytes(data)))


def test_a_network_of_other_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="computes other numbers than float32"):
        Model(SOUND, dtype=np.float32)


def test_a_network_that_takes_much_answers_fewer_crops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is then that of as many; the answers are the same."""
    crops = BUNDLE.golden_crops
    expected = Model(SOUND).run(crops)
    assert check_network(SOUND) > len(crops)
    monkeypatch.setattr(network, "MOST_UNROLLED_AT_ONCE", 5 * (network.MOST_UNROLLED_AT_ONCE // 209))
    assert check_network(SOUND) == 5
    monkeypatch.setattr(network, "MOST_BYTES_AT_ONCE", network.MOST_BYTES // 100)
    assert 1 <= check_network(SOUND) < 5
    monkeypatch.undo()
    monkeypatch.setattr(network, "MOST_UNROLLED_AT_ONCE", 5 * (network.MOST_UNROLLED_AT_ONCE // 209))
    model = Model(SOUND)
    assert (model.run(crops) == expected).all()
    assert model._batch == len(crops) % 5  # the last part


def refusal(data: bytes) -> str:
    try:
        check_network(data)
    except ValueError as error:
        return str(error)
    return ""


def test_whatever_bytes_are_a_network_or_a_value_error() -> None:
    draw, said = random.Random(0), list[str]()
    for _ in range(300):
        data = bytearray(SOUND)
        for _ in range(draw.randrange(1, 20)):
            data[-draw.randrange(1, 12_000)] = draw.randrange(256)
            data[draw.randrange(256)] = draw.randrange(256)
        said.append(refusal(bytes(data)))
    assert all(map(str.isprintable, said))
    assert sum(map(bool, said)) > 100
    assert all(refusal(SOUND[:kept]) for kept in (0, 3, 7, 100, 5000, len(SOUND) - 1000))
