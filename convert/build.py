"""From a finished run to a written, checked bundle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.calibrate import temperature
from convert.fold import folded
from convert.quantise import quantise
from edge.bundle import Bundle, Manifest, Quantisation, TrainingData, write
from edge.classify import BATCH, Classifier
from edge.crop import crop_cells
from edge.runtime import Model
from edge.segment import DEFAULT_PIXEL_UM, Cell
from edge.simulate import simulate_frame
from train.fit import normalised
from train.metrics import confusion_matrix
from train.run import load_run, read_config, read_crops

GOLDEN_CROPS = 16
# what the project's data sets call cells and things outside the differential
NOT_LEUKOCYTES = frozenset({"erythrocyte", "echinocyte", "platelet", "debris", "other"})


@dataclass(frozen=True)
class Description:
    """What a person says of a bundle; the rest is measured.

    Attributes
    ----------
    name, version, intended_use, licence, notice : see `edge.bundle.Manifest`
    training_name : of the training data
    pixel_um : side of a training crop's pixel in the specimen; None for what the training data says
    reject_below : cells with a smaller best probability are rejected
    not_counted : labels outside the differential
    """

    name: str
    version: str
    pixel_um: float | None
    training_name: str
    intended_use: str
    licence: str
    notice: str
    reject_below: float
    not_counted: frozenset[str] = NOT_LEUKOCYTES


def build(run: Path, out: Path, description: Description) -> Bundle:
    """Quantise a finished run, calibrate it on its validation cells and write the bundle.

    Raises
    ------
    ValueError
        If the run is none, is unfinished, or no label would be counted.
    OSError
        If `out` cannot be written.
    """
    network, labels, normalisation = load_run(run)
    config = read_config(run)
    crops = read_crops(run)
    counted = tuple(label for label in labels if label not in description.not_counted)
    if not counted:
        raise ValueError(f"{run}: every one of its labels ({', '.join(labels)}) is said not to be counted")
    pixel_um = description.pixel_um or config.get("pixel_um") or DEFAULT_PIXEL_UM
    inputs = normalised(crops.representative, normalisation)
    # the ends of the grey scale must be in range whatever the crops hold
    for corner, grey in enumerate((0, 255)):
        inputs[:, 0, corner] = normalisation.scale * grey + normalisation.offset
    flatbuffer = quantise(folded(network, inputs), inputs)
    model = Model(flatbuffer)
    side = crops.representative.shape[1]
    input_scale, input_zero = model.input_quantisation
    output_scale, output_zero = model.output_quantisation

    def quantised(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
        steps = np.rint(normalised(grey, normalisation) / input_scale) + input_zero
        return np.asarray(np.clip(steps, -128, 127), np.int8)

    validation = _answers(model, quantised(crops.validation))
    logits = (validation.astype(np.float32) - output_zero) * np.float32(output_scale)
    golden = _clearest(model, quantised(_simulated(side)))
    manifest = Manifest(
        name=description.name,
        version=description.version,
        labels=labels,
        counted=counted,
        crop_px=side,
        crop_um=side * pixel_um,
        normalisation=normalisation,
        input=Quantisation(input_scale, input_zero),
        output=Quantisation(output_scale, output_zero),
        sha256=hashlib.sha256(flatbuffer).hexdigest(),
        temperature=temperature(logits, crops.truth),
        reject_below=description.reject_below,
        confusion=_rows(confusion_matrix(crops.truth, validation.argmax(axis=1), len(labels))),
        training=TrainingData(description.training_name, config["training"]["sha256"]),
        intended_use=description.intended_use,
        licence=description.licence,
        notice=description.notice,
    )
    bundle = write(out, manifest, flatbuffer, golden, model.run(golden))
    Classifier(bundle)
    return bundle


def _answers(model: Model, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Quantised logits int8 [n, labels] of inputs int8 [n, s, s, 1]."""
    parts = [model.run(inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.int8)


def _simulated(side: int) -> NDArray[np.uint8]:
    """Crops uint8 [n, side, side] of one simulated frame: a bundle must not carry its training images."""
    frame = simulate_frame(0)
    cells = [
        Cell(t.xmin, t.ymin, t.xmax - t.xmin, t.ymax - t.ymin, 0.0, t.border, t.touching) for t in frame.truth
    ]
    return crop_cells(frame.image, cells, size_px=side)


def _clearest(model: Model, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Inputs whose best label leads by most: on the edge of two a kernel's rounding would decide."""
    ordered = np.sort(_answers(model, inputs).astype(np.int16), axis=1)
    lead = ordered[:, -1] - ordered[:, -2]
    return inputs[np.sort(np.argsort(-lead, kind="stable")[:GOLDEN_CROPS])]


def _rows(matrix: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(n) for n in row) for row in matrix)
