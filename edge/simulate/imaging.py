"""Imaging of placed particles: the lamp, the bright field, the nuclear stain, the sensor, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.simulate.optics import image
from edge.simulate.particle import SLAB_DEPTHS_UM, Array
from edge.simulate.scene import Phantom, Placed, SimulatedFrame, Truth

RING_UM = 0.6
"""Width of the dark ring that belongs to a cell's box."""

_MARGIN_UM = 10.0
"""Room beyond the frame, for cells that its edge cuts and for the periodic field to close."""

Slices = tuple[slice, slice]


def record(phantom: Phantom, index: int, placed: Sequence[Placed], focus_um: float) -> SimulatedFrame:
    """Image the particles of a frame through the phantom's lamp and camera."""
    _, camera, stain = phantom.frame_rngs(index)
    scene = phantom.scene
    lamp = _lamp(phantom) * np.float32(1 + 0.01 * camera.standard_normal())
    intensity = _bright_field(phantom, placed, focus_um) * lamp
    electrons = intensity * np.float32(scene.brightness / 255 * scene.full_well_e)
    truth, labels = _annotate(phantom, placed)
    return SimulatedFrame(
        image=expose(electrons, scene.full_well_e, scene.read_noise_e, 1.0, camera),
        truth=truth,
        labels=labels,
        fluorescence=_nuclear_stain(phantom, placed, focus_um, stain) if phantom.fluorescence else None,
    )


def expose(
    electrons: Array, full_well_e: float, read_noise_e: float, gain: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Read a sensor out: add shot and read noise to the electrons of each pixel, and amplify both.

    Parameters
    ----------
    electrons : float32 [h, w]
        Changed in place.
    full_well_e : float
        Electrons that a pixel holds: grey level 255 without gain.
    """
    # the shot noise of thousands of electrons is nearly Gaussian
    deviation = np.sqrt(np.maximum(electrons, 0) + np.float32(read_noise_e**2))
    electrons += deviation * rng.standard_normal(electrons.shape, np.float32)
    grey: Array = np.minimum(electrons, np.float32(full_well_e))
    grey = np.rint(grey * np.float32(gain * 255 / full_well_e))
    return np.clip(grey, 0, 255).astype(np.uint8)


@lru_cache(maxsize=2)
def _lamp(phantom: Phantom) -> Array:
    """Return the relative illumination [h, w]: fall-off from a slightly decentred lamp, and shadows of dust.

    Dust sits on glass far from the focus: its shadow is its outline smeared over the condenser's aperture, a
    faint disc with a soft edge.
    """
    scene, optics, rng = phantom.scene, phantom.optics, phantom.rng(0)
    height, width = scene.height_px, scene.width_px
    y = np.arange(height, dtype=np.float32)[:, None] - height * np.float32(rng.uniform(0.4, 0.6))
    x = np.arange(width, dtype=np.float32) - width * np.float32(rng.uniform(0.4, 0.6))
    square = y**2 + x**2
    lamp: Array = 1 - np.float32(scene.falloff) * square / square.max()
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


def _bright_field(phantom: Phantom, placed: Sequence[Placed], focus_um: float) -> Array:
    """Return the intensity [h, w] of a frame, 1 in the clear field."""
    optics = phantom.optics
    path, inside, margin = _padded(phantom)
    loss = np.zeros_like(path)
    for item in placed:
        particle, x, y = item.particle, item.x + margin, item.y + margin
        _paste(path, particle.path_um, x, y)
        if particle.loss_per_path > 0:
            _paste(loss, particle.path_um * np.float32(particle.loss_per_path), x, y)
    path *= np.float32(optics.wavenumber)
    return image(path, loss, SLAB_DEPTHS_UM, focus_um, optics)[inside]


def _nuclear_stain(
    phantom: Phantom, placed: Sequence[Placed], focus_um: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the fluorescence of a nuclear stain (emission 0.46 µm): slabs of nuclei, blurred by defocus.

    The frame is refocused to the middle of the cells, as an operator does between the two exposures; the
    width in focus is 0.21 λ/NA (Zhang, Zerubia & Olivo-Marin, *Appl. Opt.* 46:1819, 2007).
    """
    optics = phantom.optics
    nuclei, inside, margin = _padded(phantom)
    for item in placed:
        brightness = np.float32(rng.uniform(0.8, 1.2))
        _paste(nuclei, item.particle.nucleus_um * brightness, item.x + margin, item.y + margin)
    total = np.zeros(nuclei.shape[1:], np.float32)
    middle = focus_um - phantom.scene.focus_um[0] + 4.2
    for depth, slab in zip(SLAB_DEPTHS_UM, nuclei, strict=True):
        spread = np.hypot(0.21 * 0.46 / optics.objective_na, 0.25 * optics.objective_na * abs(depth - middle))
        total += cv2.GaussianBlur(slab, (0, 0), spread / optics.pixel_um)
    return np.clip(rng.poisson(6 + 60 * total[inside]) * 0.5, 0, 255).astype(np.uint8)


def _annotate(phantom: Phantom, placed: Sequence[Placed]) -> tuple[list[Truth], NDArray[np.uint16]]:
    """Return the truth and the mask of instances; where shadows overlap the earlier particle keeps the pixel.

    A particle whose shadow lies outside the frame is in neither.
    """
    width, height = phantom.scene.width_px, phantom.scene.height_px
    ring = round(RING_UM / phantom.optics.pixel_um)
    labels = np.zeros((height, width), np.uint16)
    boxes, areas = [], []
    for item in placed:
        footprint = item.particle.footprint
        target, source = _overlap(labels.shape, footprint.shape, item.x, item.y)
        areas.append(int(footprint[source].sum()))
        view = labels[target]
        view[footprint[source] & (view == 0)] = np.count_nonzero(areas)
        rows, columns = np.flatnonzero(footprint.any(axis=1)), np.flatnonzero(footprint.any(axis=0))
        low = np.array([item.x + columns[0], item.y + rows[0]]) - item.particle.half_px - ring
        high = np.array([item.x + columns[-1], item.y + rows[-1]]) - item.particle.half_px + 1 + ring
        boxes.append([*low, *high])
    box = np.array(boxes, int).reshape(-1, 4)
    meet = ((box[:, None, :2] < box[None, :, 2:]) & (box[None, :, :2] < box[:, None, 2:])).all(axis=2)
    touching = meet.sum(axis=1) > 1  # each box meets itself
    cut = np.clip(box, 0, np.array([width, height] * 2))
    border = (cut != box).any(axis=1)
    truth = []
    for k, item in enumerate(placed):
        if areas[k]:
            x, y, right, bottom = cut[k].tolist()
            cell = Cell(x, y, right - x, bottom - y, float(areas[k]), bool(border[k]), bool(touching[k]))
            truth.append(Truth(item.particle.label, cell, item.number))
    return truth, labels


def _padded(phantom: Phantom) -> tuple[Array, Slices, int]:
    """Return an empty periodic field [slabs, h, w], good for the FFT, the frame's slices, and its margin."""
    scene = phantom.scene
    margin = round(_MARGIN_UM / phantom.optics.pixel_um)
    size = (cv2.getOptimalDFTSize(extent + 2 * margin) for extent in (scene.height_px, scene.width_px))
    inside = np.s_[margin : margin + scene.height_px, margin : margin + scene.width_px]
    return np.zeros((len(SLAB_DEPTHS_UM), *size), np.float32), inside, margin


def _paste(stack: Array, patch: Array, x: int, y: int) -> None:
    """Add a patch [slabs, h, w] centred at (x, y); what lies outside the stack is lost."""
    target, source = _overlap(stack.shape[1:], patch.shape[1:], x, y)
    stack[(slice(None), *target)] += patch[(slice(None), *source)]


def _overlap(size: tuple[int, ...], patch: tuple[int, ...], x: int, y: int) -> tuple[Slices, Slices]:
    """Return the slices of a field and of a patch centred at (x, y) that cover the same pixels."""
    target, source = [], []
    for middle, length, extent in zip((y, x), patch, size, strict=True):
        start = middle - length // 2
        low = min(max(start, 0), extent)
        high = max(min(start + length, extent), low)
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    return (target[0], target[1]), (source[0], source[1])
