"""Drawing of particles: leukocytes, erythrocytes and debris as refractive-index models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.simulate.leukocytes import LEUKOCYTES, Leukocyte
from edge.simulate.particle import SLAB_DEPTHS_UM, SLAB_EDGES_UM, Array, Particle

Real = NDArray[np.float64]


def leukocyte(model: Leukocyte, rng: np.random.Generator, pixel_um: float, medium_index: float) -> Particle:
    """Draw a leukocyte: body with a denser cortex, nucleus with chromatin clumps and envelope, granules."""
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
    """Draw a biconcave disc, lying, tilted or deformed, or in one case of ten a sphere.

    Shape: Evans & Fung, *Microvasc. Res.* 4:335, 1972 (300 mosm: diameter 7.82 µm, thickness
    (1 − ρ²)^½ (0.81 + 7.83 ρ² − 4.39 ρ⁴) µm). Haemoglobin of 33 g/dL absorbs about 0.05 per µm at 530–550 nm
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
        # a disc is thin: all of it is at the height of its centre
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
    bend_x, bend_y = rng.uniform(-0.25, 0.25, 2)  # platelets are not round either
    x, y = x + bend_x * np.sin(1.5 * y / size), y + bend_y * np.sin(1.5 * x / size)
    bottom = float((flatness * (balls[:, 3] - balls[:, 2])).max())
    body = _union(balls, x, y, flatness, bottom + rng.uniform(0, 5))
    path = body * ((index - medium_index) * (1 + 0.15 * _texture(rng, body.shape, 0.25 / pixel_um)))
    return Particle("debris", path, np.zeros_like(body), body.sum(axis=0) > 0.05, loss)


def _draw(rng: np.random.Generator, pair: tuple[float, float], spread: float = 3.0) -> float:
    """Draw from a normal distribution (mean, standard deviation), clipped at `spread` standard deviations."""
    mean, deviation = pair
    return mean + deviation * float(np.clip(rng.standard_normal(), -spread, spread))


def _outline(rng: np.random.Generator, radius: float, roughness: float) -> Callable[[Real], Real]:
    """Return the radius as a function of the angle: low harmonics of the given relative deviation in all."""
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
    """Return coordinates x, y [h, w] from the patch's centre, and the outline's radius at each pixel."""
    half = int(np.ceil(reach_um / pixel_um)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * pixel_um
    return x, y, outline(np.arctan2(y, x))


def _slabs(middle: Real | float, half: Real) -> Array:
    """Return the length of the column middle ± half [h, w] inside each slab, [slabs, h, w]."""
    edges = np.array(SLAB_EDGES_UM)[:, None, None]
    return np.diff(np.clip(edges, middle - half, middle + half), axis=0).astype(np.float32)


def _lens(x: Real, y: Real, rim: Real, radius: float, flatness: float, middle: float) -> Array:
    """Return the slabs of a near-ellipsoid with the given outline."""
    return _slabs(middle, flatness * radius * np.sqrt(np.maximum(1 - (x**2 + y**2) / rim**2, 0)))


def _union(balls: Real, x: Real, y: Real, flatness: float, middle: float) -> Array:
    """Return the slabs of a union of flattened balls (x, y, z, radius); in a slab the thicker one counts."""
    union = np.zeros((len(SLAB_DEPTHS_UM), *x.shape), np.float32)
    for bx, by, bz, br in balls:
        half = flatness * np.sqrt(np.maximum(max(br, 0) ** 2 - (x - bx) ** 2 - (y - by) ** 2, 0))
        np.maximum(union, _slabs(middle + flatness * bz, half), out=union)
    return union


def _nucleus(model: Leukocyte, rng: np.random.Generator, radius: float, coarse: bool) -> Real:
    """Return the balls (x, y, z, radius) of a nucleus inside a cell of the given radius."""
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
    """Return a rotation [3, 3]: a turn about the vertical after a tilt of standard deviation `tilt` rad."""
    turn, lean = rng.uniform(0, 2 * np.pi), rng.normal(0, tilt)
    c, s, cl, sl = np.cos(turn), np.sin(turn), np.cos(lean), np.sin(lean)
    return np.array([[c, s, 0], [-cl * s, cl * c, sl], [sl * s, -sl * c, cl]])


def _texture(rng: np.random.Generator, shape: tuple[int, ...], sigma_px: float) -> Array:
    """Return a smooth random field [slabs, h, w] of unit deviation and the given correlation length."""
    noise = np.moveaxis(rng.standard_normal(shape, np.float32), 0, -1)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma_px) * (2 * np.sqrt(np.pi) * sigma_px)
    return np.ascontiguousarray(np.moveaxis(smooth, -1, 0))


def _scatter(
    rng: np.random.Generator, count: int, size_um: tuple[float, float], radius: float, balls: Real
) -> Real:
    """Return at most `count` granules (x, y, z, radius), evenly in the cell but outside its nucleus."""
    place = rng.uniform(-1, 1, (5 * count + 20, 3)) * radius
    inside = (place**2).sum(axis=1) < (0.93 * radius) ** 2
    apart = ((place[:, None] - balls[:, :3]) ** 2).sum(axis=2) > np.maximum(balls[:, 3], 0) ** 2
    place = place[inside & apart.all(axis=1)][:count]
    mean, deviation = size_um
    diameter = np.maximum(rng.normal(mean, deviation, len(place)), 0.5 * mean)
    return np.column_stack([place, diameter / 2])


def _stamp(path: Array, granules: Real, contrast: float, pixel_um: float) -> None:
    """Add each granule's projection to its slab, with its exact optical volume."""
    if len(granules) == 0:
        return
    half = path.shape[1] // 2
    reach = int(np.ceil(granules[:, 3].max() / pixel_um)) + 1
    middle = np.rint(granules[:, :2] / pixel_um).astype(int)
    pixel = middle[:, :, None] + np.arange(-reach, reach + 1)
    away = pixel * pixel_um - granules[:, :2, None]
    # half a pixel more radius, so that no granule falls between the pixels
    soft = (granules[:, 3] + 0.5 * pixel_um)[:, None, None] ** 2
    profile = np.sqrt(np.maximum(soft - away[:, 1, :, None] ** 2 - away[:, 0, None, :] ** 2, 0))
    volume = 4 / 3 * np.pi * granules[:, 3] ** 3
    profile *= (contrast * volume / (profile.sum(axis=(1, 2)) * pixel_um**2))[:, None, None]
    slab = _slab_of(granules[:, 2])[:, None, None]
    np.add.at(path, (slab, half + pixel[:, 1, :, None], half + pixel[:, 0, None, :]), profile)


def _slab_of(height: Real | float) -> NDArray[np.intp]:
    """Return the slab of a height."""
    return np.clip(np.searchsorted(SLAB_EDGES_UM, height) - 1, 0, len(SLAB_DEPTHS_UM) - 1)


def _biconcave(rng: np.random.Generator, radius: float, tilt: float, pixel_um: float) -> Array:
    """Return the projected thickness [h, w] of an Evans–Fung disc, tilted, stretched and uneven."""
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


DRAWS: Mapping[str, Callable[[np.random.Generator, float, float], Particle]] = {
    **{model.label: partial(leukocyte, model) for model in LEUKOCYTES},
    "erythrocyte": erythrocyte,
    "debris": debris,
}
"""How a particle of each class is drawn: from random numbers, the pixel in µm, and the medium's index."""
