"""Related frames: a slide scanned in overlapping fields, and cells that flow through the field.

Particles lie on tiles as large as a frame, each with its own random numbers, and a particle is drawn from its
number whenever a frame shows it: a large scan, or a flow without end, takes little memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, product

import numpy as np
from numpy.typing import NDArray

from edge.simulate.cells import DRAWS
from edge.simulate.frame import Place, draw_labels, find_room
from edge.simulate.imaging import record
from edge.simulate.optics import Optics
from edge.simulate.particle import Particle
from edge.simulate.scene import Phantom, Placed, Scene, SimulatedFrame

_TILES, _PARTICLES, _STAGE, _SPEEDS = range(2, 6)
"""First word of the spawn keys; 0 and 1 are the lamp's and the frames'."""

_DRIFT = 0.02
"""Standard deviation of the speed across the flow, relative to the mean speed along it."""


@dataclass(frozen=True)
class Scan:
    """A slide scanned in rows, to the right and back (a serpentine).

    `overlap` is the share of a field that its neighbour shows too, along a row and between rows; `jitter_um`
    is the standard deviation of the stage's error along each axis at each stop.
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
    """Cells that flow from left to right, each at its own speed; fast ones overtake slow ones.

    `spread` is the standard deviation of the speeds, relative to the mean. No cell smears during exposure.
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
            raise ValueError("the frames per second must be above 0")


@dataclass(frozen=True)
class _Site:
    """A particle's number, its class and its place on the slide or in the stream."""

    number: int
    label: str
    place: Place


def moving_frames(
    seed: int,
    motion: Scan | Flow,
    *,
    scene: Scene | None = None,
    optics: Optics | None = None,
    fluorescence: bool = False,
) -> Iterator[SimulatedFrame]:
    """Simulate the fields of a scan in the stage's order, or a flow without end.

    Frame k of a flow is taken at k / fps seconds. The scene's numbers of particles are those of an area as
    large as a frame. Particles that do not fit raise a ValueError.
    """
    return motion_frames(Phantom(seed, scene or Scene(), optics or Optics(), fluorescence), motion)


def motion_frames(phantom: Phantom, motion: Scan | Flow) -> Iterator[SimulatedFrame]:
    """Simulate a scan or flow of a phantom; see `moving_frames`."""
    return _scan(phantom, motion) if isinstance(motion, Scan) else _flow(phantom, motion)


def _scan(phantom: Phantom, scan: Scan) -> Iterator[SimulatedFrame]:
    size = np.array([phantom.scene.width_px, phantom.scene.height_px])
    step = size * (1 - scan.overlap)
    jitter = scan.jitter_um / phantom.optics.pixel_um
    margin = 3 * jitter
    stage = phantom.rng(_STAGE)
    slide_px = (np.array([scan.columns, scan.rows]) - 1) * step + size + 2 * margin
    slide: list[_Site] = []
    for tile in product(*map(range, np.ceil(slide_px / size).astype(int).tolist())):
        slide += _tile(phantom, tile, len(slide), slide)
    for index in range(scan.frames):
        row, column = divmod(index, scan.columns)
        if row % 2:
            column = scan.columns - 1 - column
        error = np.clip(stage.normal(0, jitter, 2), -margin, margin)
        left, top = np.rint(margin + np.array((column, row)) * step + error).astype(int).tolist()
        yield _frame(phantom, index, ((site, site.place.x - left, site.place.y - top) for site in slide))


def _flow(phantom: Phantom, flow: Flow) -> Iterator[SimulatedFrame]:
    """Simulate a flow. Cells keep their distance as they enter at the left; later they may pass each other.

    The stream is a strip whose start has travelled two widths already, because the slowest cell has half the
    mean speed. One more width is prepared for cells that enter early.
    """
    width = phantom.scene.width_px
    near: list[_Site] = []
    number = tile = 0
    for index in count():
        travelled = 2 * width + index * flow.speed_um_s / flow.fps / phantom.optics.pixel_um
        while tile * width < travelled + width:
            made = _tile(phantom, (tile, 0), number, near)
            near, number, tile = near + made, number + len(made), tile + 1
        shown = []
        for site in near:
            along, across = _velocity(phantom, site.number, flow.spread)
            way = travelled - site.place.x
            shown.append((site, round(along * way), round(site.place.y + across * way)))
        near = [site for site, x, _ in shown if x < width + 2 * site.place.half_px]
        yield _frame(phantom, index, shown)


def _tile(phantom: Phantom, tile: tuple[int, ...], first: int, others: Iterable[_Site]) -> list[_Site]:
    """Place the particles of one tile, numbered from `first`, away from the others and each other."""
    scene = phantom.scene
    rng = phantom.rng(_TILES, *tile)
    left, top = tile[0] * scene.width_px, tile[1] * scene.height_px
    reach = 20 / phantom.optics.pixel_um
    near = [
        _moved(site.place, -left, -top)
        for site in others
        if -reach < site.place.x - left < scene.width_px + reach
        and -reach < site.place.y - top < scene.height_px + reach
    ]
    sites = []
    for number, label in enumerate(draw_labels(rng, scene), first):
        place = find_room(phantom, rng, _particle(phantom, number, label), near)
        near.append(place)
        sites.append(_Site(number, label, _moved(place, left, top)))
    return sites


def _moved(place: Place, x: int, y: int) -> Place:
    return replace(place, x=place.x + x, y=place.y + y)


@lru_cache(maxsize=256)
def _particle(phantom: Phantom, number: int, label: str) -> Particle:
    optics = phantom.optics
    return DRAWS[label](phantom.rng(_PARTICLES, number), optics.pixel_um, optics.medium_index)


@lru_cache(maxsize=1024)
def _velocity(phantom: Phantom, number: int, spread: float) -> tuple[float, float]:
    """Return the speed of a particle along and across the flow, relative to the mean speed."""
    drawn: NDArray[np.float64] = phantom.rng(_SPEEDS, number).standard_normal(2)
    along, across = np.clip(drawn, -2.5, 2.5) * (spread, _DRIFT)
    return 1 + float(along), float(across)


def _frame(phantom: Phantom, index: int, shown: Iterable[tuple[_Site, int, int]]) -> SimulatedFrame:
    """Image the particles, each with its place (x, y) in this frame, whose rings reach into it."""
    width, height = phantom.scene.width_px, phantom.scene.height_px
    placed = [
        Placed(_particle(phantom, site.number, site.label), x, y, site.number)
        for site, x, y in shown
        if abs(x - width / 2) < width / 2 + 2 * site.place.half_px
        and abs(y - height / 2) < height / 2 + 2 * site.place.half_px
    ]
    focus_um = phantom.frame_rngs(index)[0].normal(*phantom.scene.focus_um)
    return record(phantom, index, placed, focus_um)
