"""Partially coherent bright-field imaging of transparent cells: Abbe's summation over the condenser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Optics:
    """A 40× bright-field microscope with a green light-emitting diode.

    Attributes
    ----------
    wavelength_um : float
        In vacuum.
    objective_na, condenser_na : float
        Numerical apertures. The condenser is stopped down for contrast, as usual for unstained cells, and
        must stay below the objective (otherwise it would be dark field).
    medium_index : float
        Refractive index of the suspending medium (buffered saline).
    pixel_um : float
        Camera pixel in the plane of the cells.
    source_rings : int
        Rings of condenser points around the central one; r rings make 1 + 3r(r + 1) points.
    """

    wavelength_um: float = 0.53
    objective_na: float = 0.65
    condenser_na: float = 0.25
    medium_index: float = 1.335
    pixel_um: float = 0.125
    source_rings: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.condenser_na < self.objective_na < self.medium_index:
            raise ValueError("apertures must satisfy 0 <= condenser < objective < index of the medium")
        if self.wavelength_um <= 0 or self.pixel_um <= 0 or self.source_rings < 0:
            raise ValueError("wavelength and pixel size must be positive, source rings at least 0")
        if self.pixel_um > self.wavelength_um / (4 * self.objective_na):
            raise ValueError(f"a pixel of {self.pixel_um} µm undersamples this objective; make it smaller")

    @property
    def wavenumber(self) -> float:
        """Vacuum wavenumber 2π/λ in rad/µm."""
        return 2 * np.pi / self.wavelength_um


def source_points(optics: Optics) -> NDArray[np.float64]:
    """Return condenser points of equal weight, each for an equal area of the evenly lit aperture.

    Returns
    -------
    float64 [n, 2]
        Spatial frequency (y, x) of each point's plane wave, in 1/µm.
    """
    count = 1 + 3 * optics.source_rings * (optics.source_rings + 1)
    points = [(0.0, 0.0)]
    for ring in range(1, optics.source_rings + 1):
        # the radius that halves the area of the annulus of these 6·ring points
        radius = np.sqrt((1 + 3 * ring**2) / count) * optics.condenser_na / optics.wavelength_um
        angles = 2 * np.pi * (np.arange(6 * ring) + 0.5 * (ring % 2)) / (6 * ring)
        points += [(radius * np.sin(a), radius * np.cos(a)) for a in angles]
    return np.array(points)


def image(
    phase: NDArray[np.float32],
    attenuation: NDArray[np.float32],
    depth_um: Sequence[float],
    focus_um: float,
    optics: Optics,
) -> NDArray[np.float32]:
    """Return the intensity behind the objective, float32 [h, w], 1 where the field is clear.

    The sample is a stack of thin slabs in a periodic field. Slab k adds T(k) − T(k−1) to the light, T being
    the product of the transmissions up to it, with its own defocus. A single slab is Abbe's model exactly;
    several neglect only diffraction between slabs. The objective passes |f| ≤ NA/λ, so the field of each
    condenser point is formed on a coarse grid, and their sum is interpolated by Fourier series. Born & Wolf,
    *Principles of Optics*, 7th ed., section 10.6; Goodman, *Introduction to Fourier Optics*, section 3.10.

    Parameters
    ----------
    phase : float32 [slabs, h, w]
        Phase delay in rad, the lowest slab first.
    attenuation : float32 [slabs, h, w]
        Of the amplitude, in neper.
    depth_um, focus_um
        Height above the slide: of the middle of each slab, and of the focal plane.
    """
    height, width = phase.shape[1:]
    cutoff = optics.objective_na / optics.wavelength_um
    step_y, step_x = 1 / (height * optics.pixel_um), 1 / (width * optics.pixel_um)
    half_y, half_x = int(cutoff / step_y), int(cutoff / step_x)
    sources = np.rint(source_points(optics) / (step_y, step_x)).astype(int)
    reach_y, reach_x = (int(reach) for reach in np.abs(sources).max(axis=0))

    rows = np.arange(-half_y - reach_y, half_y + reach_y + 1)
    columns = np.arange(-half_x - reach_x, half_x + reach_x + 1)
    frequency2 = (rows[:, None] * step_y) ** 2 + (columns * step_x) ** 2
    # axial wavenumber; beyond the medium's limit (never inside the pupil) no wave propagates
    axial = 2 * np.pi * np.sqrt(np.maximum((optics.medium_index / optics.wavelength_um) ** 2 - frequency2, 0))
    inner = np.s_[reach_y : reach_y + 2 * half_y + 1, reach_x : reach_x + 2 * half_x + 1]
    pupil = frequency2[inner] <= cutoff**2
    defocus = [focus_um - depth for depth in depth_um]
    transfers = [(pupil * np.exp(1j * z * axial[inner])).astype(np.complex64) for z in defocus]
    spectra = [spectrum[np.ix_(rows, columns)] for spectrum in _slab_spectra(phase, attenuation)]

    small = (cv2.getOptimalDFTSize(4 * half_y + 1), cv2.getOptimalDFTSize(4 * half_x + 1))
    intensity = np.zeros(small, np.float32)
    # the spectrum may lie anywhere in the array: shifting it leaves the intensity unchanged
    field = np.zeros(small, np.complex64)
    for y, x in sources:
        window = np.s_[reach_y - y : reach_y - y + 2 * half_y + 1, reach_x - x : reach_x - x + 2 * half_x + 1]
        tilt = axial[reach_y + half_y + y, reach_x + half_x + x]
        field[: 2 * half_y + 1, : 2 * half_x + 1] = sum(
            spectrum[window] * (transfer * np.complex64(np.exp(-1j * z * tilt)))
            for spectrum, transfer, z in zip(spectra, transfers, defocus, strict=True)
        )
        wave = cv2.dft(field.view(np.float32).reshape(*small, 2), flags=cv2.DFT_INVERSE)
        intensity += wave[..., 0] ** 2 + wave[..., 1] ** 2
    return _fourier_resize(intensity / np.float32(len(sources)), (height, width))


def _slab_spectra(
    phase: NDArray[np.float32], attenuation: NDArray[np.float32]
) -> list[NDArray[np.complex64]]:
    """Return the spectrum of each slab's T(k) − T(k−1); the first holds the clear background."""
    spectra = []
    delay, loss = np.zeros_like(phase[0]), np.zeros_like(attenuation[0])
    before: NDArray[np.float32] | None = None
    for slab_phase, slab_attenuation in zip(phase, attenuation, strict=True):
        delay += slab_phase
        loss += slab_attenuation
        amplitude = np.exp(-loss)
        transmission = cv2.merge([amplitude * np.cos(delay), amplitude * np.sin(delay)])
        share = transmission if before is None else transmission - before
        spectra.append(cv2.dft(share, flags=cv2.DFT_SCALE).view(np.complex64)[..., 0])
        before = transmission
    return spectra


def _fourier_resize(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate a band-limited periodic image, exactly."""
    spectrum = cv2.dft(image, flags=cv2.DFT_COMPLEX_OUTPUT | cv2.DFT_SCALE)
    height, width = min(image.shape[0], size[0]), min(image.shape[1], size[1])
    low_y, low_x = (height + 1) // 2, (width + 1) // 2
    high_y, high_x = height // 2, width // 2
    padded = np.zeros((*size, 2), np.float32)
    for y in (np.s_[:low_y], np.s_[-high_y:]):
        for x in (np.s_[:low_x], np.s_[-high_x:]):
            padded[y, x] = spectrum[y, x]
    return np.asarray(cv2.dft(padded, flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT), np.float32)
