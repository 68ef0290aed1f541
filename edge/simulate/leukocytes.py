"""The leukocytes of the phantom: the parameters of each class, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Leukocyte:
    """Parameters of one class of leukocytes; pairs are mean and standard deviation.

    Attributes
    ----------
    diameter_um : (float, float)
        Of the cell seen from above.
    roughness, clumps : float
        Standard deviation of the outline's radius (relative), and of the nucleus's index.
    nucleus_scale : (float, float)
        Radius relative to the cell's: of a round nucleus, of the tube of a kidney-shaped one, or of the ball
        with the volume of all lobes.
    granules, granule_um, granule_index : (float, float)
        Number, diameter and refractive index of the granules that a bright-field microscope resolves.
    coarse : float
        Share of the cells with two lobes and large granules instead (eosinophils).
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
