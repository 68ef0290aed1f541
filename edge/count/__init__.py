"""Tallies with intervals, the correction for misclassification, concentrations, and when to stop."""

from edge.count.concentration import CONCENTRATION_METHOD, MAX_RELATIVE, FieldVolume, estimate_concentration
from edge.count.corrected_concentration import CORRECTED_METHOD, estimate_corrected_concentration
from edge.count.correction import Correction, Validation, correct_counts, corrected_inside
from edge.count.counted_frame import CountedFrame
from edge.count.dispersion import ENOUGH_FIELDS, MANY_FIELDS, Dispersion, FieldCounts, equivalent_ratio
from edge.count.field_plan import FieldPlan, Precision, PrecisionError
from edge.count.intervals import LEVEL, NORMAL, Estimate, clopper_pearson, estimate_proportion, student_t
from edge.count.performance import area_under_roc, confusion_accuracy
from edge.count.prevalence import Ends, Sampler, count_ends, estimate_prevalence
from edge.count.result import LEUKOCYTES, CountResult
from edge.count.size_gates import GateEffect, gate_effects
from edge.count.stop_rule import CAMERA_CELLS, StopRule, after_stopping, halfwidth
from edge.count.tally import Tally, tally_decisions
from edge.count.totals import Totals

__all__ = [
    "CAMERA_CELLS",
    "CONCENTRATION_METHOD",
    "CORRECTED_METHOD",
    "ENOUGH_FIELDS",
    "LEUKOCYTES",
    "LEVEL",
    "MANY_FIELDS",
    "MAX_RELATIVE",
    "NORMAL",
    "Correction",
    "CountResult",
    "CountedFrame",
    "Dispersion",
    "Ends",
    "Estimate",
    "FieldCounts",
    "FieldPlan",
    "FieldVolume",
    "GateEffect",
    "Precision",
    "PrecisionError",
    "Sampler",
    "StopRule",
    "Tally",
    "Totals",
    "Validation",
    "after_stopping",
    "area_under_roc",
    "clopper_pearson",
    "confusion_accuracy",
    "correct_counts",
    "corrected_inside",
    "count_ends",
    "equivalent_ratio",
    "estimate_concentration",
    "estimate_corrected_concentration",
    "estimate_prevalence",
    "estimate_proportion",
    "gate_effects",
    "halfwidth",
    "student_t",
    "tally_decisions",
]
