"""A finished training run becomes a written, checked bundle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from convert.calibrate import Calibrated, calibrate
from convert.fold import folded
from convert.logits import Inference, int8_logits
from convert.loss import Loss, loss_of
from convert.noise import NOISE_CROPS, costs
from convert.operators import refuse_others
from convert.parity import compare, refusal
from convert.quantise import float_flatbuffer, int8_flatbuffer
from convert.settings import NOT_LEUKOCYTES, Description, Settings
from edge.base import PIXELS_UM, write_atomically
from edge.classify import Classifier, Model, margin, quantise
from edge.find import DEFAULT_PIXEL_UM, Normalisation, crop_cells
from edge.model import (
    Answers,
    Bundle,
    Manifest,
    Parity,
    Readers,
    RepresentativeSet,
    TrainingData,
    write_bundle,
)
from edge.simulate import simulate_frame
from train.agreement import fleiss_kappa, read_alike
from train.fit import normalised
from train.metrics import confusion_matrix
from train.run import RunCrops, load_run, read_crops
from train.run_config import RunConfig, read_config

GOLDEN_CROPS = 12


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What a finished training run left for conversion."""

    folder: Path
    network: keras.Model
    config: RunConfig
    crops: RunCrops

    @classmethod
    def load(cls, folder: Path) -> TrainedRun:
        """Load the run in a folder; ValueError if it holds no finished one."""
        network, _, _ = load_run(folder)
        return cls(folder, network, read_config(folder), read_crops(folder))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in output order."""
        return self.config.labels

    @property
    def normalisation(self) -> Normalisation:
        """How a crop becomes the input."""
        return self.config.recipe.normalisation

    @property
    def side_px(self) -> int:
        """Side of a crop."""
        return self.config.crop_px

    def inputs(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return crops as the network takes them, float32 [n, s, s, 1]."""
        return normalised(crops, self.normalisation)


def build(
    run: Path, out: Path, description: Description, settings: Settings, *, float_out: Path | None = None
) -> Bundle:
    """Quantise a finished run, calibrate and compare it on its validation cells, and write the bundle.

    Parameters
    ----------
    float_out : Path or None
        Where the same network is written as a float flatbuffer.

    Raises
    ------
    ValueError
        If the run is unfinished, not a run or of one class, no label is left to count, the pixel size is out
        of `edge.base.PIXELS_UM`, an operator does not run on every device, or int8 loses too much accuracy.
    """
    trained = TrainedRun.load(run)
    counted = counted_labels(trained, description)
    crop_um = trained.side_px * pixel_size_um(run, description)
    inputs = representative_inputs(trained)
    rewritten = folded(trained.network, inputs)
    flatbuffer = int8_flatbuffer(rewritten, inputs)
    refuse_others(flatbuffer)
    model = Model(flatbuffer)
    validation = trained.inputs(trained.crops.validation)
    stored_views = trained.config.recipe.test_time_views
    views = stored_views if settings.test_time_views is None else settings.test_time_views
    calibrated = calibrate(model, trained.crops, validation, settings, views, crop_um)
    parity = None
    if len(validation):
        parity = gate(trained, rewritten, flatbuffer, validation, calibrated.inference, settings.max_loss)
    golden = golden_crops(model, trained)
    manifest = manifest_of(trained, description, counted, crop_um, flatbuffer, model, calibrated, parity)
    if float_out is not None:
        write_atomically(float_out, float_flatbuffer(rewritten))
    bundle = write_bundle(out, manifest, flatbuffer, golden, model.run(golden))
    Classifier(bundle)
    return bundle


def counted_labels(trained: TrainedRun, description: Description) -> tuple[str, ...]:
    """Return the labels of the differential; ValueError without two classes, or if none is left to count."""
    run, labels = trained.folder, trained.labels
    if len(labels) < 2:
        raise ValueError(
            f"{run}: it knows a single class, {labels[0]}, and tells nothing apart: train on more"
        )
    if unknown := sorted(description.excluded - set(labels)):
        raise ValueError(
            f"{run}: no label {', '.join(unknown)} to leave uncounted: it has {', '.join(labels)}"
        )
    left_out = description.excluded or NOT_LEUKOCYTES
    counted = tuple(label for label in labels if label not in left_out)
    if not counted:
        everything = ", ".join(labels)
        raise ValueError(
            f"{run}: all labels ({everything}) are not to be counted: name fewer with --not-counted"
        )
    return counted


def stated_pixel_um(run: Path) -> float | None:
    """Return the pixel size of a run's crops in the specimen, µm; None if the training data gave none."""
    return read_config(run).pixel_um


def pixel_size_um(run: Path, description: Description) -> float:
    """Return the described pixel size, the training data's or the default; ValueError out of range."""
    pixel_um = description.pixel_um or stated_pixel_um(run) or DEFAULT_PIXEL_UM
    if not PIXELS_UM[0] <= pixel_um <= PIXELS_UM[1]:
        raise ValueError(f"{run}: a pixel of {pixel_um:g} µm is out of range: pass its side with --pixel-um")
    return pixel_um


def representative_inputs(trained: TrainedRun) -> NDArray[np.float32]:
    """Return the inputs that set the ranges of int8, float32 [n, s, s, 1]."""
    normalisation = trained.normalisation
    inputs = trained.inputs(trained.crops.representative)
    # both ends of the grey scale must be in range, whatever the crops hold
    for corner, grey in enumerate((0, 255)):
        inputs[:, 0, corner] = normalisation.scale * grey + normalisation.offset
    return inputs


def gate(
    trained: TrainedRun,
    rewritten: keras.Model,
    flatbuffer: bytes,
    validation: NDArray[np.float32],
    inference: Inference,
    max_loss: float,
) -> Parity:
    """Compare int8 with the trained network; ValueError if a loss beyond `max_loss` points is shown."""
    crops = trained.crops
    compared = compare(
        trained.network, rewritten, flatbuffer, validation, crops.truth, inference, crops.groups
    )
    parity = compared.parity
    if loss_of(parity, max_loss) is Loss.SHOWN:
        some = validation[:: -(-len(validation) // NOISE_CROPS)]
        raise ValueError(refusal(parity, max_loss, costs(rewritten, compared.layers, some)))
    return parity


def manifest_of(
    trained: TrainedRun,
    description: Description,
    counted: tuple[str, ...],
    crop_um: float,
    flatbuffer: bytes,
    model: Model,
    calibrated: Calibrated,
    parity: Parity | None,
) -> Manifest:
    """Put together what a bundle states of itself."""
    crops, inference = trained.crops, calibrated.inference
    labels = len(trained.labels)
    confusion = confusion_matrix(crops.truth, calibrated.answers, labels)
    return Manifest(
        name=description.name,
        version=description.version,
        labels=trained.labels,
        counted=counted,
        crop_px=trained.side_px,
        crop_um=crop_um,
        normalisation=trained.normalisation,
        input=model.input_quantisation,
        output=model.output_quantisation,
        sha256=hashlib.sha256(flatbuffer).hexdigest(),
        test_time_views=inference.test_time_views,
        margin=inference.margin,
        temperature=inference.temperature,
        reject_below=calibrated.reject_below,
        confusion=tuple(map(tuple, confusion.tolist())),
        training=TrainingData(description.training_name, trained.config.training.sha256),
        intended_use=description.intended_use,
        licence=description.licence,
        notice=description.notice,
        representative=RepresentativeSet(
            len(crops.representative), hashlib.sha256(crops.representative.tobytes()).hexdigest()
        ),
        parity=parity,
        rejection=calibrated.rejection,
        out_of_distribution=calibrated.out_of_distribution,
        answers=answers_to_crops(crops, calibrated, labels) if len(crops.truth) else None,
        readers=agreement_of_readers(crops, calibrated.answers),
    )


def agreement_of_readers(crops: RunCrops, answers: NDArray[np.int64]) -> Readers | None:
    """Return what the readers of the validation crops agree on; None if no crop has several readings."""
    if crops.readings is None:
        return None
    several = crops.readings[crops.readings.sum(axis=1) > 1]
    agreed = read_alike(crops.readings)
    return Readers(
        cells=len(several),
        agreed=int(agreed.sum()),
        right=int((agreed & (answers == crops.truth)).sum()),
        kappa=fleiss_kappa(several) if len(several) else None,
    )


def answers_to_crops(crops: RunCrops, calibrated: Calibrated, none: int) -> Answers:
    """Return what validation crops are called on a device; cells that it would miss are not among them."""
    given = np.where(calibrated.in_distribution, calibrated.answers, none)
    cells = confusion_matrix(crops.truth, given, none + 1)[:none]
    return Answers(
        cells=tuple(map(tuple, cells.tolist())),
        missed=(0,) * none,
        false=(0,) * (none + 1),
        frames=0,
        source=f"{len(given)} validation crops",
    )


def golden_crops(model: Model, trained: TrainedRun) -> NDArray[np.int8]:
    """Return simulated crops of large margin, int8 [n, s, s, 1].

    Simulated, because a bundle must not carry its training images; of large margin, because where two labels
    are close a kernel's rounding decides.
    """
    frame = simulate_frame(0)
    cells = [particle.cell for particle in frame.truth]
    inputs = trained.inputs(crop_cells(frame.image, cells, size_px=trained.side_px))
    order = np.argsort(-margin(int8_logits(model, inputs)), kind="stable")
    return quantise(inputs[np.sort(order[:GOLDEN_CROPS])], model.input_quantisation)
