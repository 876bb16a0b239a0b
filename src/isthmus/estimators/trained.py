"""What a trained model can do, whichever it is: decode, score, draw rows, and go to a file and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..evaluation.chunks import device_of, evaluating, map_rows
from ..evaluation.likelihood import bound, importance_log_likelihood
from ..evaluation.noise import binarised
from ..model import Batch, LatentVariableModel
from .base import LatentEstimator
from .blocks import in_blocks
from .code_prior import CodePrior
from .common import seeded_noise
from .likelihoods import check_range
from .notebook import loss_curve, training_facts
from .saved import value_of
from .weights import checked_history, part_of, restored_model, written_history, written_model

__all__ = ["BaseTrained"]


class BaseTrained(LatentEstimator):
    """An estimator around a `LatentVariableModel`; `BaseAutoencoder` adds parameters and training.

    Attributes:
        model_: the trained `LatentVariableModel`.
        likelihood_: the likelihood that was chosen.
        history_: one record an epoch: loss and its terms in nats, and validation where there is any.
        n_iter_: epochs trained.
        prior_: distribution of the codes, once `fit_prior` was called.
    """

    model_: LatentVariableModel
    likelihood_: str
    history_: list[dict[str, Any]]
    prior_: CodePrior

    @property
    def default_importance_samples(self) -> int:
        """Importance samples of a score where no number is given; 0 is the evidence lower bound."""
        return 0

    def _model(self, n_features: int) -> LatentVariableModel:
        """The untrained model for rows of so many features."""
        raise NotImplementedError

    def _scaled(self, rows: np.ndarray, seed: int = 0) -> Tensor:
        check_range(self.likelihood_, rows, self.pixels_)
        x = super()._scaled(rows)
        return binarised(x, seed) if self.parameters_.get("binarisation") == "dynamic" else x

    def _codes(self, rows: np.ndarray, condition: Tensor | None = None) -> np.ndarray:
        encoder: Any = self.model_.encoder
        with evaluating(self.model_):
            (codes,) = map_rows(
                lambda x, c: encoder(x, c).mean, self._scaled(rows), condition, device=device_of(self.model_)
            )
        return codes.numpy()

    def _rebuilt(self, rows: np.ndarray, condition: Tensor | None = None) -> np.ndarray:
        return self._decoded(self._checked_codes(self._codes(rows, condition)), condition)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decode codes.

        Args:
            Z: codes, (n, n_components).

        Returns:
            The means of p(x|z) in the units and the shape of the data, (n, *feature_shape_): float32 for pixels and
            data in [0, 1], float64 for other data, which may stand far from zero.

        Raises:
            ValueError, TypeError: codes of another width, or not finite numbers.
        """
        return self._decoded(self._checked_codes(Z))

    def _decoded(self, codes: np.ndarray, condition: Tensor | None = None) -> np.ndarray:
        """Rows from codes, in the units and the shape of the data."""
        decoder, z = self.model_.decoder, torch.tensor(codes, dtype=torch.float32)
        with evaluating(self.model_):
            (means,) = map_rows(lambda z, c: decoder(z, c).mean, z, condition, device=device_of(self.model_))
        rows = self.scaling_.inverse(means.double())
        far_from_zero = self.scaling_.shift is not None and not self.pixels_
        return self._shaped((rows if far_from_zero else rows.float()).numpy())

    def score_samples(self, X: Any, n_importance_samples: int = 0) -> np.ndarray:
        """Score of each row, higher for rows that the model knows better; the same for a row in any batch.

        To the bit where the widths of layers, code and rows are multiples of 4, else to rounding (1e-6).

        Models whose codes have a prior give a lower bound on log p(x), in nats and in units of the data. Grey pixels
        under a Bernoulli likelihood count as probabilities: their score compares models on the same data, but is no
        density of grey images; with binarisation="dynamic" it is of black and white pixels, drawn by the row's content.
        Deterministic codes have no likelihood: there it is minus the squared error.

        Args:
            X: rows as at fit, (n, features) or images.
            n_importance_samples: tighten the bound by so many importance samples (Burda et al. 2015); 0 is the bound
                that the model was trained on, the evidence lower bound or, of an `IWAE`, that of its n_samples.

        Returns:
            Scores, (n,).

        Raises:
            ValueError: rows of another shape or out of range, or n_importance_samples below 0.
            TypeError: importance samples of a deterministic code.
        """
        check_is_fitted(self)
        return in_blocks(X, self._rows, lambda rows: self._scores(rows, None, n_importance_samples))

    def _scores(self, rows: np.ndarray, condition: Tensor | None, n_importance_samples: int) -> np.ndarray:
        """Scores of validated rows, (n,)."""
        x = self._scaled(rows)
        if n_samples := n_importance_samples or self.default_importance_samples:
            estimate = importance_log_likelihood(self.model_, x, n_samples, condition=condition)
            found = estimate.log_likelihood
        elif self.model_.prior is None:
            return -self._squared_error(rows)
        else:
            found = bound(self.model_, x, condition=condition).bound
        return found.numpy() - self.n_features_in_ * self.log_scale_

    def fit_prior(self, X: Any, kind: Literal["gaussian", "mixture"] = "gaussian", n_mixture: int = 10) -> Self:
        """Fit a distribution to the codes of rows X, from which `sample` then draws.

        Args:
            X: rows, usually the training data.
            kind: one Gaussian with full covariance, or a mixture of them.
            n_mixture: components of the mixture.

        Returns:
            The estimator itself.

        Raises:
            ValueError: unknown kind, or too few rows.
        """
        check_is_fitted(self)
        self.prior_ = CodePrior.fit(in_blocks(X, self._rows, self._codes), kind, n_mixture)
        return self

    def _draw_codes(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        if hasattr(self, "prior_"):
            return self.prior_.sample(n_samples, generator)
        if self.model_.prior is None:
            raise ValueError(
                "Expected a prior over the codes, got none: an autoencoder learns no distribution to draw codes from, "
                "and codes from, say, N(0, I) fall where its decoder has never been; use fit_prior(X) first, or a VAE."
            )
        device = device_of(self.model_)
        with seeded_noise(generator, device), torch.inference_mode():
            x = torch.zeros(n_samples, self.n_features_in_, device=device)
            return self.model_.prior(Batch(x, x)).sample().cpu().numpy()

    # --- files and notebook -----------------------------------------------------------------

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = written_model(self.model_)
        if hasattr(self, "prior_"):
            tensors |= {f"prior.{name}": torch.from_numpy(array) for name, array in self.prior_._asdict().items()}
        return tensors, {"likelihood_": self.likelihood_, "history_": written_history(self.history_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.likelihood_ = value_of(fitted, "likelihood_", str)
        self.history_ = checked_history(fitted)
        self.n_iter_ = len(self.history_)
        n_layers = len(getattr(self, "hidden", None) or ())
        self.model_ = restored_model(lambda: self._model(self.n_features_in_), tensors, n_layers)
        if part_of(tensors, "prior."):
            self.prior_ = CodePrior.checked(
                {name: tensors.pop(f"prior.{name}").numpy() for name in CodePrior._fields}, self._n_features_out
            )

    def _facts(self) -> dict[str, str]:
        weights = sum(parameter.numel() for parameter in self.model_.parameters())
        facts = super()._facts() | {"likelihood": self.likelihood_, "parameters": f"{weights:,}"}
        return facts | training_facts(self.history_)

    def _html_repr(self) -> str:
        """The diagram, the facts, and the loss over the epochs."""
        return super()._html_repr() + loss_curve(getattr(self, "history_", []))
