"""From a finished run to a written, checked bundle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.calibrate import reject_threshold, temperature
from convert.fold import folded
from convert.operators import refuse_others
from convert.out_of_distribution import LEAST_CROPS, fit
from convert.parity import (
    MAX_LOSS_POINTS,
    NOISE_CROPS,
    compare,
    costs,
    int8_logits,
    loses_more,
    quantised,
    refusal,
)
from convert.quantise import in_float, quantise
from convert.strangers import auroc, spheres
from edge.base import PIXELS_UM, write_atomically
from edge.classify import Classifier, Model, average_logits, margin, out_of_distribution_score, softmax
from edge.find import DEFAULT_PIXEL_UM, crop_cells
from edge.model import (
    OUT_OF_DISTRIBUTION,
    Bundle,
    Manifest,
    Quantisation,
    Rejection,
    RepresentativeSet,
    TrainingData,
    write_bundle,
)
from edge.simulate import simulate_frame
from train.fit import normalised
from train.metrics import confusion_matrix
from train.run import load_run, read_config, read_crops, stored_test_time_views

GOLDEN_CROPS = 12
DOUBTED = 0.15
"""Of 798 unstained cells, out of fold, one view errs in 66, eight views of all in 61, and eight views of
the least sure tenth in as many."""
STRANGERS = 100
"""Simulated spheres on which the rejection of strangers is measured."""
USUAL = 0.98
"""Largest share of the validation cells that counts as typical: the rest pays for keeping strangers out."""
# what the project's data sets call cells and things outside the differential
NOT_LEUKOCYTES = frozenset({"erythrocyte", "echinocyte", "platelet", "debris", "other"})


@dataclass(frozen=True)
class Description:
    """What a person says of a bundle; the rest is measured.

    Attributes
    ----------
    name, version, intended_use, licence, notice : see `edge.model.bundle.Manifest`
    training_name : of the training data
    pixel_um : side of a training crop's pixel in the specimen; None for what the training data says
    reject_below : cells with a smaller best probability are rejected, if no `precision` is stated
    not_counted : labels outside the differential; None for those of `NOT_LEUKOCYTES`
    views : over which the device averages its logits, see `edge.classify.test_time_augmentation`; None for what the run's recipe says
    doubted : share of the validation cells, the least sure ones, that are seen in more than one view
    precision : share of right answers that the threshold is chosen for on the validation cells
    """

    name: str
    version: str
    pixel_um: float | None
    training_name: str
    intended_use: str
    licence: str
    notice: str
    reject_below: float
    not_counted: frozenset[str] | None = None
    precision: float | None = None
    views: int | None = None
    doubted: float = DOUBTED


def build(
    run: Path,
    out: Path,
    description: Description,
    *,
    max_loss: float = MAX_LOSS_POINTS,
    float_out: Path | None = None,
) -> Bundle:
    """Quantise a finished run, calibrate and compare it on its validation cells and write the bundle.

    Parameters
    ----------
    run, out, description
        What to convert, where to, and what a person says of it.
    max_loss
        Accuracy that int8 may lose on the validation cells, points, see `convert.parity.loses_more`.
    float_out
        Where the same network goes as a float flatbuffer, or None.

    Raises
    ------
    ValueError
        If the run is none, is unfinished, lacks a label that is not to be counted or has no other, its pixel
        is out of `edge.base.units.PIXELS_UM`, an operator would not run on every
        device, or int8 loses too much accuracy.
    OSError
        If `out` cannot be written.
    """
    network, labels, normalisation = load_run(run)
    config = read_config(run)
    crops = read_crops(run)
    if unknown := sorted((description.not_counted or frozenset()) - set(labels)):
        raise ValueError(
            f"{run}: no label {', '.join(unknown)} that could be left uncounted: it has {', '.join(labels)}"
        )
    not_counted = NOT_LEUKOCYTES if description.not_counted is None else description.not_counted
    counted = tuple(label for label in labels if label not in not_counted)
    if not counted:
        raise ValueError(f"{run}: every one of its labels ({', '.join(labels)}) is said not to be counted")
    pixel_um = description.pixel_um or stated_pixel_um(run) or DEFAULT_PIXEL_UM
    if not PIXELS_UM[0] <= pixel_um <= PIXELS_UM[1]:
        raise ValueError(f"{run}: a pixel of {pixel_um:g} µm is out of range: say its side with --pixel-um")
    inputs = normalised(crops.representative, normalisation)
    # the ends of the grey scale must be in range whatever the crops hold
    for corner, grey in enumerate((0, 255)):
        inputs[:, 0, corner] = normalisation.scale * grey + normalisation.offset
    rewritten = folded(network, inputs)
    flatbuffer = quantise(rewritten, inputs)
    refuse_others(flatbuffer)
    model = Model(flatbuffer)
    side = crops.representative.shape[1]
    views = stored_test_time_views(run) if description.views is None else description.views
    input_scale, input_zero = model.input_quantisation
    output_scale, output_zero = model.output_quantisation

    parity, heat, doubt, typical, rejection = None, 1.0, None, None, None
    reject_below = description.reject_below
    answers = np.zeros(0, np.int64)
    if len(crops.truth):
        validation = normalised(crops.validation, normalisation)
        if views > 1 and description.doubted < 1:
            doubt = float(np.quantile(margin(int8_logits(model, validation)), description.doubted))
        logits = average_logits(partial(int8_logits, model), validation, views, doubt)
        answers, heat = logits.argmax(axis=1), temperature(logits, crops.truth)
        compared = compare(
            network, rewritten, flatbuffer, validation, crops.truth, heat, views=views, doubt=doubt
        )
        parity = compared.parity
        if loses_more(parity, max_loss):
            some = validation[:: -(-len(validation) // NOISE_CROPS)]
            raise ValueError(refusal(parity, max_loss, costs(rewritten, compared.layers, some)))
        sure, right = softmax(logits / np.float32(heat)).max(axis=1), answers == crops.truth
        if description.precision is not None:
            chosen = reject_threshold(sure, right, description.precision)
            reject_below = max(0.0, chosen.threshold)
        if min(len(crops.truth), len(crops.representative)) >= LEAST_CROPS:
            typical = fit(crops.representative)
            distances = out_of_distribution_score(crops.validation, typical)
            # what is right or wrong does not matter here: strangers are told by their looks
            chosen = reject_threshold(-distances, np.ones(len(distances), bool), 1.0, coverage=USUAL)
            farthest = -chosen.threshold
            kept = (distances <= farthest) & (sure >= reject_below)
            rejection = Rejection(
                score=OUT_OF_DISTRIBUTION,
                threshold=farthest,
                precision=description.precision or float(right[kept].sum() / max(1, kept.sum())),
                coverage=float(kept.mean()),
                auroc={
                    "simulated spheres": auroc(
                        out_of_distribution_score(spheres(side * pixel_um, side, STRANGERS, seed=0), typical),
                        distances,
                    )
                },
                source=f"{len(distances)} validation cells",
            )
    golden = _clearest(model, normalised(_simulated(side), normalisation))
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
        test_time_views=views,
        margin=doubt,
        temperature=heat,
        reject_below=reject_below,
        confusion=_rows(confusion_matrix(crops.truth, answers, len(labels))),
        training=TrainingData(description.training_name, config["training"]["sha256"]),
        intended_use=description.intended_use,
        licence=description.licence,
        notice=description.notice,
        representative=RepresentativeSet(
            len(crops.representative), hashlib.sha256(crops.representative.tobytes()).hexdigest()
        ),
        parity=parity,
        rejection=rejection,
        out_of_distribution=typical,
    )
    if float_out is not None:
        write_atomically(float_out, in_float(rewritten))
    bundle = write_bundle(out, manifest, flatbuffer, golden, model.run(golden))
    Classifier(bundle)
    return bundle


def stated_pixel_um(run: Path) -> float | None:
    """Side of a pixel of a run's crops in the specimen, µm, if the training data stated one."""
    stated: float | None = read_config(run).get("pixel_um")
    return stated


def _simulated(side: int) -> NDArray[np.uint8]:
    """Crops uint8 [n, side, side] of one simulated frame: a bundle must not carry its training images."""
    frame = simulate_frame(0)
    return crop_cells(frame.image, [particle.cell for particle in frame.truth], size_px=side)


def _clearest(model: Model, inputs: NDArray[np.float32]) -> NDArray[np.int8]:
    """Quantised inputs whose best label leads by most: on the edge of two a kernel's rounding decides."""
    order = np.argsort(-margin(int8_logits(model, inputs)), kind="stable")
    return quantised(model, inputs[np.sort(order[:GOLDEN_CROPS])])


def _rows(matrix: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(n) for n in row) for row in matrix)
