"""What hid cells from a count, and why its numbers cannot be meant, if they cannot."""

from __future__ import annotations

from collections.abc import Iterator

from edge.count import Totals, estimate_proportion
from edge.find import Gates
from edge.run.config import CountConfig
from edge.run.pixel_size import FROM_BUNDLE

MAX_REJECTED = 0.25
"""Share of rejected cells above which a bundle does not know them: ``rejected / cells`` of what
``leuko count FRAMES --bundle BUNDLE --pixel-um UM --json`` prints.

Known cells: 0.032 of the 140 real frames with hemocytometer (0.06 of their worst five in a row, 0.09 if
all are reduced eight times), 0.013 of simulated frames with phantom3. Foreign ones: stained leukocytes at
least 0.99 with either; stem cells at 0.645 µm 0.82 with hemocytometer, 0.50 with phantom3, and 0.33 at the
wrong pixel size that suits them best; simulated cells with hemocytometer 0.99, real ones with phantom3
0.51; beads 0.32 to 1."""

MAX_SMALL = 10
"""Bodies too small for cells per cell: 3.9 on the 140 real frames, 0.2 on simulated ones, 34 and more where
frames of 0.645 µm are counted with the pixel size of a shipped bundle."""

LEAST_HIDDEN = 0.01
"""Mean share of the frames that is hidden, from which a remark is made."""


def why_unusable(config: CountConfig, totals: Totals) -> str:
    """Return why the numbers cannot be meant, for `CountResult.unusable`; empty if they can."""
    tally = totals.tally()
    if not tally.frames_read:
        return "no frame could be counted" if tally.failed else ""
    # a count that could not see is no count of zero, and nothing tells it from an empty sample
    nothing = "no cell was found" if not tally.cells else ""
    return "; ".join(filter(None, (nothing, _unknown_cells(totals), _unknown_pixel(config, totals))))


def loss_remarks(config: CountConfig, totals: Totals) -> Iterator[str]:
    """Yield remarks on what is missing from the numbers, each with what to do."""
    tally, lost, frames = totals.tally(), totals.lost, len(totals.hashes)
    if _unknown_cells(totals):
        yield (
            f"the bundle rejected {tally.rejected:,} of {tally.cells:,} bodies: use one that was trained on"
            " such cells, or train it (leuko train); if it should know them, check the pixel size, the focus"
            " and the light"
        )
    if frames and not tally.cells:
        yield f"no cell was found{_losses(config.analysis.gates, totals)}: {_cause(config, totals)}"
    elif lost["too_small"] > MAX_SMALL * totals.detections:
        yield (
            f"{lost['too_small']:,} bodies are too small for cells, and {totals.detections:,} are cells:"
            f" check the pixel size, {config.analysis.pixel_um:.4g} µm (--pixel-um, leuko calibrate pixel)"
        )
    if lost["outline"]:
        outlines = "outline lies" if lost["outline"] == 1 else "outlines lie"
        yield (
            f"{lost['outline']:,} {outlines} in the frames (rims of bubbles, drops or wells, the field stop,"
            " fibres): cells inside are counted, some on them are missing, and a bubble holds no sample; keep"
            " them out of the field"
        )
    hidden = 1 - totals.fields / frames if frames else 0.0
    if hidden >= LEAST_HIDDEN:
        yield (
            f"{100 * hidden:.0f} % of the field is hidden (dark, or covered by bodies too large for cells):"
            " cells there are missing from the counts, and its volume from cells/µL; open the field stop, or"
            " choose other fields"
        )


def _unknown_cells(totals: Totals) -> str:
    """Return that the bundle does not know the cells, if it rejects many of them.

    The lower end of the share's interval is held against the limit: of few cells many are rejected by chance.
    """
    tally = totals.tally()
    if tally.rejected <= MAX_REJECTED * tally.cells:
        return ""  # so is the lower end, which takes milliseconds
    share = estimate_proportion(tally.rejected, tally.cells)
    if share.value is None or share.low <= MAX_REJECTED:
        return ""
    return f"this bundle does not know these cells ({100 * share.value:.0f} % rejected)"


def _unknown_pixel(config: CountConfig, totals: Totals) -> str:
    """Return that the pixel size is not known, if the bundle's makes most bodies too small for cells."""
    small = totals.lost["too_small"]
    if config.pixel_from != FROM_BUNDLE or not totals.detections or small <= MAX_SMALL * totals.detections:
        return ""
    return f"the pixel size is not known, and {small:,} bodies are too small for cells with the bundle's"


def _losses(gates: Gates, totals: Totals) -> str:
    """Return how many bodies were lost at which step, in brackets; empty if there was none."""
    steps = {
        "too_small": f"smaller than --min-diameter-um {gates.min_diameter_um:g}",
        "too_large": f"larger than --max-diameter-um {gates.max_diameter_um:g}",
        "not_round": f"less solid than --min-solidity {gates.min_solidity:g}",
        "cut": "cut by the frame's edge (--drop-border)",
        "unlit": "in the dark",
        "too_faint": "hardly above the noise",
        "outline": "outlines or arcs",
    }
    found = (f"{totals.lost[step]:,} {words}" for step, words in steps.items() if totals.lost[step])
    listed = ", ".join(found)
    return f" (bodies lost: {listed})" if listed else ""


def _cause(config: CountConfig, totals: Totals) -> str:
    """Return the likeliest cause of a count without cells, and what to do."""
    lost = totals.lost
    pixel = f"the pixel size of {config.analysis.pixel_um:.4g} µm is wrong: pass --pixel-um, or measure it"
    pixel += " with leuko calibrate pixel"
    if lost["cut"] > max(lost["too_small"], lost["too_large"], lost["not_round"]):
        return "pass --keep-border, or use larger frames"
    if lost["too_faint"] > 2 * lost["too_small"]:
        return "most likely the contrast is too low or the focus is off: stop down the condenser, and focus"
    if lost["too_small"] or lost["too_large"]:
        return f"most likely {pixel}"
    if lost["not_round"]:
        return "most likely the focus is off, or this is no sample of single cells"
    return "nothing stands out from the noise: check focus, light and contrast, or the sample is empty"
