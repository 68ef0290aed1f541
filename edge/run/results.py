"""What a count adds up to, and the results it ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime

import numpy as np

from edge.calibration import Calibration, UnknownVolumeError, field_volume
from edge.count import (
    LEUKOCYTES,
    CountResult,
    Dispersion,
    Estimate,
    FieldCounts,
    Tally,
    Totals,
    Validation,
    after_stopping,
    correct_counts,
    corrected_inside,
    estimate_concentration,
    estimate_corrected_concentration,
    gate_effects,
)
from edge.find import Gates
from edge.run.certainty import certainty_remark, certainty_unusable
from edge.run.clumps import clump_remarks
from edge.run.config import CountConfig
from edge.run.contrast import contrast_remark, contrast_unusable
from edge.run.enhanced import enhanced_remark, enhanced_unusable
from edge.run.field_remarks import repetition
from edge.run.pipeline import identifier
from edge.run.remarks import closing_remarks
from edge.run.sessions import Count
from edge.run.tracking_remarks import tracking_unusable
from edge.run.usable import why_unusable


def new_totals(count: Count) -> Totals:
    """Return empty totals for a count."""
    config, instrument = count.config, count.instrument
    return Totals(
        instrument.bundle.manifest,
        config.analysis.reject_below,
        tracked=config.analysis.each_once is not None,
        field_px=instrument.size_px(calibrated_pixel=config.calibrated_pixel),
    )


def tally_of(totals: Totals, shares: Mapping[str, Dispersion] | None = None) -> Tally:
    """Return what was counted, with how much more the shares vary than those of cells that lie at random.

    Parameters
    ----------
    shares : mapping or None
        Counted label → dispersion of its share between fields; by default that of these totals.
    """
    shares, times = totals.per_field().of_shares() if shares is None else shares, repetition(totals)
    return replace(totals.tally(), dispersion={label: times * one.ratio for label, one in shares.items()})


def count_result(count: Count, totals: Totals, *, ended: str, stopped: bool, seconds: float) -> CountResult:
    """State what was counted, with what, and how that ended; see `CountResult`."""
    config, bundle, fields = count.config, count.instrument.bundle, totals.per_field()
    shares = fields.of_shares()
    tally = tally_of(totals, shares)
    validation = Validation.of(bundle.manifest, usual=_usual(config))
    numbers: dict[str, Dispersion] = {}
    parameters = asdict(config.analysis) | {"calibration_sha256": count.instrument.calibration_sha256}
    try:
        numbers = fields.of_concentrations(LEUKOCYTES)
        concentrations = _concentrations(count, totals, validation, fields, numbers)
        no_concentration = ""
    except UnknownVolumeError as why:
        concentrations, no_concentration, numbers = {}, str(why), {}
    appearance = (
        contrast_remark(totals, bundle.manifest) or enhanced_remark(totals, bundle.manifest),
        certainty_remark(totals, bundle.manifest),
        *clump_remarks(shares, numbers),
    )
    return CountResult(
        tally=tally,
        corrected=correct_counts(tally, validation),
        manifest=bundle.manifest,
        reject_below=config.analysis.reject_below,
        bundle_sha256=bundle.sha256,
        signed=bundle.signed,
        identifier=identifier(totals.hashes, bundle.sha256, parameters),
        parameters=parameters,
        sources=config.sources,
        seconds=seconds,
        finished=datetime.now(UTC),
        stopped=stopped,
        ended=ended,
        session=count.session.id,
        sample_id=config.sample_id,
        operator=config.operator,
        pixel_from=config.pixel_from,
        stop_rule=config.stop_rule.stated(),
        dropped=totals.dropped,
        detections=totals.detections if config.analysis.each_once else None,
        concentrations=concentrations,
        volume=field_volume(count.instrument.calibration) if concentrations else None,
        no_concentration=no_concentration,
        size_gates=gate_effects(totals, config.analysis.gates, config.analysis.pixel_um),
        quality=totals.spreads(),
        out=tuple(totals.out),
        remarks=tuple(filter(None, (*count.remarks, *closing_remarks(config, totals), *appearance))),
        unusable="; ".join(
            filter(
                None,
                (
                    why_unusable(config, totals),
                    contrast_unusable(totals) or enhanced_unusable(totals, bundle.manifest),
                    certainty_unusable(totals, bundle.manifest),
                    tracking_unusable(config, totals),
                ),
            )
        ),
        other_files=count.session.remark != "",
    )


def _usual(config: CountConfig) -> bool:
    """Return whether cells are found as in a validation: with the usual gates, in each frame by itself."""
    return config.analysis.gates == Gates() and config.analysis.each_once is None


def _concentrations(
    count: Count,
    totals: Totals,
    validation: Validation,
    per_field: FieldCounts,
    numbers: Mapping[str, Dispersion],
) -> dict[str, Estimate]:
    """Return the cells per µL of each counted label and of all leukocytes, or raise an UnknownVolumeError."""
    config, calibration, tally = count.config, count.instrument.calibration, totals.tally()
    if not config.calibrated_pixel:
        raise UnknownVolumeError(
            "no cells/µL: the calibrated volume is for the calibrated pixel size (leave out --pixel-um)"
            if calibration.pixel
            else "no cells/µL: no calibration says how much of the sample a frame shows (leuko calibrate"
            " pixel and leuko calibrate volume measure it)"
        )
    if config.analysis.each_once == "flow":
        raise UnknownVolumeError(
            "no cells/µL: cells that flow by show an unknown volume (count still fields)"
        )
    if not config.analysis.gates.keep_border:
        raise UnknownVolumeError(
            "no cells/µL: --drop-border leaves out cells whose middle lies in the field, up to a tenth (leave"
            " the option out: of the cells that the edge cuts, cells/µL take those whose middle lies in it)"
        )
    if repetition(totals) > 1:
        raise UnknownVolumeError(
            "no cells/µL: cells are counted more than once, and so is their volume (pass --each-once scan for"
            " fields that overlap, and leave out copies)"
        )
    volume = field_volume(calibration)
    if not tally.frames_read:
        raise UnknownVolumeError("no cells/µL: no frame was read")
    fields = _fields(totals, calibration)
    labels = {label: (label,) for label in tally.counted} | {LEUKOCYTES: tally.counted}
    inside = totals.inside
    named = Counter(decision.label for decision in inside.elements())
    chain = validation.misses and not validation.unvalidated(tally.labels)
    found = {}
    for name, members in labels.items():
        ratio = numbers[name].ratio
        if chain:
            cells = corrected_inside(inside, tally, validation, members, dispersion=ratio)
            found[name] = estimate_corrected_concentration(cells, fields, volume)
        else:
            cells_named = sum(named[label] for label in members)
            found[name] = estimate_concentration(cells_named, fields, volume, dispersion=ratio)
    return _after_stopping(config, found, per_field)


def _after_stopping(
    config: CountConfig, found: Mapping[str, Estimate], per_field: FieldCounts
) -> dict[str, Estimate]:
    """Return concentrations without the bias of a count that ended with a number of cells."""
    asked = config.stop_rule.until_cells
    cells = np.sum([*per_field.cells.values()], axis=0)
    factor = after_stopping(cells.tolist(), per_field.areas.tolist(), asked) if asked else 1.0
    return {
        label: replace(one, value=min(max((one.value or 0.0) * factor, one.low), one.high))
        for label, one in found.items()
    }


def _fields(totals: Totals, calibration: Calibration) -> float:
    """Return how many frames of the sample were looked at: what overlaps once, and nothing hidden."""
    pixel, laid_out = calibration.pixel, totals.laid_out
    if not totals.fields > 0:
        raise UnknownVolumeError("no cells/µL: all of the field is hidden (open the field stop)")
    if laid_out is None or pixel is None:
        return totals.fields
    if laid_out.islands > 1:
        raise UnknownVolumeError(
            f"no cells/µL: not all fields could be laid out, they form {laid_out.islands} groups (let each"
            " field share some cells with one before it)"
        )
    share = laid_out.area_um2 / (pixel.width_px * pixel.height_px * pixel.pixel_um**2) / len(totals.hashes)
    return totals.fields * share
