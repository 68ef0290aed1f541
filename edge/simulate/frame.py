"""One simulated frame: which particles, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.simulate.cells import DRAWS
from edge.simulate.imaging import RING_UM, record
from edge.simulate.leukocytes import LEUKOCYTES
from edge.simulate.optics import Optics
from edge.simulate.particle import Particle
from edge.simulate.scene import Phantom, Placed, Scene, SimulatedFrame


@dataclass(frozen=True)
class Place:
    """The centre of a particle, half the side of its patch, and the radius of a disc like its shadow."""

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
    """Simulate frame `index` of the sample that `seed` names.

    The frame depends on seed, index, scene and optics only, and has the same bytes on any one machine;
    fluorescence changes nothing else. Particles that do not fit into the frame raise a ValueError.
    """
    return phantom_frame(Phantom(seed, scene or Scene(), optics or Optics(), fluorescence), index)


def phantom_frame(phantom: Phantom, index: int) -> SimulatedFrame:
    """Simulate one of the independent frames of a phantom."""
    rng, optics = phantom.frame_rngs(index)[0], phantom.optics
    placed: list[Placed] = []
    places: list[Place] = []
    for label in draw_labels(rng, phantom.scene):
        particle = DRAWS[label](rng, optics.pixel_um, optics.medium_index)
        place = find_room(phantom, rng, particle, places)
        places.append(place)
        placed.append(Placed(particle, place.x, place.y))
    return record(phantom, index, placed, rng.normal(*phantom.scene.focus_um))


def draw_labels(rng: np.random.Generator, scene: Scene) -> list[str]:
    """Return the class of each particle on an area as large as a frame."""
    weights = dict(scene.mix)
    share = np.array([weights.get(model.label, 0.0) for model in LEUKOCYTES])
    kinds = rng.choice(len(LEUKOCYTES), rng.poisson(scene.leukocytes), p=share / share.sum())
    labels = [LEUKOCYTES[kind].label for kind in kinds]
    return labels + ["erythrocyte"] * rng.poisson(scene.erythrocytes) + ["debris"] * rng.poisson(scene.debris)


def find_room(
    phantom: Phantom, rng: np.random.Generator, particle: Particle, others: Sequence[Place]
) -> Place:
    """Return a random place in a frame for a particle that is far enough from the others."""
    scene = phantom.scene
    # boxes apart, with room for the rings of both
    gap = 2 * RING_UM / phantom.optics.pixel_um + 2
    half_px = particle.half_px
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
