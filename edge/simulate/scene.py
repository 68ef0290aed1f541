"""One simulated frame: which particles, where, under which lamp, through which camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.simulate.cells import LEUKOCYTES, SLAB_DEPTHS_UM, Particle, debris, erythrocyte, leukocyte
from edge.simulate.optics import Optics, image

LABELS = (*(model.label for model in LEUKOCYTES), "erythrocyte", "debris")
"""Every class of the phantom, the leukocytes first."""

DRAWS: Mapping[str, Callable[[np.random.Generator, float, float], Particle]] = {
    **{model.label: partial(leukocyte, model) for model in LEUKOCYTES},
    "erythrocyte": erythrocyte,
    "debris": debris,
}
"""How a particle of each class is drawn: from random numbers, the pixel in µm, and the medium's index."""

# room beyond the frame for cells that its edge cuts, and for the periodic field to close
_MARGIN_UM = 10.0
# width of the dark ring that belongs to a cell's box
_RING_UM = 0.6


@dataclass(frozen=True)
class Scene:
    """What is in a frame and how it is recorded.

    Attributes
    ----------
    width_px, height_px : frame size
    mix : expected share of each leukocyte class; weights, not necessarily of sum 1
    leukocytes, erythrocytes, debris : expected number in a frame (Poisson)
    closest : least distance of two middles as a fraction of the sum of their radii; below 1 they overlap
    separate : no two particles touch; then `closest` does not matter
    focus_um : height of the focal plane above the slide, mean and standard deviation from frame to frame
    brightness : grey level of the clear field at the brightest place
    falloff : loss of illumination at the farthest corner, as a fraction
    dust : specks of out-of-focus dust on the optics, the same in all frames of one seed
    full_well_e : electrons at grey level 255, sets the shot noise
    read_noise_e : read noise, in electrons
    """

    width_px: int = 1640
    height_px: int = 1232
    mix: tuple[tuple[str, float], ...] = (("granulocyte", 60.0), ("lymphocyte", 30.0), ("monocyte", 10.0))
    leukocytes: float = 25.0
    erythrocytes: float = 10.0
    debris: float = 8.0
    closest: float = 0.9
    separate: bool = False
    focus_um: tuple[float, float] = (6.6, 0.3)
    brightness: float = 165.0
    falloff: float = 0.15
    dust: int = 12
    full_well_e: float = 9000.0
    read_noise_e: float = 5.0

    def __post_init__(self) -> None:
        names = [model.label for model in LEUKOCYTES]
        for label, weight in self.mix:
            if label not in names:
                raise ValueError(f"unknown leukocyte class {label!r}; known are {', '.join(names)}")
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"the share of {label} must be a number of at least 0")
        if sum(weight for _, weight in self.mix) <= 0:
            raise ValueError("the shares of the leukocyte classes must not all be 0")
        if not all(number >= 0 for number in (self.leukocytes, self.erythrocytes, self.debris)):
            raise ValueError("numbers of particles must be at least 0")
        if min(self.width_px, self.height_px) < 64:
            raise ValueError("a frame must have at least 64 px a side")


@dataclass(frozen=True)
class Truth:
    """One particle of a frame.

    Attributes
    ----------
    label : str
        Class of the particle.
    cell : Cell
        Its box with the first diffraction ring, cut at the frame's edge, and the area of its shadow.
        ``touching``: the box overlaps another particle's box.
    particle : int or None
        The same number in every frame of a scan or flow that shows this particle; None in single frames.
    """

    label: str
    cell: Cell
    particle: int | None = None


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """A frame and all that is known about it.

    Attributes
    ----------
    image : uint8 [h, w], bright field
    truth : its particles
    labels : uint16 [h, w], 0 or the particle's place in `truth`, from 1
    fluorescence : uint8 [h, w], nuclear stain of the same field, if asked for
    """

    image: NDArray[np.uint8]
    truth: list[Truth]
    labels: NDArray[np.uint16]
    fluorescence: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Placed:
    """A particle and the pixel that its middle falls on; its number, where frames belong together."""

    particle: Particle
    x: int
    y: int
    number: int | None = None

    @property
    def half_px(self) -> int:
        """Half the side of the particle's patch."""
        return self.particle.footprint.shape[0] // 2


@dataclass(frozen=True)
class Place:
    """Where a particle lies, and the room that it takes, in px.

    Attributes
    ----------
    x, y : its middle
    half_px : half the side of its patch
    radius_px : radius of the circle with its shadow's area
    """

    x: int
    y: int
    half_px: int
    radius_px: float


def simulate_frame(
    seed: int,
    index: int = 0,
    *,
    scene: Scene | None = None,
    optics: Optics | None = None,
    fluorescence: bool = False,
) -> SimulatedFrame:
    """Simulate frame `index` of the run that `seed` names.

    A frame depends on seed, index, scene and optics only, and on a given machine always has the same bytes;
    asking for the fluorescence changes nothing else.

    Raises
    ------
    ValueError
        the particles do not fit into the frame
    """
    scene, optics = scene or Scene(), optics or Optics()
    cells, camera, stain = spawn_rngs(seed, index)
    placed = _populate(cells, scene, optics)
    focus_um = cells.normal(*scene.focus_um)
    return record(seed, placed, focus_um, camera, stain if fluorescence else None, scene=scene, optics=optics)


def spawn_rngs(seed: int, index: int) -> list[np.random.Generator]:
    """Random numbers of a frame: for its particles, its camera and its stain."""
    children = np.random.SeedSequence(seed, spawn_key=(1, index)).spawn(3)
    return [np.random.default_rng(child) for child in children]


def record(
    seed: int,
    placed: Sequence[Placed],
    focus_um: float,
    camera: np.random.Generator,
    stain: np.random.Generator | None,
    *,
    scene: Scene,
    optics: Optics,
) -> SimulatedFrame:
    """Image particles through the lamp and the camera that `seed` names; with `stain`, their nuclei too."""
    lamp = _lamp(seed, scene, optics) * np.float32(1 + 0.01 * camera.standard_normal())
    intensity = _bright_field(placed, focus_um, scene, optics)
    truth, labels = _annotate(placed, scene, optics)
    return SimulatedFrame(
        image=_expose(camera, intensity * lamp, scene),
        truth=truth,
        labels=labels,
        fluorescence=None if stain is None else _nuclear_stain(stain, placed, focus_um, scene, optics),
    )


def _populate(rng: np.random.Generator, scene: Scene, optics: Optics) -> list[Placed]:
    """Draw the particles and put them down one by one where there is room."""
    placed: list[Placed] = []
    places: list[Place] = []
    for label in draw_labels(rng, scene):
        particle = DRAWS[label](rng, optics.pixel_um, optics.medium_index)
        place = find_room(rng, particle, places, scene, optics)
        places.append(place)
        placed.append(Placed(particle, place.x, place.y))
    return placed


def draw_labels(rng: np.random.Generator, scene: Scene) -> list[str]:
    """Class of each particle on an area as large as a frame."""
    weights = dict(scene.mix)
    share = np.array([weights.get(model.label, 0.0) for model in LEUKOCYTES])
    kinds = rng.choice(len(LEUKOCYTES), rng.poisson(scene.leukocytes), p=share / share.sum())
    labels = [LEUKOCYTES[kind].label for kind in kinds]
    return labels + ["erythrocyte"] * rng.poisson(scene.erythrocytes) + ["debris"] * rng.poisson(scene.debris)


def find_room(
    rng: np.random.Generator, particle: Particle, others: Sequence[Place], scene: Scene, optics: Optics
) -> Place:
    """Find a random place in a frame for a particle that is far enough from the others."""
    # boxes apart, with room for the rings of both
    gap = 2 * _RING_UM / optics.pixel_um + 2
    half_px = particle.footprint.shape[0] // 2
    radius_px = float(np.sqrt(particle.footprint.sum() / np.pi))
    for _ in range(1000):
        x, y = int(rng.integers(scene.width_px)), int(rng.integers(scene.height_px))
        if scene.separate:
            near = (max(abs(x - o.x), abs(y - o.y)) - half_px - o.half_px < gap for o in others)
        else:
            near = (np.hypot(x - o.x, y - o.y) < scene.closest * (radius_px + o.radius_px) for o in others)
        if not any(near):
            return Place(x, y, half_px, radius_px)
    raise ValueError(f"{len(others) + 1} or more particles do not fit into the frame; ask for fewer")


def _paste(stack: NDArray[np.float32], patch: NDArray[np.float32], x: int, y: int) -> None:
    """Add a patch [slabs, h, w] centred at (x, y); what lies outside the stack is lost."""
    target, source = _overlap(stack.shape[1:], patch.shape[1:], x, y)
    stack[(slice(None), *target)] += patch[(slice(None), *source)]


def _overlap(
    size: tuple[int, ...], patch: tuple[int, ...], x: int, y: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a field and of a patch centred at (x, y) that cover the same pixels."""
    target, source = [], []
    for middle, length, extent in zip((y, x), patch, size, strict=True):
        start = middle - length // 2
        low = min(max(start, 0), extent)
        high = max(min(start + length, extent), low)
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    return (target[0], target[1]), (source[0], source[1])


def _padded(scene: Scene, optics: Optics) -> tuple[tuple[int, int], int]:
    """Size of the periodic field to image, good for the FFT, and the frame's offset in it."""
    margin = round(_MARGIN_UM / optics.pixel_um)
    return (
        cv2.getOptimalDFTSize(scene.height_px + 2 * margin),
        cv2.getOptimalDFTSize(scene.width_px + 2 * margin),
    ), margin


def _bright_field(
    placed: Sequence[Placed], focus_um: float, scene: Scene, optics: Optics
) -> NDArray[np.float32]:
    """Intensity [h, w] of the frame, 1 in the clear."""
    size, margin = _padded(scene, optics)
    path = np.zeros((len(SLAB_DEPTHS_UM), *size), np.float32)
    loss = np.zeros_like(path)
    for item in placed:
        particle, x, y = item.particle, item.x + margin, item.y + margin
        _paste(path, particle.path_um, x, y)
        if particle.loss_per_path > 0:
            _paste(loss, particle.path_um * np.float32(particle.loss_per_path), x, y)
    path *= np.float32(optics.wavenumber)
    whole = image(path, loss, SLAB_DEPTHS_UM, focus_um, optics)
    return whole[margin : margin + scene.height_px, margin : margin + scene.width_px]


@lru_cache(maxsize=2)
def _lamp(seed: int, scene: Scene, optics: Optics) -> NDArray[np.float32]:
    """Relative illumination [h, w]: fall-off about a slightly decentred lamp, and the shadows of dust.

    Dust sits on glass far from the focus, so that its shadow is its own outline smeared over the condenser's
    aperture: a faint disc with a soft edge.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    height, width = scene.height_px, scene.width_px
    y = np.arange(height, dtype=np.float32)[:, None] - height * np.float32(rng.uniform(0.4, 0.6))
    x = np.arange(width, dtype=np.float32) - width * np.float32(rng.uniform(0.4, 0.6))
    square = y**2 + x**2
    lamp: NDArray[np.float32] = 1 - np.float32(scene.falloff) * square / square.max()
    for _ in range(scene.dust):
        speck_um = rng.uniform(2, 8)
        blur_um = optics.condenser_na * rng.uniform(20, 120)
        radius, edge = (max(speck_um, blur_um) / optics.pixel_um, min(speck_um, blur_um) / optics.pixel_um)
        depth = 0.35 * min(1.0, (speck_um / blur_um) ** 2) * rng.uniform(0.3, 1)
        half = int(radius + edge) + 2
        v, u = np.mgrid[-half : half + 1, -half : half + 1]
        shape = np.hypot(u, v * rng.uniform(0.8, 1.25))
        shadow = depth * np.clip((radius + edge - shape) / (2 * edge), 0, 1)
        place = int(rng.integers(width)), int(rng.integers(height))
        target, source = _overlap(lamp.shape, shadow.shape, *place)
        lamp[target] *= 1 - shadow[source].astype(np.float32)
    lamp.setflags(write=False)
    return lamp


def _expose(rng: np.random.Generator, intensity: NDArray[np.float32], scene: Scene) -> NDArray[np.uint8]:
    """Record with shot noise (Gaussian at these thousands of electrons) and read noise, in 8 bits."""
    electrons = intensity * np.float32(scene.brightness / 255 * scene.full_well_e)
    deviation = np.sqrt(np.maximum(electrons, 0) + np.float32(scene.read_noise_e**2))
    electrons += deviation * rng.standard_normal(electrons.shape, np.float32)
    grey: NDArray[np.float32] = np.rint(electrons * np.float32(255 / scene.full_well_e))
    return np.clip(grey, 0, 255).astype(np.uint8)


def _annotate(
    placed: Sequence[Placed], scene: Scene, optics: Optics
) -> tuple[list[Truth], NDArray[np.uint16]]:
    """Boxes and the mask of instances; where shadows overlap the earlier particle keeps the pixel.

    A particle whose shadow lies outside the frame is in neither.
    """
    ring = round(_RING_UM / optics.pixel_um)
    labels = np.zeros((scene.height_px, scene.width_px), np.uint16)
    boxes, areas = [], []
    for item in placed:
        footprint = item.particle.footprint
        target, source = _overlap(labels.shape, footprint.shape, item.x, item.y)
        areas.append(int(footprint[source].sum()))
        view = labels[target]
        view[footprint[source] & (view == 0)] = np.count_nonzero(areas)
        rows, columns = np.flatnonzero(footprint.any(axis=1)), np.flatnonzero(footprint.any(axis=0))
        low = np.array([item.x + columns[0], item.y + rows[0]]) - item.half_px - ring
        high = np.array([item.x + columns[-1], item.y + rows[-1]]) - item.half_px + 1 + ring
        boxes.append([*low, *high])
    box = np.array(boxes, int).reshape(-1, 4)
    meet = ((box[:, None, :2] < box[None, :, 2:]) & (box[None, :, :2] < box[:, None, 2:])).all(axis=2)
    touching = meet.sum(axis=1) > 1  # each box meets itself
    cut = np.clip(box, 0, np.array([scene.width_px, scene.height_px] * 2))
    border = (cut != box).any(axis=1)
    cut[:, 2:] -= cut[:, :2]  # width and height
    cells = (
        Cell(x, y, width, height, float(area), clipped, meets)
        for (x, y, width, height), area, clipped, meets in zip(
            cut.tolist(), areas, border.tolist(), touching.tolist(), strict=True
        )
    )
    truth = [
        Truth(item.particle.label, cell, item.number)
        for item, cell in zip(placed, cells, strict=True)
        if cell.area_px
    ]
    return truth, labels


def _nuclear_stain(
    rng: np.random.Generator, placed: Sequence[Placed], focus_um: float, scene: Scene, optics: Optics
) -> NDArray[np.uint8]:
    """Fluorescence of a nuclear stain (emission 0.46 µm): slabs of nuclei, each blurred by its defocus.

    The frame is refocused to the middle of the cells, as an operator does between the two exposures; the
    width in focus is 0.21 λ/NA (Zhang, Zerubia & Olivo-Marin, *Appl. Opt.* 46:1819, 2007).
    """
    (height, width), margin = _padded(scene, optics)
    nuclei = np.zeros((len(SLAB_DEPTHS_UM), height, width), np.float32)
    for item in placed:
        brightness = np.float32(rng.uniform(0.8, 1.2))
        _paste(nuclei, item.particle.nucleus_um * brightness, item.x + margin, item.y + margin)
    total = np.zeros((height, width), np.float32)
    middle = focus_um - scene.focus_um[0] + 4.2
    for depth, slab in zip(SLAB_DEPTHS_UM, nuclei, strict=True):
        spread = np.hypot(0.21 * 0.46 / optics.objective_na, 0.25 * optics.objective_na * abs(depth - middle))
        total += cv2.GaussianBlur(slab, (0, 0), spread / optics.pixel_um)
    photons = 6 + 60 * total[margin : margin + scene.height_px, margin : margin + scene.width_px]
    return np.clip(rng.poisson(photons) * 0.5, 0, 255).astype(np.uint8)
