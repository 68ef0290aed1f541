"""Run the network on crops and decide each cell's label."""

from edge.classify.classifier import BATCH, Classifier
from edge.classify.contrast import Contrast
from edge.classify.decision import REASONS, REJECTED, Decision, decide_labels, softmax
from edge.classify.out_of_distribution import crop_statistics, out_of_distribution_score
from edge.classify.quantisation import dequantise, int8_to_grey, quantise
from edge.classify.runtime import RUNTIMES, Model, RuntimeMissingError, installed_runtimes, runtime_version
from edge.classify.test_time_augmentation import average_logits, average_probabilities, margin

__all__ = [
    "BATCH",
    "REASONS",
    "REJECTED",
    "RUNTIMES",
    "Classifier",
    "Contrast",
    "Decision",
    "Model",
    "RuntimeMissingError",
    "average_logits",
    "average_probabilities",
    "crop_statistics",
    "decide_labels",
    "dequantise",
    "installed_runtimes",
    "int8_to_grey",
    "margin",
    "out_of_distribution_score",
    "quantise",
    "runtime_version",
    "softmax",
]
