"""What a bundle's own doubt says of a count: images that are degraded until labels go wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edge.count import Estimate, Totals, estimate_proportion
from edge.model import Manifest
from edge.run.traces import blocky

DOUBTFUL, WRONG = 1.75, 2.4
"""Share of doubted labels, relative to the largest share of wrong ones that the validation leaves possible,
from which a remark is made and from which no number is stated.

The latter is the upper end of its 95 % interval: 0.016 with phantom3, 0.093 with hemocytometer. Simulated
frames with phantom3 (27 samples: one class alone, few cells, many erythrocytes, much debris, dense, scanned,
flowing) have at most 1.3 times it, and the 140 real ones with hemocytometer, ten at a time, 1.1.
Simulated frames that are degraded until the fractions leave their intervals have 2.6 to 22: JPEG of quality
10 2.6 and 2.9, interlaced 2.9 and 4.3, eight grey levels 4.5, median filter of 9 px 4.8, binned by four 5.5,
blurred by 0.25 µm 6.6, noise of 12 grey levels 7.1, half the contrast 15. Those whose fractions hold have at
most 2.3, but for a pixel size that is a quarter off, 3.0. Counts with hemocytometer hold in all these, as far
as it does not reject the cells, and it has at most 1.6."""

CLEARLY = 1.0
"""What the lower end of its interval must exceed, on the same scale."""

DOUBTFUL_BLOCKS, CLEARLY_BLOCKS = 1.4, 0.5
"""The same for a remark where compression has left its blocks: JPEG of quality 12 has 1.7 to 3.0, with up to
14 of 88 granulocytes too many, quality 20 1.1 to 2.6, and quality 75, whose labels hold, at most 0.4; real
frames, which are JPEG files, at most 1.1."""

ENOUGH_CELLS, MINORITY = 10, 0.1
"""Least number of cells that are judged, and the share of all cells below which those of the counted labels
may be what others are mistaken for, or be mistaken for others: then all labels are judged too. Simulated
frames with few leukocytes or none have 0.1 to 0.5 times what the validation leaves possible (a sample of 18
cells 3.2, but its interval begins at 0), stem cells at four times the bundle's pixel 8."""

_CAUSES = (
    (
        *("contrast", 0.85, math.inf),
        "the cells have {value:.2g} times the contrast of the training: stop down the condenser, check the"
        " exposure, and save frames as the camera gives them",
        "",
    ),
    (
        *("detail", -0.4, 0.4),
        "their finest detail is weaker than in {share:.0f} % of similar training crops: focus, check the"
        " pixel size, and turn off denoising, binning and strong compression",
        "their finest detail is stronger than in {share:.0f} % of similar training crops: save frames without"
        " sharpening and strong compression, and use more light against noise",
    ),
)
"""Measure (`edge.classify.Contrast`), the values below and above which it is named as a likely cause, and the
words for both. Simulated frames in order have a contrast of 0.96 to 1.6; their detail is -0.8 to 0.6 where
one class is alone, and -0.2 to 0.3 else. Frames whose labels do not hold have -0.5 after a median filter or
binning, -0.7 after a blur of 0.25 µm, 0.5 in JPEG of quality 10, and 1.3 with noise of 12 grey levels."""


def certainty_remark(totals: Totals, bundle: Manifest) -> str:
    """Return a remark on labels that the bundle doubts; empty if it is as sure of them as in validation."""
    limits = (DOUBTFUL_BLOCKS, CLEARLY_BLOCKS) if blocky(totals) else (DOUBTFUL, CLEARLY)
    labels = _doubted(totals, bundle, *limits)
    if not labels:
        return ""
    doubted, wrong = _percent(totals.doubt.estimate(labels)), _percent(_wrong_in_validation(bundle, labels))
    return (
        f"bundle {bundle.name} doubts {doubted} of the labels that it gives ({', '.join(labels)}), and"
        f" {wrong} of them were wrong in its validation; in unfamiliar images more are wrong than doubted:"
        f" {'; '.join(_causes(totals))}; or train a bundle with such frames (leuko train)"
    )


def certainty_unusable(totals: Totals, bundle: Manifest) -> str:
    """Return why numbers cannot be meant at this certainty, for `CountResult.unusable`; empty if they can."""
    labels = _doubted(totals, bundle, WRONG, CLEARLY)
    if not labels:
        return ""
    doubted, wrong = _percent(totals.doubt.estimate(labels)), _percent(_wrong_in_validation(bundle, labels))
    return (
        f"this bundle's labels do not hold in these frames (it doubts {doubted}, and {wrong} were wrong in"
        " its validation)"
    )


def _doubted(totals: Totals, bundle: Manifest, times: float, clearly: float) -> tuple[str, ...]:
    """Return labels with so many times the doubt that the validation leaves possible, clearly above it."""
    counted, cells = totals.doubt.cells(bundle.counted), totals.doubt.cells(bundle.labels)
    few = counted < max(ENOUGH_CELLS, MINORITY * cells)
    for labels in (bundle.counted, bundle.labels) if few else (bundle.counted,):
        doubt, possible = totals.doubt.estimate(labels), _wrong_in_validation(bundle, labels).high
        if (
            totals.doubt.cells(labels) >= ENOUGH_CELLS
            and doubt.value is not None
            and doubt.value > times * possible
            and doubt.low > clearly * possible
        ):
            return labels
    return ()


def _wrong_in_validation(bundle: Manifest, labels: tuple[str, ...]) -> Estimate:
    """Return the share of wrong ones among these labels, as the bundle gave them in its validation."""
    columns = [bundle.labels.index(label) for label in labels]
    confusion = np.array(bundle.confusion)  # rows are the truth
    given, right = confusion[:, columns].sum(), confusion[columns, columns].sum()
    return estimate_proportion(int(given - right), int(given))


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.2g} %" if share.value else "none"


def _causes(totals: Totals) -> Iterator[str]:
    """Yield what in the cells is unlike the training crops, each with what to do."""
    spreads, known = totals.spreads(), False
    for measure, low, high, below, above in _CAUSES:
        value = spreads[measure].median if measure in spreads else low
        if low <= value <= high:
            continue
        known = True
        share = 100 * (1 + math.erf(abs(value) / math.sqrt(2))) / 2  # of a normal distribution
        yield (below if value < low else above).format(value=value, share=share)
    if blocky(totals):
        known = True
        yield "blocks of 8 x 8 pixels show compression: save frames as PNG or TIFF"
    if not known:
        yield "check the focus, the pixel size, and that frames are as the camera gives them"
