"""``simulate``: the simulated microscope as a camera with an exposure, a gain and a sensor's noise."""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.capture import CLEAR_FIELD, CameraError, CameraSettings, clear_field, converge
from edge.simulate.scene import Scene, simulate_frame

SIZE = (820, 616)
EXPOSURE_LIMITS_US = (20, 200_000)
FIRST_EXPOSURE_US = 1_000
CLEAR_FIELD_US = 8_000
"""Exposure that brings the brightest of the clear field, without gain, to grey level `CLEAR_FIELD`."""

FULL_WELL_E = 9_000.0
READ_NOISE_E = 5.0
"""Of the sensor: the electrons that a pixel holds, grey level 255 without gain; its noise without light."""

# grey level of the clear field in what is rendered without noise: fine steps, and room for brighter places
_RENDERED = 128.0


class SimulatedCamera:
    """New fields of simulated cells, one each time it is asked; see `edge.capture.camera.Camera` for the methods.

    Field k of a seed is always the same one, and with the same settings so is its frame. Settling looks at
    the next field, as one does before counting, and does not use it up.

    Parameters
    ----------
    seed : names the sample
    name, size, done : see `edge.run.cameras.open_camera`
    """

    paced = False

    def __init__(
        self,
        seed: int = 0,
        *,
        name: str = "simulate",
        size: tuple[int, int] | None = None,
        done: Collection[str] = frozenset(),
    ) -> None:
        self.name = name
        self._seed = seed
        self._done = done
        self._exposure_us, self._gain = FIRST_EXPOSURE_US, 1.0
        self._exposure_given = False
        width, height = size or SIZE
        whole = Scene()
        share = width * height / (whole.width_px * whole.height_px)
        try:
            self._scene = Scene(
                width_px=width,
                height_px=height,
                leukocytes=whole.leukocytes * share,
                erythrocytes=whole.erythrocytes * share,
                debris=whole.debris * share,
                brightness=_RENDERED,
                full_well_e=1e12,
                read_noise_e=0.0,
            )
        except ValueError as error:
            raise CameraError(f"{name}: {error}") from error
        self._index = 0
        self._field: NDArray[np.float32] | None = None

    def settle(self, timeout_s: float) -> CameraSettings:
        """Expose the clear field to its grey level; there is nothing to wait for."""

        def measure(exposure_us: float) -> tuple[float, float]:
            self._exposure_us = round(min(max(exposure_us, EXPOSURE_LIMITS_US[0]), EXPOSURE_LIMITS_US[1]))
            return self._exposure_us, clear_field(self._expose())

        if not self._exposure_given:
            converge(measure, self._exposure_us)
        return CameraSettings(self._exposure_us, self._gain)

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Take an exposure and a gain; it sees no colours to balance."""
        if settings.colour_gains is not None:
            raise CameraError(f"{self.name}: colour gains cannot be set")
        low, high = EXPOSURE_LIMITS_US
        if settings.exposure_us is not None:
            if not low <= settings.exposure_us <= high:
                raise CameraError(f"{self.name}: its exposure goes from {low} to {high} µs")
            self._exposure_us, self._exposure_given = settings.exposure_us, True
        if settings.gain is not None:
            if not settings.gain > 0:
                raise CameraError(f"{self.name}: its gain must be above 0")
            self._gain = settings.gain

    def grab(self, timeout_s: float) -> Frame:
        """Simulate the next field that is not done; that takes the time that it takes."""
        while f"{self.name}#{self._index}" in self._done:
            self._index += 1
            self._field = None
        image = self._expose()
        index, self._index, self._field = self._index, self._index + 1, None
        said: dict[str, float | str] = {"exposure_us": self._exposure_us, "gain": self._gain}
        return Frame(image, f"{self.name}#{index}", index, time.time_ns(), said)

    def close(self) -> None:
        """Nothing is held."""

    def _expose(self) -> NDArray[np.uint8]:
        """Expose the next field."""
        if self._field is None:
            rendered = simulate_frame(self._seed, self._index, scene=self._scene).image
            self._field = rendered.astype(np.float32) / np.float32(_RENDERED)
        noise = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(2, self._index)))
        return expose(self._field, self._exposure_us, self._gain, noise)


def expose(
    field: NDArray[np.float32], exposure_us: float, gain: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Record a field with a sensor: light collects, shot and read noise join, gain amplifies it all.

    Parameters
    ----------
    field : float32 [h, w], intensity, 1 where it is clear and brightest
    exposure_us : in which electrons collect, in proportion, up to `FULL_WELL_E`
    gain : on them and on their noise, before 8 bits are made of it
    rng : draws the noise

    Returns
    -------
    uint8 [h, w], grey
    """
    electrons = field * np.float32(exposure_us / CLEAR_FIELD_US * CLEAR_FIELD / 255 * FULL_WELL_E)
    # shot noise of that many electrons is as good as normal
    deviation = np.sqrt(electrons + np.float32(READ_NOISE_E**2))
    electrons += deviation * rng.standard_normal(electrons.shape, np.float32)
    grey: NDArray[np.float32] = np.minimum(electrons, np.float32(FULL_WELL_E))
    grey = np.rint(grey * np.float32(gain * 255 / FULL_WELL_E))
    return np.clip(grey, 0, 255).astype(np.uint8)
