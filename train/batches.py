"""The batches of a training epoch: augmented, normalised and mixed crops with their labels."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from edge.find import level
from train import augment
from train.data import Dataset
from train.recipe import Recipe


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """One epoch of training batches, decided by the data, the recipe, the seed and the epoch."""

    def __init__(self, dataset: Dataset, recipe: Recipe, seed: int, epoch: int) -> None:
        super().__init__()
        self._dataset = dataset
        self._targets = dataset.targets
        self._seed = (seed, epoch)
        self._recipe = recipe
        self._random = recipe.augmentation == "random"
        rng = np.random.default_rng(self._seed)
        if self._random:
            self._order = augment.balanced_order(dataset.truth, rng, recipe.balance)
        else:
            factors = augment.expansion_factors(list(dataset.counts().values()))
            self._order = rng.permutation(augment.expansion(dataset.truth, factors))
        self._batch = min(recipe.batch, len(self._order))

    def __len__(self) -> int:
        """Return the number of whole batches.

        A short last batch would give its crops more weight and be compiled separately.
        """
        return len(self._order) // self._batch

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return normalised crops, float32 [batch, s, s, 1], and label shares, float32 [batch, labels]."""
        places = range(step * self._batch, (step + 1) * self._batch)
        crops = np.stack([self._crop(place) for place in places])[..., np.newaxis]
        crops *= np.float32(255 * self._recipe.normalisation.scale)
        crops += np.float32(self._recipe.normalisation.offset)
        order = self._order[places.start : places.stop]
        sources = order if self._random else order[:, 0]
        labels = self._targets[sources]
        if self._recipe.mixup:
            rng = np.random.default_rng((*self._seed, step, 1))
            share = np.float32(rng.beta(self._recipe.mixup, self._recipe.mixup))
            others = rng.permutation(len(crops))
            crops = share * crops + (1 - share) * crops[others]
            labels = share * labels + (1 - share) * labels[others]
        return crops, labels

    def _crop(self, place: int) -> NDArray[np.float32]:
        """Return one augmented crop, float32 [s, s] from 0 to 1."""
        background = self._recipe.normalisation.background
        if not self._random:
            source, factor, number = self._order[place].tolist()
            levelled = level(self._dataset.crops[[source]], background)[0]
            return augment.paper_variant(levelled, factor, number) / np.float32(255)
        rng = np.random.default_rng((*self._seed, place))
        crop = self._dataset.crops[self._order[place]]
        backgrounds = self._dataset.backgrounds
        if len(backgrounds) and rng.random() < self._recipe.backgrounds:
            crop = augment.lay_over(crop, backgrounds[rng.integers(len(backgrounds))], rng)
        return augment.random_variant(level(crop[np.newaxis], background)[0], rng)
