"""Estimates and reasons in words, the same on the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge.base import FailureKind, quantity
from edge.count import LEUKOCYTES, Correction, CountResult, Estimate, FieldVolume, Tally

WIDER = 1.1
"""Factor by which intervals are wider from which that is said."""

LEAST_EFFECT = 0.0005
"""Relative change of a count from which it is not printed as 0.0 %."""

NOT_COUNTED: Mapping[FailureKind, str] = {
    "unreadable": "not readable",
    "unseen": "show nothing",
    "repeat": "repeat another",
}
"""Why frames are not counted, in words that follow their number."""

CORRECTED_IF = "if the cells look like the validation cells"
"""The assumption of every correction by a confusion matrix; stands with the corrected numbers."""


CHANCE_ALONE = "These intervals hold chance alone, and not the classifier's own errors."
"""Of raw shares: what their intervals leave out."""


def percent(share: Estimate) -> tuple[str, str]:
    """Return a share and its interval in percent; the share of no cells is ``–``."""
    value = "–" if share.value is None else f"{100 * share.value:.1f} %"
    return value, f"{100 * share.low:.1f}–{100 * share.high:.1f} %"


def wider(tally: Tally) -> str:
    """Return that intervals of shares are wider than those of cells that lie at random; empty if not."""
    times = max(tally.dispersion.values(), default=1.0) ** 0.5
    if times < WIDER:
        return ""
    return (
        f"Intervals are up to {times:.2g} times as wide as those of cells that lie at random: fields differ,"
        " or show cells again."
    )


def whole(count: Estimate) -> tuple[str, str]:
    """Return a number of cells and its interval as whole numbers."""
    value = "–" if count.value is None else f"{count.value:,.0f}"
    return value, f"{count.low:,.0f}–{count.high:,.0f}"


def per_ul(amount: Estimate) -> str:
    """Return a concentration with its interval, in whole cells or with two digits of the upper end."""
    decimals = max(0, 1 - math.floor(math.log10(amount.high)))
    value, low, high = (f"{number:,.{decimals}f}" for number in (amount.value, amount.low, amount.high))
    return f"{value} cells/µL, 95 % interval {low}–{high}"


def pixel(result: CountResult) -> str:
    """Return the pixel size and where it is from."""
    return f"{result.parameters['pixel_um']:.4g} µm, {result.pixel_from}"


def frames(tally: Tally) -> str:
    """Return how many frames were read, and how many were not counted for which kind of reason."""
    return frames_in_words(tally.frames_read, tally.left_out)


def frames_in_words(read: int, left_out: Mapping[str, int]) -> str:
    """Return how many frames were read, and by kind how many were not counted."""
    kinds = (f", {left_out[kind]:,} {words}" for kind, words in NOT_COUNTED.items() if kind in left_out)
    return f"{read:,} read{''.join(kinds)}"


def rejected_by(result: CountResult) -> str:
    """Return how many cells were rejected for which reason."""
    low, out = result.tally.rejected_by["low_confidence"], result.tally.rejected_by["out_of_distribution"]
    below = f"best probability below {result.reject_below:g}"
    return f"{low:,} low confidence ({below}), {out:,} out of distribution"


def found(tally: Tally) -> str:
    """Return what was found, where no number of leukocytes can be meant."""
    bodies = "body" if tally.cells == 1 else "bodies"
    return f"{tally.cells:,} {bodies} found, {tally.rejected:,} rejected; no leukocytes are stated"


def concentrations(result: CountResult) -> dict[str, str]:
    """Return the cells per µL in words; of a single label the line of all leukocytes would say it twice."""
    single = len(result.tally.counted) == 1
    return {
        label: per_ul(amount)
        for label, amount in result.concentrations.items()
        if not (single and label == LEUKOCYTES)
    }


def undiluted_sample(volume: FieldVolume) -> str:
    """Return what the cells per µL were computed with."""
    exact = f"; taken as exact: {', '.join(volume.exact)}" if volume.exact else ""
    return (
        f"the undiluted sample: dilution {volume.dilution:g}, chamber {volume.depth_um:g} µm deep,"
        f" {1000 * volume.field_ul:.4g} nL in a frame, ± {100 * volume.relative_uncertainty:.2g} %{exact}"
    )


def size_gates(result: CountResult) -> str:
    """Return what other size gates would count, in one line; empty where none would change the count."""
    options = []
    for name, effect in result.size_gates.items():
        changes = {"smaller": effect.smaller, "larger": effect.larger}
        named = [
            f"10 % {which} {100 * by:+.1f} %" for which, by in changes.items() if abs(by) >= LEAST_EFFECT
        ]
        if named:
            options.append(f"--{name.replace('_', '-')} {', '.join(named)}")
    return "; ".join(options)


def counted_until(result: CountResult) -> str:
    """Return that cells per µL are of a count that ended with a number of cells; empty if it did not."""
    asked = result.stop_rule.get("until_cells")
    if not asked or result.tally.leukocytes < asked or not result.concentrations:
        return ""
    return f"cells/µL are (N − 1)/volume, as the count ended with N = {asked:g} leukocytes"


def not_corrected(correction: Correction) -> str:
    """Return why nothing was corrected."""
    return f"the bundle has no validation cells of {', '.join(correction.unvalidated)}"


def corrected_for(correction: Correction) -> str:
    """Return what the corrected numbers are corrected for, what they assume and what they leave out."""
    what = "misclassification, missed and false cells" if correction.misses else "misclassification"
    return f"Corrected for {what}, {CORRECTED_IF}{left_out(correction)}"


def left_out(correction: Correction) -> str:
    """Return how many cells take no part in a correction, to follow a comma; empty if all do."""
    out = correction.left_out
    return f"; {quantity(out, 'cell')} unlike the training left out" if out else ""


def which_to_report(correction: Correction) -> str:
    """Return which of the raw and the corrected numbers are the better ones; empty without a cell."""
    errors = correction.errors
    if errors is None:
        return ""
    single = len(correction.fractions) == 1
    numbers, unit = ("count", "%") if single else ("shares", "points")
    raw, corrected = f"{100 * errors.raw:.2g} {unit}", f"{100 * errors.corrected:.2g} {unit}"
    if correction.report == "corrected":
        return f"Report the corrected {numbers} (expected error {corrected}; raw {raw})."
    return (
        f"Report the raw {numbers} with the corrected interval{'' if single else 's'}: correcting by"
        f" {quantity(correction.validated, 'validation cell')} adds more error than it takes away (expected"
        f" error {corrected}; raw {raw})."
    )


def width_is_of(correction: Correction) -> str:
    """Return that the validation cells set the width of the intervals; empty if they do not."""
    if not correction.few_validated:
        return ""
    return (
        f"{quantity(correction.validated, 'validation cell')} set the width of the intervals: more of them"
        " would narrow it, more counted ones would not."
    )


def named_or_corrected(result: CountResult) -> str:
    """Return whether cells per µL are of named or of true cells."""
    correction = result.corrected
    if correction.misses and correction.leukocytes is not None:
        return f"corrected for misclassification, missed and false cells{left_out(correction)}"
    return "named cells, not corrected for misses"


def capitalised(sentence: str) -> str:
    """Return a sentence with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]
