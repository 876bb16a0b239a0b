"""The denoising autoencoder: rows are encoded as noise left them, and decoded as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..corruption import (
    Blocks,
    Corruption,
    FixedMasking,
    GaussianNoise,
    Masking,
    Rescaled,
    SaltAndPepper,
    Strength,
    UniformNoise,
)
from ..data.shards import Shards
from ..objectives import Denoising, Objective
from .autoencoder import Autoencoder
from .blocks import in_blocks
from .common import PIXEL_LEVELS, random_generator, seeded_noise
from .likelihoods import choose_likelihood
from .parameters import check_parameters, to_plain
from .saved import value_of

__all__ = ["DenoisingAutoencoder"]

_KINDS: dict[str, Any] = {
    "masking": Masking,
    "fixed_masking": FixedMasking,
    "gaussian": GaussianNoise,
    "salt_and_pepper": SaltAndPepper,
    "uniform": UniformNoise,
    "blocks": Blocks,
}


@dataclass(eq=False, repr=False)
class DenoisingAutoencoder(Autoencoder):
    r"""Autoencoder that is shown corrupted rows and gives the clean ones back.

    Minimises :math:`E_{\tilde x \sim c(x)}[-\log p(x \mid f(\tilde x))]`, in nats summed over features. Use it to
    remove noise of a known kind, and for codes that hold where inputs are noisy or incomplete; a code may then be wider
    than the data. Without noise it is an `Autoencoder`. Codes, reconstructions and scores are of rows as they are
    given: nothing is corrupted after training, but by `corrupt`.

    Pixels and other data in [0, 1] are corrupted on that scale, whatever the likelihood: what is masked becomes 0,
    black. Data beyond [0, 1] are corrupted in the model's units, centred and divided by their root mean square: what
    is masked becomes its feature's mean, and noise of scale 0.1 is a tenth of the data's own spread.

    Args:
        n_components: dimension of the code.
        corruption: "masking" sets features to 0, each with probability `strength`; "fixed_masking" so large a share of
            each row; "gaussian" adds noise of that standard deviation; "salt_and_pepper" sets features to 0 or 1;
            "uniform" adds noise in [0, strength) and clips to [0, 1]; "blocks" hides a rectangle of that share of an
            image. In Python also one of `isthmus.corruption`, or a frozen dataclass of that kind.
        strength: of the corruption, or two numbers between which each row draws its own; None takes 0.25 (masking, salt
            and pepper, blocks), 0.1 (gaussian) or 0.5 (uniform).
        emphasis: weights of the log-likelihoods of corrupted and of clean features; with (1, 0) only what was
            corrupted counts.
        code_activation, tied: see `Autoencoder`.
        hidden, activation, encoder, decoder, likelihood, max_epochs, batch_size, learning_rate, ...: see
            `BaseAutoencoder`.

    Attributes:
        model_: the trained `LatentVariableModel`.
        corruption_: the corruption in the model's units, as it was trained with.
        unit_interval_: whether the data were pixels, or all in [0, 1].
        history_: one record an epoch, in nats.

    References:
        Vincent et al. (2008). Extracting and composing robust features with denoising autoencoders. ICML, eq. 5.
        Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11, sec. 3.3 (corruptions), 3.4 (emphasis).

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> model = DenoisingAutoencoder(16, corruption="gaussian", strength=0.3, hidden=(32,), max_epochs=1).fit(X)
        >>> model.reconstruct(model.corrupt(X[:5], random_state=0)).shape
        (5, 64)
    """

    _: KW_ONLY
    corruption: Literal["masking", "fixed_masking", "gaussian", "salt_and_pepper", "uniform", "blocks"] | Corruption = (
        "masking"
    )
    strength: Strength | None = None
    emphasis: tuple[float, float] = (1.0, 1.0)

    def _objective(self) -> Objective:
        return Denoising(super()._objective(), self._corruption_in_model_units(), self.emphasis)

    def _fit(self, *arguments: Any, **more: Any) -> None:
        super()._fit(*arguments, **more)
        self.corruption_ = self._corruption_in_model_units()

    def _begin_fit(self, X: Any) -> np.ndarray | Shards:
        rows = super()._begin_fit(X)
        self.unit_interval_ = choose_likelihood("auto", rows, self.real_likelihood) == "bernoulli"
        return rows

    def _check_parameters(self) -> None:
        super()._check_parameters()
        made = self._chosen_corruption((1, 1, 1))  # it checks itself
        check_parameters(made)
        to_plain("corruption", self.corruption)  # what a file can't hold is refused before training, not after
        Denoising(super()._objective(), made, self.emphasis)

    # --- the corruption, and its units ------------------------------------------------------

    def _chosen_corruption(self, shape: tuple[int, ...]) -> Corruption:
        """The corruption on its own scale, for rows of a shape."""
        if isinstance(self.corruption, Corruption):
            if self.strength is not None:
                raise ValueError(
                    f"Expected strength=None beside {self.corruption}, which has its own, got {self.strength}."
                )
            return self.corruption
        strength = () if self.strength is None else (self.strength,)
        if self.corruption != "blocks":
            return _KINDS[self.corruption](*strength)
        if len(shape) not in (2, 3):
            raise ValueError(
                f"Expected images for the corruption 'blocks', got rows of shape {shape}; use X.reshape(n, height, "
                "width), or isthmus.corruption.Blocks((channels, height, width))."
            )
        return _KINDS["blocks"](shape if len(shape) == 3 else (1, *shape), *strength)

    def _corruption_in_model_units(self) -> Corruption:
        corruption = self._chosen_corruption(self.feature_shape_)
        shift, scale = self.scaling_
        if self.unit_interval_:
            unit = PIXEL_LEVELS if self.pixels_ else 1.0
            same = shift is None and scale == unit
            return corruption if same else Rescaled(corruption, 0.0 if shift is None else shift / unit, scale / unit)
        if isinstance(corruption, (SaltAndPepper, UniformNoise)) and (corruption.low, corruption.high) == (0, 1):
            name = type(corruption).__name__
            raise ValueError(
                f"Expected data in [0, 1] for {corruption}, got others; use 'masking' or 'gaussian', "
                f"sklearn.preprocessing.MinMaxScaler, or isthmus.corruption.{name}(low=-2, high=2), which are in "
                "units of the data's root mean square from their mean."
            )
        return corruption

    def corrupt(self, X: Any, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Corrupt rows as in training, to see what the model makes of them: `reconstruct(corrupt(X))`.

        The result is of the data's kind: uint8 where the model was fitted on uint8, so rounded to pixels and kept
        within 0 and 255; within [0, 1] where the likelihood is of such data. Training itself clips no Gaussian noise.

        Args:
            X: rows as at fit, (n, features) or images.
            random_state: a seed gives the same noise again; None takes the estimator's own, where it has one.

        Returns:
            Corrupted rows in the units, shape and type of the data, (n, *feature_shape_).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)
        generator = random_generator(self.random_state if random_state is None else random_state)
        with seeded_noise(generator, torch.device("cpu")):
            return self._shaped(in_blocks(X, self._rows, self._corrupted))

    def _corrupted(self, rows: np.ndarray) -> np.ndarray:
        """Validated rows, corrupted by the global generator."""
        x = self._scaled(rows)
        noisy = self.corruption_(x)
        dynamic = self.parameters_["binarisation"] == "dynamic"
        clean = self.scaling_.inverse(x.double()) if dynamic else torch.from_numpy(rows).double()
        values = torch.where(noisy == x, clean, self.scaling_.inverse(noisy.double())).numpy()
        if self.pixels_:
            return np.rint(values).clip(0, PIXEL_LEVELS).astype(np.uint8)
        if "gaussian" not in self.likelihood_:
            values = values.clip(0, 1)
        if self.likelihood_ == "discretised_logistic":
            values = np.rint(values * PIXEL_LEVELS) / PIXEL_LEVELS
        return values.astype(rows.dtype)

    # --- files ------------------------------------------------------------------------------

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors, fitted | {"unit_interval_": self.unit_interval_}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        self.unit_interval_ = value_of(fitted, "unit_interval_", bool)
        self.corruption_ = self._corruption_in_model_units()
