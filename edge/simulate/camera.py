"""``simulate``: the simulated microscope as a camera with exposure, gain and sensor noise."""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.capture import CLEAR_FIELD, CameraError, CameraSettings, clear_field, converge
from edge.simulate.frame import simulate_frame
from edge.simulate.imaging import expose
from edge.simulate.scene import Scene

SIZE = (820, 616)
EXPOSURE_LIMITS_US = (20, 200_000)
FIRST_EXPOSURE_US = 1_000
CLEAR_FIELD_US = 8_000
"""Exposure that brings the brightest part of the clear field, without gain, to grey level `CLEAR_FIELD`."""

FULL_WELL_E = 9_000.0
READ_NOISE_E = 5.0
"""Electrons that a pixel holds, grey level 255 without gain, and the noise of a pixel without light."""

_RENDERED = 128.0
"""Grey level of the clear field as rendered without noise: fine steps, and room for brighter places."""


class SimulatedCamera:
    """A camera that shows a new field of simulated cells each time; see `edge.capture.camera.Camera`.

    Field k of a seed is always the same, and with the same settings so is its frame. Settling looks at the
    next field without using it up. Frames whose names are in `done` are passed over.
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
        """Expose the clear field to its grey level; this takes no waiting."""

        def measure(exposure_us: float) -> tuple[float, float]:
            self._exposure_us = round(min(max(exposure_us, EXPOSURE_LIMITS_US[0]), EXPOSURE_LIMITS_US[1]))
            return self._exposure_us, clear_field(self._expose())

        if not self._exposure_given:
            converge(measure, self._exposure_us)
        return CameraSettings(self._exposure_us, self._gain)

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Set exposure and gain."""
        if settings.colour_gains is not None:
            raise CameraError(f"{self.name}: colour gains cannot be set")
        low, high = EXPOSURE_LIMITS_US
        if settings.exposure_us is not None:
            if not low <= settings.exposure_us <= high:
                raise CameraError(f"{self.name}: its exposure must be from {low} to {high} µs")
            self._exposure_us, self._exposure_given = settings.exposure_us, True
        if settings.gain is not None:
            if not settings.gain > 0:
                raise CameraError(f"{self.name}: its gain must be above 0")
            self._gain = settings.gain

    def grab(self, timeout_s: float) -> Frame:
        """Simulate the next field that is not done, however long that takes."""
        while f"{self.name}#{self._index}" in self._done:
            self._index += 1
            self._field = None
        image = self._expose()
        index, self._index, self._field = self._index, self._index + 1, None
        settings = {"exposure_us": self._exposure_us, "gain": self._gain}
        return Frame(image, f"{self.name}#{index}", index, time.time_ns(), settings)

    def close(self) -> None:
        """Nothing is held."""

    def _expose(self) -> NDArray[np.uint8]:
        """Expose the next field."""
        if self._field is None:
            rendered = simulate_frame(self._seed, self._index, scene=self._scene).image
            self._field = rendered.astype(np.float32) / np.float32(_RENDERED)
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(2, self._index)))
        return expose(collected(self._field, self._exposure_us), FULL_WELL_E, READ_NOISE_E, self._gain, rng)


def collected(field: NDArray[np.float32], exposure_us: float) -> NDArray[np.float32]:
    """Return the electrons that a field, 1 where it is clear and brightest, leaves in each pixel."""
    return field * np.float32(exposure_us / CLEAR_FIELD_US * CLEAR_FIELD / 255 * FULL_WELL_E)
