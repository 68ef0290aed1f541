"""What decides a fit, but for the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from edge.find import Normalisation

PLAIN = Normalisation(background=0, scale=1 / 255, offset=0.0)
CENTRED = Normalisation(background=128, scale=1 / 64, offset=-2.0)
"""Background grey is 0, so that convolutions pad with background and batch norm starts from no large mean."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a fit, but for the data and the seed.

    Attributes
    ----------
    name : what the recipe is called
    network, width, dropout, batch_norm_momentum : see `train.networks`
    crop_px : side of the crops, or 0 for the size that the network was made for
    epochs, batch : passes over the (augmented) crops, and crops a step
    learning_rate : Adam's; the peak where there is a `warm_up`
    warm_up : None for a constant rate, or the share of the steps in which it rises before a cosine's fall
    weight_decay : decoupled from the gradient (AdamW)
    label_smoothing : probability mass spread over all labels
    clip_norm : largest norm of the whole gradient, or None
    normalisation : what the network sees of a grey crop
    balance : how far ``random`` epochs even the classes out, see `train.augment.balanced_order`
    backgrounds : share of ``random`` crops laid over a background, see `train.augment.lay_over`
    mixup : both parameters of the Beta distribution by which two crops and their labels are mixed, or 0
        (Zhang et al., ICLR 2018, arXiv:1710.09412)
    precision : ``float32``, or ``bfloat16`` for the arithmetic of a step (weights and results stay float32):
        about twice as fast where the processor has it (measured: x86 with AVX512-BF16)
    views : mirrored and turned views of a crop over which the finished network's answer is averaged
    augmentation : ``paper``, its fixed expansion, or ``random``, drawn anew every epoch
    """

    name: str
    network: str = "fusion"
    crop_px: int = 0
    width: float = 1.0
    dropout: float = 0.0
    batch_norm_momentum: float = 0.99
    epochs: int = 25
    batch: int = 32
    learning_rate: float = 1e-4
    warm_up: float | None = None
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    augmentation: Literal["paper", "random"] = "paper"
    normalisation: Normalisation = PLAIN
    balance: float = 0.0
    backgrounds: float = 0.0
    mixup: float = 0.0
    views: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"


RECIPES = {
    "paper": Recipe("paper"),
    "best": Recipe(
        "best",
        dropout=0.4,
        batch_norm_momentum=0.9,
        epochs=60,
        learning_rate=1e-3,
        warm_up=0.05,
        weight_decay=1e-2,
        label_smoothing=0.1,
        clip_norm=1.0,
        augmentation="random",
        normalisation=CENTRED,
        backgrounds=0.4,
        mixup=0.2,
        views=8,
    ),
}
"""``paper``: Chen, Fu et al., Heliyon, 2024 (Adam, 1e-4, batch 32, 25 epochs). ``best``: this project's."""


def recipe_of(name: str, **changes: float | int | str | None) -> Recipe:
    """Return a recipe with the given settings changed; None leaves one as it is."""
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    return replace(RECIPES[name], **given)
