"""Refractive-index models of the particles in a leukocyte suspension, cut into slabs of optical path.

Everything is in µm; z = 0 is the slide that the cells have settled on. A particle is built on a patch of its
own, so that the cost of a frame is that of its cells and not of the empty space between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Real = NDArray[np.float64]

SLAB_EDGES_UM = (0.0, 2.2, 4.4, 6.6, 20.0)
"""Cuts between the slabs, about the depth of field apart; the last slab takes the tops of tall cells."""

SLAB_DEPTHS_UM = (1.1, 3.3, 5.5, 7.7)
"""Height at which each slab is imaged."""


@dataclass(frozen=True, eq=False)
class Particle:
    """One cell or bit of debris on a patch whose middle is the particle's.

    Attributes
    ----------
    label : class name
    path_um : float32 [slabs, h, w], optical path in excess of the medium's, ∫ (n − n_medium) dz
    nucleus_um : float32 [slabs, h, w], thickness of the nucleus (zero where there is none)
    footprint : bool [h, w], the particle's shadow
    loss_per_path : attenuation of the amplitude, in neper a µm of optical path
    """

    label: str
    path_um: Array
    nucleus_um: Array
    footprint: NDArray[np.bool_]
    loss_per_path: float = 0.0


@dataclass(frozen=True)
class Leukocyte:
    """Parameters of one class of leukocytes; pairs are mean and standard deviation.

    Attributes
    ----------
    label : class name
    diameter_um : of the cell seen from above
    roughness : relative standard deviation of the outline's radius
    cytoplasm_index, nucleus_index : refractive indices
    nucleus : arrangement of the nucleus
    nucleus_scale : nuclear size: radius of a round nucleus, of the sausage of a kidney-shaped one, or of the
        ball with the volume of all lobes, relative to the cell's radius
    granules : number of granules that a bright-field microscope can see
    granule_um : their diameter
    granule_index : their refractive index
    clumps : standard deviation of the nucleus's index, chromatin being clumped
    coarse : fraction of the cells with two lobes and large granules instead (eosinophils)
    """

    label: str
    diameter_um: tuple[float, float]
    roughness: float
    cytoplasm_index: tuple[float, float]
    nucleus_index: tuple[float, float]
    nucleus: Literal["lobed", "round", "kidney"]
    nucleus_scale: tuple[float, float]
    granules: tuple[float, float]
    granule_um: tuple[float, float]
    granule_index: tuple[float, float]
    clumps: float
    coarse: float = 0.0


LEUKOCYTES = (
    Leukocyte(
        "granulocyte",
        diameter_um=(9.0, 0.75),
        roughness=0.018,
        cytoplasm_index=(1.360, 0.002),
        nucleus_index=(1.348, 0.002),
        nucleus="lobed",
        nucleus_scale=(0.62, 0.03),
        granules=(290, 70),
        granule_um=(0.40, 0.07),
        granule_index=(1.410, 0.006),
        clumps=0.0025,
        coarse=0.04,
    ),
    Leukocyte(
        "lymphocyte",
        diameter_um=(7.6, 0.75),
        roughness=0.012,
        cytoplasm_index=(1.363, 0.002),
        nucleus_index=(1.359, 0.002),
        nucleus="round",
        nucleus_scale=(0.84, 0.035),
        granules=(6, 5),
        granule_um=(0.35, 0.06),
        granule_index=(1.395, 0.006),
        clumps=0.0045,
    ),
    Leukocyte(
        "monocyte",
        diameter_um=(9.6, 0.95),
        roughness=0.027,
        cytoplasm_index=(1.358, 0.002),
        nucleus_index=(1.350, 0.002),
        nucleus="kidney",
        nucleus_scale=(0.42, 0.03),
        granules=(90, 35),
        granule_um=(0.30, 0.05),
        granule_index=(1.395, 0.006),
        clumps=0.0025,
    ),
)
"""The three parts of the differential.

Diameters are those of living cells in suspension, spheres of under 10 µm and not the 10–20 µm discs of a
smear (Schmid-Schönbein, Shih & Chien, *Blood* 56:866, 1980): neutrophils 8.3–8.4 µm (7.1–10.3) and monocytes
8.1–8.8 µm (Downey et al., *J. Appl. Physiol.* 69:1767, 1990, cytometer and Coulter counter); lymphocytes
7.4 µm from their volume of 210 fL, 8.2 µm from the Coulter counter's 289 fL (Segel, Cokelet & Lichtman,
*Blood* 57:894, 1981). Granulocytes and monocytes are drawn a little larger, as cells settled on glass are.
The spreads overlap.

A neutrophil's nucleus fills 21 % of it and its granules 15 % (Schmid-Schönbein et al.); only granules large
enough to be seen are drawn one by one, the others are in the cytoplasm's index. Nuclei have a lower index
than cytoplasm (Schürmann et al., *J. Biophotonics* 9:1068, 2016). A sphere with a segmented nucleus and many
small spheres is the neutrophil of Orlova et al., *J. Biomed. Opt.* 13:054057, 2008. The index values are
ours, within the 1.35–1.42 usual for leukocytes.
"""


def leukocyte(model: Leukocyte, rng: np.random.Generator, pixel_um: float, medium_index: float) -> Particle:
    """Draw one leukocyte: body with a denser cortex, nucleus with chromatin clumps and envelope, granules."""
    radius = 0.5 * _draw(rng, model.diameter_um, spread=2.5)
    flatness = rng.uniform(0.84, 0.97)  # settled cells are slightly oblate
    outline = _outline(rng, radius, model.roughness)
    x, y, rim = _polar_patch(outline, 1.2 * radius, pixel_um)
    middle = flatness * radius + rng.uniform(0.0, 0.4)

    body = _lens(x, y, rim, radius, flatness, middle)
    cortex = body - _lens(x, y, rim - 0.25, radius - 0.25, flatness, middle)
    coarse = rng.random() < model.coarse
    balls = _nucleus(model, rng, radius, coarse)
    nucleus = np.minimum(_union(balls, x, y, flatness, middle), body)
    envelope = nucleus - np.minimum(_union(balls - (0, 0, 0, 0.22), x, y, flatness, middle), nucleus)

    cytoplasm = _draw(rng, model.cytoplasm_index) - medium_index
    dip = _draw(rng, model.nucleus_index) - medium_index - cytoplasm
    path = body * (cytoplasm + 0.0012 * _texture(rng, body.shape, 0.3 / pixel_um))
    path += 0.012 * cortex + 0.018 * envelope
    path += nucleus * (dip + model.clumps * _texture(rng, body.shape, 0.35 / pixel_um))

    count = max(0, round(_draw(rng, model.granules)))
    mean, spread = model.granule_um
    size = (2 * mean, 1.5 * spread) if coarse else (mean, spread)
    granules = _scatter(rng, count // 3 if coarse else count, size, radius, balls)
    contrast = _draw(rng, model.granule_index) - medium_index - cytoplasm
    _stamp(path, granules * (1, 1, flatness, 1) + (0, 0, middle, 0), contrast, pixel_um)
    return Particle(model.label, path, nucleus, body.sum(axis=0) > 0)


def erythrocyte(rng: np.random.Generator, pixel_um: float, medium_index: float) -> Particle:
    """Draw a biconcave disc, lying, tilted or deformed, or now and then a sphere.

    Shape: Evans & Fung, *Microvasc. Res.* 4:335, 1972 (300 mosm: diameter 7.82 µm, thickness
    (1 − ρ²)^½ (0.81 + 7.83 ρ² − 4.39 ρ⁴) µm). Haemoglobin of 33 g/dL absorbs about 0.05 a µm at 530–550 nm
    and gives an index near 1.40.
    """
    contrast = rng.normal(1.400, 0.004) - medium_index
    loss = 0.5 * 0.05 / contrast
    if rng.random() < 0.1:
        radius = rng.normal(3.0, 0.2)
        x, y, rim = _polar_patch(_outline(rng, radius, 0.01), 1.2 * radius, pixel_um)
        body = _lens(x, y, rim, radius, 1.0, radius)
    else:
        radius = _draw(rng, (3.83, 0.22))
        tilt = np.radians(rng.uniform(25, 65) if rng.random() < 0.15 else abs(rng.normal(0, 10)))
        disc = _biconcave(rng, radius, tilt, pixel_um)
        # a disc is thin: all of it at the height of its middle
        body = np.zeros((len(SLAB_DEPTHS_UM), *disc.shape), np.float32)
        body[_slab_of(radius * np.sin(tilt) + 1.2)] = disc
    footprint = body.sum(axis=0) > 0.05
    return Particle("erythrocyte", body * np.float32(contrast), np.zeros_like(body), footprint, loss)


def debris(rng: np.random.Generator, pixel_um: float, medium_index: float) -> Particle:
    """Draw a platelet (2–3 µm) or an irregular, slightly absorbing fragment or clump of 1–8 µm."""
    if rng.random() < 0.6:
        index, loss = rng.normal(1.375, 0.006), 0.0
        size, flatness = rng.uniform(1.0, 1.6), rng.uniform(0.4, 0.8)
        balls = np.array([[0.0, 0.0, 0.0, size]])
    else:
        index, loss = rng.normal(1.400, 0.015), 0.4
        size, flatness = min(2.5, 0.5 + rng.exponential(0.7)), rng.uniform(0.4, 0.9)
        count = int(rng.integers(2, 7))
        steps = np.cumsum(rng.normal(0, 0.65 * size, (count, 3)), axis=0)
        balls = np.column_stack([steps - steps.mean(axis=0), size * rng.uniform(0.45, 1.0, count)])
    reach = float((np.hypot(balls[:, 0], balls[:, 1]) + balls[:, 3]).max())
    x, y, _ = _polar_patch(lambda angle: np.full_like(angle, reach), reach + 0.4, pixel_um)
    bend_x, bend_y = rng.uniform(-0.25, 0.25, 2)  # neither is a platelet round
    x, y = x + bend_x * np.sin(1.5 * y / size), y + bend_y * np.sin(1.5 * x / size)
    bottom = float((flatness * (balls[:, 3] - balls[:, 2])).max())
    body = _union(balls, x, y, flatness, bottom + rng.uniform(0, 5))
    path = body * ((index - medium_index) * (1 + 0.15 * _texture(rng, body.shape, 0.25 / pixel_um)))
    return Particle("debris", path, np.zeros_like(body), body.sum(axis=0) > 0.05, loss)


def _draw(rng: np.random.Generator, pair: tuple[float, float], spread: float = 3.0) -> float:
    """Normal deviate of a (mean, standard deviation), cut at `spread` standard deviations."""
    mean, deviation = pair
    return mean + deviation * float(np.clip(rng.standard_normal(), -spread, spread))


def _outline(rng: np.random.Generator, radius: float, roughness: float) -> Callable[[Real], Real]:
    """Radius against angle: low harmonics with falling amplitudes and the given relative deviation in all."""
    order = np.arange(2, 8)
    falling = 1.0 / order
    amplitude = rng.normal(0, 1, order.size) * falling * roughness * np.sqrt(2) / np.linalg.norm(falling)
    turn = rng.uniform(0, 2 * np.pi, order.size)

    def outline(angle: Real) -> Real:
        waves = (a * np.cos(k * angle + t) for a, k, t in zip(amplitude, order, turn, strict=True))
        return radius * (1 + sum(waves, np.zeros_like(angle)))

    return outline


def _polar_patch(
    outline: Callable[[Real], Real], reach_um: float, pixel_um: float
) -> tuple[Real, Real, Real]:
    """Coordinates x, y [h, w] about the patch's middle and the outline's radius in each pixel's direction."""
    half = int(np.ceil(reach_um / pixel_um)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * pixel_um
    return x, y, outline(np.arctan2(y, x))


def _slabs(middle: Real | float, half: Real) -> Array:
    """Length of the column middle ± half [h, w] inside each slab, [slabs, h, w]."""
    edges = np.array(SLAB_EDGES_UM)[:, None, None]
    return np.diff(np.clip(edges, middle - half, middle + half), axis=0).astype(np.float32)


def _lens(x: Real, y: Real, rim: Real, radius: float, flatness: float, middle: float) -> Array:
    """Slabs of a near-ellipsoid with the given outline."""
    return _slabs(middle, flatness * radius * np.sqrt(np.maximum(1 - (x**2 + y**2) / rim**2, 0)))


def _union(balls: Real, x: Real, y: Real, flatness: float, middle: float) -> Array:
    """Slabs of the union of flattened balls (x, y, z, radius); where two share a slab the thicker counts."""
    union = np.zeros((len(SLAB_DEPTHS_UM), *x.shape), np.float32)
    for bx, by, bz, br in balls:
        half = flatness * np.sqrt(np.maximum(max(br, 0) ** 2 - (x - bx) ** 2 - (y - by) ** 2, 0))
        np.maximum(union, _slabs(middle + flatness * bz, half), out=union)
    return union


def _nucleus(model: Leukocyte, rng: np.random.Generator, radius: float, coarse: bool) -> Real:
    """Balls (x, y, z, radius) that make up a nucleus inside a cell of the given radius."""
    scale = _draw(rng, model.nucleus_scale) * radius
    if model.nucleus == "round":
        offset = rng.normal(0, 0.02 * radius, 3)
        oval = rng.normal(0, 0.03 * radius, 3)
        balls = np.array([[*(offset + oval), scale], [*(offset - oval), scale]])
    elif model.nucleus == "kidney":
        angle = np.linspace(-1, 1, 7) * np.radians(rng.uniform(75, 115))
        arc = 0.46 * radius
        size = scale * (1 - 0.1 * np.cos(angle))
        balls = np.column_stack([arc * np.cos(angle), arc * np.sin(angle), 0 * angle, size])
        balls[:, :3] += rng.normal(0, 0.04 * radius, 3)
        balls[:, :3] @= _rotation(rng, 0.5)
    else:
        lobes = 2 if coarse else int(rng.choice([2, 3, 4, 5], p=[0.15, 0.4, 0.33, 0.12]))
        size = scale / lobes ** (1 / 3) * rng.uniform(0.85, 1.15, lobes)
        arc = 0.52 * radius
        gap = 2 * np.arcsin(min(0.95, 0.98 * size.mean() / arc))
        angle = gap * (np.arange(lobes) - (lobes - 1) / 2) + rng.normal(0, 0.12, lobes)
        height = rng.normal(0, 0.14 * radius, lobes)
        centre = np.column_stack([arc * np.cos(angle), arc * np.sin(angle), height])
        bridge = np.column_stack([(centre[1:] + centre[:-1]) / 2, np.full(lobes - 1, 0.45)])
        balls = np.concatenate([np.column_stack([centre, size]), bridge])
        balls[:, :3] @= _rotation(rng, 1.0)
    # no lobe leaves the cell
    farthest = np.maximum(0.95 * radius - balls[:, 3:], 0)
    distance = np.linalg.norm(balls[:, :3], axis=1, keepdims=True)
    balls[:, :3] *= np.minimum(1, farthest / np.maximum(distance, 1e-9))
    return balls


def _rotation(rng: np.random.Generator, tilt: float) -> Real:
    """Random rotation [3, 3]: any turn about the vertical after a tilt of standard deviation `tilt` rad."""
    turn, lean = rng.uniform(0, 2 * np.pi), rng.normal(0, tilt)
    c, s, cl, sl = np.cos(turn), np.sin(turn), np.cos(lean), np.sin(lean)
    return np.array([[c, s, 0], [-cl * s, cl * c, sl], [sl * s, -sl * c, cl]])


def _texture(rng: np.random.Generator, shape: tuple[int, ...], sigma_px: float) -> Array:
    """Smooth random field [slabs, h, w] of unit deviation and the given correlation length."""
    noise = np.moveaxis(rng.standard_normal(shape, np.float32), 0, -1)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma_px) * (2 * np.sqrt(np.pi) * sigma_px)
    return np.ascontiguousarray(np.moveaxis(smooth, -1, 0))


def _scatter(
    rng: np.random.Generator, count: int, size_um: tuple[float, float], radius: float, balls: Real
) -> Real:
    """Granules (x, y, z, radius) evenly in the cell's sphere but outside its nucleus; at most `count`."""
    place = rng.uniform(-1, 1, (5 * count + 20, 3)) * radius
    inside = (place**2).sum(axis=1) < (0.93 * radius) ** 2
    apart = ((place[:, None] - balls[:, :3]) ** 2).sum(axis=2) > np.maximum(balls[:, 3], 0) ** 2
    place = place[inside & apart.all(axis=1)][:count]
    mean, deviation = size_um
    diameter = np.maximum(rng.normal(mean, deviation, len(place)), 0.5 * mean)
    return np.column_stack([place, diameter / 2])


def _stamp(path: Array, granules: Real, contrast: float, pixel_um: float) -> None:
    """Add each granule's projection to its slab; its optical volume is exact however small it is."""
    if len(granules) == 0:
        return
    half = path.shape[1] // 2
    reach = int(np.ceil(granules[:, 3].max() / pixel_um)) + 1
    middle = np.rint(granules[:, :2] / pixel_um).astype(int)
    pixel = middle[:, :, None] + np.arange(-reach, reach + 1)
    away = pixel * pixel_um - granules[:, :2, None]
    # half a pixel is added to the radius so that no granule falls between the pixels
    soft = (granules[:, 3] + 0.5 * pixel_um)[:, None, None] ** 2
    profile = np.sqrt(np.maximum(soft - away[:, 1, :, None] ** 2 - away[:, 0, None, :] ** 2, 0))
    volume = 4 / 3 * np.pi * granules[:, 3] ** 3
    profile *= (contrast * volume / (profile.sum(axis=(1, 2)) * pixel_um**2))[:, None, None]
    slab = _slab_of(granules[:, 2])[:, None, None]
    np.add.at(path, (slab, half + pixel[:, 1, :, None], half + pixel[:, 0, None, :]), profile)


def _slab_of(height: Real | float) -> NDArray[np.intp]:
    """Which slab a height lies in."""
    return np.clip(np.searchsorted(SLAB_EDGES_UM, height) - 1, 0, len(SLAB_DEPTHS_UM) - 1)


def _biconcave(rng: np.random.Generator, radius: float, tilt: float, pixel_um: float) -> Array:
    """Projected thickness [h, w] of an Evans–Fung disc, tilted, stretched a little and unevenly outlined."""
    stretch = rng.uniform(0.88, 1.0) if rng.random() < 0.7 else rng.uniform(0.65, 0.88)
    order, wave, turn = rng.integers(2, 6), abs(rng.normal(0, 0.025)), rng.uniform(0, 2 * np.pi)
    axis = rng.uniform(0, np.pi)
    half = int(np.ceil(1.1 * radius / pixel_um)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32) * np.float32(pixel_um)
    u, v = x * np.cos(axis) + y * np.sin(axis), y * np.cos(axis) - x * np.sin(axis)
    step = np.float32(0.2)
    reach = radius * np.sin(tilt) + 1.5
    z = np.arange(-reach, reach + step, step, dtype=np.float32)[:, None, None]
    across, above = u * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - u * np.sin(tilt)
    along = v / stretch
    rho2 = (across**2 + along**2) / radius**2
    rho2 *= 1 + wave * np.cos(order * np.arctan2(along, across) + turn)
    thickness = np.sqrt(np.maximum(1 - rho2, 0)) * (0.81 + 7.83 * rho2 - 4.39 * rho2**2) * (radius / 3.91)
    filled = np.clip((thickness / 2 - np.abs(above)) / step + 0.5, 0, 1) * (rho2 < 1)
    return np.asarray(step * filled.sum(axis=0), np.float32)
