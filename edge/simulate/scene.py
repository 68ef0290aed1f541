"""A phantom, its particles, and a frame of it with its truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.simulate.leukocytes import LEUKOCYTES
from edge.simulate.optics import Optics
from edge.simulate.particle import Particle

_CLASSES = tuple(model.label for model in LEUKOCYTES)


@dataclass(frozen=True)
class Scene:
    """What is in a frame and how it is recorded.

    Attributes
    ----------
    mix : tuple of (str, float)
        Expected share of each leukocyte class; the weights need not add up to 1.
    leukocytes, erythrocytes, debris : float
        Expected numbers per frame (Poisson).
    closest, separate
        Least distance of two centres as a share of the sum of their radii: below 1 particles overlap, unless
        they are to be kept apart.
    focus_um : (float, float)
        Height of the focal plane above the slide: mean and standard deviation between frames.
    brightness, falloff : float
        Grey level where the clear field is brightest; share of the light lost at the farthest corner.
    dust : int
        Specks of dust on the optics, out of focus, the same in all frames of a seed.
    full_well_e, read_noise_e : float
        Electrons at grey level 255, which determine the shot noise, and the read noise in electrons.
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
        for label, weight in self.mix:
            if label not in _CLASSES:
                raise ValueError(f"unknown leukocyte class {label!r}; known are {', '.join(_CLASSES)}")
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"the share of {label} must be a number of at least 0")
        if sum(weight for _, weight in self.mix) <= 0:
            raise ValueError("the shares of the leukocyte classes must not all be 0")
        if not all(number >= 0 for number in (self.leukocytes, self.erythrocytes, self.debris)):
            raise ValueError("numbers of particles must be at least 0")
        if min(self.width_px, self.height_px) < 64:
            raise ValueError("a frame must have at least 64 px a side")


@dataclass(frozen=True)
class Phantom:
    """A simulated sample, named by its seed, and the instrument that images it."""

    seed: int = 0
    scene: Scene = field(default_factory=Scene)
    optics: Optics = field(default_factory=Optics)
    fluorescence: bool = False

    def rng(self, *key: int) -> np.random.Generator:
        """Return the random numbers of one part of the phantom."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def frame_rngs(self, index: int) -> list[np.random.Generator]:
        """Return the random numbers of a frame: for its particles, its camera and its stain."""
        children = np.random.SeedSequence(self.seed, spawn_key=(1, index)).spawn(3)
        return [np.random.default_rng(child) for child in children]


@dataclass(frozen=True)
class Truth:
    """One particle of a frame.

    Attributes
    ----------
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
    """A bright-field frame with its truth, and with fluorescence the nuclear stain of the same field.

    `labels` [h, w] are 0 or the particle's place in `truth`, from 1.
    """

    image: NDArray[np.uint8]
    truth: list[Truth]
    labels: NDArray[np.uint16]
    fluorescence: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Placed:
    """A particle and the pixel of its centre; its number in a scan or flow."""

    particle: Particle
    x: int
    y: int
    number: int | None = None
