"""What decides a training run: its recipe, its data and its seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from edge.base import declare
from edge.find import Normalisation
from train.data import Dataset

NETWORK_INPUT_PX = {
    "fusion": 200,
    "fusion-lite": 200,
    "ablation1": 200,
    "ablation2": 200,
    "ablation3": 200,
    "hep2": 78,
    "vgg16": 224,
    "resnet50": 224,
}
"""Names of the networks (`train.networks` builds them) and the crop side, px, that each was made for."""

PEERS = frozenset({"hep2", "vgg16", "resnet50"})
"""Networks by other authors. They have no width factor."""

PLAIN = Normalisation(background=0, scale=1 / 255, offset=0.0)
CENTRED = Normalisation(background=128, scale=1 / 64, offset=-2.0)
"""The background becomes 0: convolutions pad with background, and batch norm starts from a mean near 0."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Attributes
    ----------
    network, width, dropout, batch_norm_momentum
        See `train.networks`.
    crop_px : int
        Side of the crops; 0 for the side that the network was made for.
    warm_up : float or None
        Share of the steps in which Adam's rate rises to `learning_rate` before it falls as a cosine; None
        for a constant rate.
    weight_decay : float
        Decoupled from the gradient (AdamW).
    clip_norm : float or None
        Largest norm of the whole gradient.
    augmentation : str
        ``paper`` is the paper's fixed expansion; ``random`` draws new variants in every epoch.
    balance, backgrounds : float
        Of ``random`` epochs: see `train.augment.balanced_order`, and the share of crops moved to another
        background.
    mixup : float
        Both parameters of the Beta distribution by which pairs of crops and their labels are mixed, or 0
        (Zhang et al., ICLR 2018, arXiv:1710.09412).
    test_time_views : int
        Mirrored and rotated views of a crop over which the finished network's output is averaged.
    precision : str
        Arithmetic of a training step; weights and results are float32. Measured on x86 with AVX512-BF16, a
        step in ``bfloat16`` takes half the time.

    Raises
    ------
    ValueError
        If the network is unknown, or has no width factor and `width` is not 1.
    """

    name: str = declare("name of the recipe")
    network: str = declare("name of the network", default="fusion", choices=tuple(NETWORK_INPUT_PX))
    crop_px: int = declare("side of the crops", 0, 1024, unit="px", default=0)
    width: float = declare("factor on all channels", 0, 16, low_open=True, default=1.0)
    dropout: float = declare("share of hidden outputs dropped", 0, 1, high_open=True, default=0.0)
    batch_norm_momentum: float = declare("momentum of the moving averages", 0, 1, default=0.99)
    epochs: int = declare("passes over the crops", 1, default=25)
    batch: int = declare("crops per step", 1, default=32)
    learning_rate: float = declare("peak of Adam's rate", 0, default=1e-4)
    warm_up: float | None = declare("share of the steps in which the rate rises", 0, 1, default=None)
    weight_decay: float = declare("weight decay", 0, default=0.0)
    label_smoothing: float = declare("label smoothing", 0, 1, default=0.0)
    clip_norm: float | None = declare("largest norm of the gradient", 0, default=None)
    augmentation: Literal["paper", "random"] = declare("augmentation", default="paper")
    normalisation: Normalisation = declare("how a crop becomes the input", default=PLAIN)
    balance: float = declare("repetition of rare classes", 0, 1, default=0.0)
    backgrounds: float = declare("share of crops laid over others' backgrounds", 0, 1, default=0.0)
    mixup: float = declare("parameter of the Beta distribution", 0, default=0.0)
    test_time_views: Literal[1, 8] = declare("views averaged over", default=1)
    precision: Literal["float32", "bfloat16"] = declare("arithmetic of a step", default="float32")

    def __post_init__(self) -> None:
        if self.network not in NETWORK_INPUT_PX:
            raise ValueError(f"no network {self.network}: choose one of {', '.join(NETWORK_INPUT_PX)}")
        if self.network in PEERS and self.width != 1:
            raise ValueError(f"{self.network} has no width factor: leave --width out")

    @property
    def side_px(self) -> int:
        """Side of the crops that the network sees."""
        return self.crop_px or NETWORK_INPUT_PX[self.network]


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
        test_time_views=8,
    ),
}
"""``paper``: Chen, Fu et al., Heliyon, 2024 (Adam, 1e-4, batch 32, 25 epochs). ``best``: this project's."""


def recipe_of(name: str, **changes: float | str | None) -> Recipe:
    """Return the recipe of this name with some settings changed; None leaves a setting as it is."""
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    return replace(RECIPES[name], **given)


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """What a training run is made from. Without a validation set nothing is scored.

    Raises
    ------
    ValueError
        If the training crops are of fewer than two classes.
    """

    training: Dataset
    validation: Dataset | None
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        """Refuse crops of a single class."""
        classes = [label for label, n in self.training.counts().items() if n]
        if len(classes) < 2:
            raise ValueError(f"fewer than two classes ({', '.join(classes)}): there is nothing to tell apart")

    @property
    def parts(self) -> dict[str, Dataset]:
        """The data by part, ``training`` and, if there is one, ``validation``."""
        both = {"training": self.training, "validation": self.validation}
        return {name: dataset for name, dataset in both.items() if dataset is not None}
