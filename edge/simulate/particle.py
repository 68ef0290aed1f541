"""A particle as slabs of optical path.

All lengths are in µm; z = 0 is the slide that the cells have settled on. A particle has its own patch, so
that the cost of a frame is that of its cells and not of the empty space between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SLAB_EDGES_UM = (0.0, 2.2, 4.4, 6.6, 20.0)
"""Cuts between the slabs, about the depth of field apart; the last slab takes the tops of tall cells."""

SLAB_DEPTHS_UM = (1.1, 3.3, 5.5, 7.7)
"""Height at which each slab is imaged."""


@dataclass(frozen=True, eq=False)
class Particle:
    """One cell or piece of debris at the centre of a patch.

    Attributes
    ----------
    path_um : float32 [slabs, h, w]
        Optical path in excess of the medium's, ∫ (n − n_medium) dz.
    nucleus_um : float32 [slabs, h, w]
        Thickness of the nucleus.
    footprint : bool [h, w]
        The particle's shadow.
    loss_per_path : float
        Attenuation of the amplitude, in neper per µm of optical path.
    """

    label: str
    path_um: Array
    nucleus_um: Array
    footprint: NDArray[np.bool_]
    loss_per_path: float = 0.0

    @property
    def half_px(self) -> int:
        """Half the side of the patch."""
        return self.footprint.shape[0] // 2
