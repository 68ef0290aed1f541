"""Frames that belong together: a slide scanned in overlapping fields, and cells that flow through the field.

Particles are put down on tiles as large as a frame, each with random numbers of its own, and a particle is
drawn anew from its number when a frame shows it: a large scan, or a flow without end, takes little memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, product

import numpy as np
from numpy.typing import NDArray

from edge.simulate.cells import Particle
from edge.simulate.optics import Optics
from edge.simulate.scene import (
    DRAWS,
    Place,
    Placed,
    Scene,
    SimulatedFrame,
    draw_labels,
    find_room,
    record,
    spawn_rngs,
)

_TILES, _PARTICLES, _STAGE, _SPEEDS = range(2, 6)
"""First word of the spawn keys; 0 and 1 are the lamp's and the frames'."""

_DRIFT = 0.02
"""Standard deviation of the speed across the flow, as a part of the speed along it."""


@dataclass(frozen=True)
class Scan:
    """A slide seen field by field, row after row, to the right and back (a serpentine).

    Attributes
    ----------
    columns, rows : fields
    overlap : part of a field that the next one shows again, along a row and from row to row
    jitter_um : standard deviation of the stage's error, each way, at each stop
    """

    columns: int
    rows: int
    overlap: float = 0.3
    jitter_um: float = 3.0

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 1:
            raise ValueError("a scan must have at least one field each way")
        if not 0 <= self.overlap < 1:
            raise ValueError("the overlap must be at least 0 and below 1")
        if not 0 <= self.jitter_um < math.inf:
            raise ValueError("the stage's jitter must be at least 0 µm")

    @property
    def frames(self) -> int:
        """Number of fields."""
        return self.columns * self.rows


@dataclass(frozen=True)
class Flow:
    """Cells that flow from left to right, each at a speed of its own; fast ones overtake slow ones.

    Attributes
    ----------
    speed_um_s : mean speed
    spread : standard deviation of the cells' speeds, as a part of it
    fps : frames a second; the exposure is short, so that nothing is smeared
    """

    speed_um_s: float
    spread: float = 0.1
    fps: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.speed_um_s < math.inf:
            raise ValueError("the flow's speed must be above 0 µm/s")
        if not 0 <= self.spread <= 0.2:
            raise ValueError("the spread of speeds must be between 0 and 0.2")
        if not 0 < self.fps < math.inf:
            raise ValueError("frames a second must be above 0")


@dataclass(frozen=True)
class _Site:
    """A particle's number, its class and its place on the slide or in the stream."""

    number: int
    label: str
    place: Place


def scan_frames(
    seed: int,
    scan: Scan,
    *,
    scene: Scene | None = None,
    optics: Optics | None = None,
    fluorescence: bool = False,
) -> Iterator[SimulatedFrame]:
    """Simulate the fields of a scan, in the stage's order.

    `scene`'s numbers of particles are those of an area as large as a frame.

    Raises
    ------
    ValueError
        the particles do not fit
    """
    scene, optics = scene or Scene(), optics or Optics()
    size = np.array([scene.width_px, scene.height_px])
    step = size * (1 - scan.overlap)
    jitter = scan.jitter_um / optics.pixel_um
    margin = 3 * jitter
    stage = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STAGE,)))
    fields = np.array([scan.columns, scan.rows])
    slide = _slide(seed, (fields - 1) * step + size + 2 * margin, scene, optics)
    for index in range(scan.frames):
        row, column = divmod(index, scan.columns)
        if row % 2:
            column = scan.columns - 1 - column
        error = np.clip(stage.normal(0, jitter, 2), -margin, margin)
        left, top = np.rint(margin + np.array((column, row)) * step + error).astype(int).tolist()
        shown = [(site, site.place.x - left, site.place.y - top) for site in slide]
        yield _frame(seed, index, shown, scene, optics, fluorescence)


def flow_frames(
    seed: int,
    flow: Flow,
    *,
    scene: Scene | None = None,
    optics: Optics | None = None,
    fluorescence: bool = False,
) -> Iterator[SimulatedFrame]:
    """Simulate frames of a flow, without end; frame k is taken at k / fps seconds.

    Cells keep their distance as they enter at the left; which pass each other later is left to their speeds.
    `scene`'s numbers of particles are those of a frame, on average.

    Raises
    ------
    ValueError
        the particles do not fit
    """
    scene, optics = scene or Scene(), optics or Optics()
    # The stream is a strip whose start has travelled two widths already: the slowest cell has half the mean
    # speed. A width more is made ready, for what enters before its turn.
    width = scene.width_px
    near: list[_Site] = []
    number = tile = 0
    for index in count():
        travelled = 2 * width + index * flow.speed_um_s / flow.fps / optics.pixel_um
        while tile * width < travelled + width:
            made = _tile(seed, (tile, 0), number, near, scene, optics)
            near, number, tile = near + made, number + len(made), tile + 1
        shown = []
        for site in near:
            along, across = _velocity(seed, site.number, flow.spread)
            way = travelled - site.place.x
            shown.append((site, round(along * way), round(site.place.y + across * way)))
        near = [site for site, x, _ in shown if x < width + 2 * site.place.half_px]
        yield _frame(seed, index, shown, scene, optics, fluorescence)


def moving_frames(
    seed: int,
    motion: Scan | Flow,
    *,
    scene: Scene | None = None,
    optics: Optics | None = None,
    fluorescence: bool = False,
) -> Iterator[SimulatedFrame]:
    """Simulate a scan, or a flow without end; see `scan_frames` and `flow_frames`."""
    if isinstance(motion, Scan):
        return scan_frames(seed, motion, scene=scene, optics=optics, fluorescence=fluorescence)
    return flow_frames(seed, motion, scene=scene, optics=optics, fluorescence=fluorescence)


def _slide(seed: int, size_px: NDArray[np.float64], scene: Scene, optics: Optics) -> list[_Site]:
    """Put particles down on a slide of at least the given width and height, tile by tile."""
    columns, rows = np.ceil(size_px / (scene.width_px, scene.height_px)).astype(int).tolist()
    slide: list[_Site] = []
    for tile in product(range(columns), range(rows)):
        slide += _tile(seed, tile, len(slide), slide, scene, optics)
    return slide


def _tile(
    seed: int, tile: tuple[int, int], first: int, others: Iterable[_Site], scene: Scene, optics: Optics
) -> list[_Site]:
    """Put particles down on one tile, numbered from `first`, away from the others and each other."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_TILES, *tile)))
    left, top = tile[0] * scene.width_px, tile[1] * scene.height_px
    reach = 20 / optics.pixel_um
    near = [
        _moved(site.place, -left, -top)
        for site in others
        if -reach < site.place.x - left < scene.width_px + reach
        and -reach < site.place.y - top < scene.height_px + reach
    ]
    sites = []
    for number, label in enumerate(draw_labels(rng, scene), first):
        place = find_room(rng, _particle(seed, number, label, optics), near, scene, optics)
        near.append(place)
        sites.append(_Site(number, label, _moved(place, left, top)))
    return sites


def _moved(place: Place, x: int, y: int) -> Place:
    return replace(place, x=place.x + x, y=place.y + y)


@lru_cache(maxsize=256)
def _particle(seed: int, number: int, label: str, optics: Optics) -> Particle:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_PARTICLES, number)))
    return DRAWS[label](rng, optics.pixel_um, optics.medium_index)


@lru_cache(maxsize=1024)
def _velocity(seed: int, number: int, spread: float) -> tuple[float, float]:
    """Speed of a particle along and across the flow, as parts of the mean speed."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPEEDS, number)))
    along, across = np.clip(rng.standard_normal(2), -2.5, 2.5) * (spread, _DRIFT)
    return 1 + float(along), float(across)


def _frame(
    seed: int,
    index: int,
    shown: Iterable[tuple[_Site, int, int]],
    scene: Scene,
    optics: Optics,
    fluorescence: bool,
) -> SimulatedFrame:
    """Image those of the particles, each with its place (x, y) in this frame, that it can see."""
    height, width = scene.height_px, scene.width_px
    placed = [
        Placed(_particle(seed, site.number, site.label, optics), x, y, site.number)
        for site, x, y in shown
        # as far as rings reach
        if abs(x - width / 2) < width / 2 + 2 * site.place.half_px
        and abs(y - height / 2) < height / 2 + 2 * site.place.half_px
    ]
    cells, camera, stain = spawn_rngs(seed, index)
    focus_um = cells.normal(*scene.focus_um)
    return record(seed, placed, focus_um, camera, stain if fluorescence else None, scene=scene, optics=optics)
