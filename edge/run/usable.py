"""What hid cells from a count, and why its numbers cannot be meant, if they cannot."""

from __future__ import annotations

from collections.abc import Iterator

from edge.count import Totals, estimate_proportion
from edge.find import Gates
from edge.run.config import CountConfig
from edge.run.own_gates import own_gate
from edge.run.pixel_size import FROM_BUNDLE
from edge.run.traces import or_traces

MAX_REJECTED, CLEARLY_REJECTED = 0.25, 0.1
"""Least share of rejected cells, and least lower end of its interval, at which a bundle does not know them:
``rejected / cells`` of what ``leuko count FRAMES --bundle BUNDLE --pixel-um UM --json`` prints.

Known cells: 0.032 of the 140 real frames with hemocytometer (0.06 of their worst five in a row, 0.09 if
all are reduced eight times), 0.013 of simulated frames with phantom3. Foreign ones: stained leukocytes at
least 0.99 with either; stem cells at 0.645 µm 0.82 with hemocytometer, 0.50 with phantom3, and 0.33 at the
wrong pixel size that suits them best; simulated cells with hemocytometer 0.99, real ones with phantom3
0.51; beads 0.32 to 1."""

MAX_SMALL = 10
"""Bodies too small for cells per cell: 3.9 on the 140 real frames, 0.2 on simulated ones, 34 and more where
frames of 0.645 µm are counted with the pixel size of a shipped bundle."""

MANY_SMALL = 10
"""Faint bodies per small one up to which the pixel size may be why no cell was found."""

JUST_ABOVE = 1.1
"""Diameter of a cell, as a share of the smallest cell's, up to which it is just above it."""

MAX_NEAR = 0.2
"""Share of the bodies that are just below or just above the smallest diameter, as the lower end of its
interval, above which this cuts through the cells. At the right pixel size: at most 0.09 of simulated frames
(few cells, many erythrocytes, much debris), 0.12 of the 140 real ones, 0.15 of their worst five in a row.
Frames reduced to 0.7 times their size: 0.3 to 0.6; to 0.6 or 0.5, where most cells are lost, 0.6 to 0.8."""

LEAST_HIDDEN = 0.01
"""Mean share of the frames that is hidden, from which a remark is made."""

OWN_LOSSES = 0.1
"""Bodies lost to a gate that someone narrowed, as a share of the cells, from which a remark is made."""

_POSSIBLE = "; or noise, compression or few grey levels made bodies of the background"
"""Where nothing in the frames tells."""


def why_unusable(config: CountConfig, totals: Totals) -> str:
    """Return why the numbers cannot be meant, for `CountResult.unusable`; empty if they can."""
    tally = totals.tally()
    if not tally.frames_read:
        return "no frame could be counted" if tally.failed else ""
    # a count that could not see is no count of zero, and nothing tells it from an empty sample
    nothing = "no cell was found" if not tally.cells else ""
    own = own_gate(config.analysis.gates, totals)
    pixel = "" if own else _unknown_pixel(config, totals) or _cut_by_gate(config, totals)
    return "; ".join(filter(None, (nothing, _unknown_cells(config, totals), pixel)))


def loss_remarks(config: CountConfig, totals: Totals) -> Iterator[str]:
    """Yield remarks on what is missing from the numbers, each with what to do."""
    tally, lost, frames = totals.tally(), totals.lost, len(totals.hashes)
    unknown, own = _unknown_cells(config, totals), own_gate(config.analysis.gates, totals)
    if unknown and _own_rejection(config, totals):
        yield (
            f"--reject-below {config.analysis.reject_below:g} rejected"
            f" {tally.rejected_by['low_confidence']:,} of {tally.cells:,} bodies; the bundle's own limit is"
            f" {totals.bundle_rejects_below:g}: leave the option out, or lower it"
        )
    elif unknown:
        yield (
            f"the bundle rejected {tally.rejected:,} of {tally.cells:,} bodies: use one that was trained on"
            " such cells, or train it (leuko train); if it should know them, check the pixel size, the focus"
            f" and the light{or_traces(totals) or _POSSIBLE}"
        )
    if frames and not tally.cells:
        yield f"no cell was found{_losses(config.analysis.gates, totals)}: {_cause(config, totals)}"
    elif own:
        yield own
    elif _small(totals) > MAX_SMALL * totals.detections:
        yield (
            f"{_small(totals):,} bodies are too small for cells, and {totals.detections:,} are cells:"
            f" check the pixel size, {config.analysis.pixel_um:.4g} µm (--pixel-um, leuko calibrate pixel)"
            f"{or_traces(totals) or _POSSIBLE}"
        )
    elif _near_gate(config, totals):
        yield _gate_remark(config, totals)
    elif some := own_gate(config.analysis.gates, totals, OWN_LOSSES):
        yield some
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


def _unknown_cells(config: CountConfig, totals: Totals) -> str:
    """Return that the bundle does not know the cells, or --reject-below is too high, if many are rejected.

    Of few cells some are rejected by chance: the share must also be clearly above that of known cells. Where
    an outline lies in the frames, which has a remark of its own, the cells on it are rejected too, and more
    than the least share must be certain.
    """
    tally = totals.tally()
    if tally.rejected <= MAX_REJECTED * tally.cells:
        return ""  # so is the lower end, which takes milliseconds
    share = estimate_proportion(tally.rejected, tally.cells)
    clearly = MAX_REJECTED if totals.lost["outline"] else CLEARLY_REJECTED
    if share.value is None or share.low <= clearly:
        return ""
    if _own_rejection(config, totals):
        return (
            f"--reject-below {config.analysis.reject_below:g} rejects {100 * share.value:.0f} % of the cells"
        )
    return f"this bundle does not know these cells ({100 * share.value:.0f} % rejected)"


def _own_rejection(config: CountConfig, totals: Totals) -> bool:
    """Return whether cells are rejected because someone asked for more certainty than the bundle does."""
    tally = totals.tally()
    raised = config.analysis.reject_below > totals.bundle_rejects_below
    return raised and tally.rejected_by["out_of_distribution"] <= MAX_REJECTED * tally.cells


def _unknown_pixel(config: CountConfig, totals: Totals) -> str:
    """Return that the pixel size is not known, if the bundle's makes most bodies too small for cells."""
    small = _small(totals)
    if config.pixel_from != FROM_BUNDLE or not totals.detections or small <= MAX_SMALL * totals.detections:
        return ""
    return (
        f"the pixel size is not known, and {small:,} bodies are too small for cells with the bundle's"
        f"{or_traces(totals)}"
    )


def _small(totals: Totals) -> int:
    """Return how many bodies are too small for cells."""
    return totals.lost["too_small"] + totals.lost["just_below"]


def _about_gate(config: CountConfig, totals: Totals) -> tuple[int, int, int]:
    """Return how many bodies are just below the smallest diameter, and cells just above and clear of it."""
    limit_px = JUST_ABOVE * config.analysis.gates.min_diameter_um / config.analysis.pixel_um
    above = sum(n for diameter_px, n in totals.diameters_px.items() if diameter_px < limit_px)
    return totals.lost["just_below"], above, totals.detections - above


def _near_gate(config: CountConfig, totals: Totals) -> bool:
    """Return whether the smallest diameter cuts through the cells, rather than below them."""
    below, above, clear = _about_gate(config, totals)
    near, bodies = below + above, below + above + clear
    return near > MAX_NEAR * bodies and estimate_proportion(near, bodies).low > MAX_NEAR


def _gate_remark(config: CountConfig, totals: Totals) -> str:
    """Return the remark on a smallest diameter that cuts through the cells."""
    below, above, _ = _about_gate(config, totals)
    bodies = "bodies are" if below != 1 else "body is"
    return (
        f"{below:,} {bodies} just below --min-diameter-um {config.analysis.gates.min_diameter_um:g}, and"
        f" {above:,} of {totals.detections:,} cells just above: it may cut through the cells, and small ones"
        f" are missing; check the pixel size ({config.analysis.pixel_um:.4g} µm, {config.pixel_from}; pass"
        " --pixel-um, or measure it with leuko calibrate pixel), or lower --min-diameter-um"
        f"{or_traces(totals) or _POSSIBLE}"
    )


def _cut_by_gate(config: CountConfig, totals: Totals) -> str:
    """Return that most cells are lost below the smallest diameter, if so and nobody raised it."""
    gate = config.analysis.gates.min_diameter_um
    below, _, clear = _about_gate(config, totals)
    if gate > Gates().min_diameter_um or below <= clear or not totals.detections:
        return ""
    if not _near_gate(config, totals):
        return ""
    return (
        f"the pixel size or --min-diameter-um is wrong: {below:,} bodies are just below {gate:g} µm, and only"
        f" {clear:,} cells are clear of it{or_traces(totals)}"
    )


def _losses(gates: Gates, totals: Totals) -> str:
    """Return how many bodies were lost at which step, in brackets; empty if there was none."""
    steps = {
        "small": f"smaller than --min-diameter-um {gates.min_diameter_um:g}",
        "too_large": f"larger than --max-diameter-um {gates.max_diameter_um:g}",
        "not_round": f"less solid than --min-solidity {gates.min_solidity:g}",
        "cut": "cut by the frame's edge (--drop-border)",
        "unlit": "in the dark",
        "too_faint": "hardly above the noise",
        "outline": "outlines or arcs",
    }
    lost = {**totals.lost, "small": _small(totals)}
    listed = ", ".join(f"{lost[step]:,} {words}" for step, words in steps.items() if lost.get(step))
    return f" (bodies lost: {listed})" if listed else ""


def _cause(config: CountConfig, totals: Totals) -> str:
    """Return the likeliest cause of a count without cells, and what to do."""
    lost, small = totals.lost, _small(totals)
    pixel = f"the pixel size of {config.analysis.pixel_um:.4g} µm is wrong: pass --pixel-um, or measure it"
    pixel += " with leuko calibrate pixel"
    if own := own_gate(config.analysis.gates, totals):
        return own
    if lost["cut"] > max(small, lost["too_large"], lost["not_round"]):
        return "pass --keep-border, or use larger frames"
    if lost["too_faint"] > 2 * small:
        unstated = config.pixel_from == FROM_BUNDLE and MANY_SMALL * small >= lost["too_faint"]
        return (
            "most likely the contrast is too low or the focus is off: stop down the condenser, and focus"
            + (f"; or, as nothing states it, {pixel}" if unstated else "")
        )
    if small or lost["too_large"]:
        return f"most likely {pixel}"
    if lost["not_round"]:
        return "most likely the focus is off, or this is no sample of single cells"
    return "nothing stands out from the noise: check focus, light and contrast, or the sample is empty"
