"""The conditional variational autoencoder: a VAE that is told something of each row, such as its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils.validation import _num_samples, check_is_fitted
from torch import Tensor

from ..training import Rows
from .blocks import in_blocks
from .code_prior import CodePrior
from .conditions import Conditions
from .vae import VAE

__all__ = ["ConditionalVAE"]


@dataclass(eq=False, repr=False)
class ConditionalVAE(VAE):
    r"""Conditional VAE: encoder and decoder are told a label, or a vector, of each row.

    Maximises :math:`E_{q(z|x,y)}[\log p(x|z, y)] - KL(q(z|x, y) \| p(z)) \le \log p(x|y)`, in nats summed over
    features. As z and y are independent in p, the code is left with what y does not say: the hand, not the digit. Use
    it to generate a given class, to change the class of an example and keep its style, or for codes without the part
    of the variation that is known. Each likelihood is of x given y: it compares with other models of p(x|y) only.

    Conditions are y in `fit` and `score`, as in scikit-learn, and `conditions` elsewhere. One dimension holds labels,
    integers or text, each told by one number a class; two dimensions hold a vector of real numbers for each row, told
    as it is: scale its columns to about 1. Where a method takes one for each row, one for all rows will do too. A
    missing or unknown label is an error, never a guess.

    Args:
        n_components: dimension of the code.
        n_samples, free_bits, kl_warm_up, gradient: see `VAE`.
        encoder: own network, rows (n, features) -> features (n, width); the condition is joined to these.
        decoder: own network, codes and conditions (n, n_components + n_conditions) -> features (n, width).
        hidden, activation, architecture, likelihood, max_epochs, batch_size, learning_rate, ...: see `BaseAutoencoder`.

    Attributes:
        classes_: the labels known from `fit`, sorted; None where conditions are vectors.
        conditions_: their kind, and how wide a condition is.
        model_, history_: see `VAE`.

    References:
        Kingma, Rezende, Mohamed, Welling (2014). Semi-supervised learning with deep generative models. NeurIPS, eq. 6
            (M2, here with every row labelled).
        Sohn, Lee, Yan (2015). Learning structured output representation using deep conditional generative models.
            NeurIPS (CVAE; here with a prior that does not depend on y).

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> model = ConditionalVAE(n_components=2, hidden=(32,), max_epochs=1, random_state=0).fit(X / 16, y)
        >>> model.transform(X / 16, conditions=y).shape, model.sample(5, conditions=3).shape
        ((1797, 2), (5, 64))
    """

    conditional: ClassVar[bool] = True

    @property
    def classes_(self) -> np.ndarray | None:
        """Labels known from `fit`, sorted; None where conditions are vectors."""
        return self.conditions_.classes

    @property
    def _n_conditions(self) -> int:
        return self.conditions_.width

    def to_condition(self, conditions: Any, n_rows: int) -> Tensor:
        """Conditions of so many rows as the model takes them, (n_rows, n_conditions) float32.

        Raises:
            ValueError, TypeError: missing or unknown ones, or another number of them.
        """
        check_is_fitted(self)
        return self.conditions_.as_tensor(conditions, n_rows)

    # --- fit --------------------------------------------------------------------------------

    def _beside(self, y: Any, n_rows: int) -> dict[str, Tensor]:
        if y is None:
            raise ValueError(
                f"Expected y, a label or a vector for each row, got None: {type(self).__name__} requires y to be "
                "passed, but the target y is None; use VAE for rows without labels."
            )
        self.conditions_ = Conditions.of(y)
        if _num_samples(y) != n_rows:
            raise ValueError(f"Expected one label or vector a row in y, got {_num_samples(y)} for {n_rows} rows.")
        return {"condition": self.conditions_.as_tensor(y, n_rows)}

    def _held_out(self, validation: Any) -> Rows:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise ValueError(f"Expected validation as a pair (rows, conditions), got {type(validation).__name__}.")
        rows = super()._held_out(validation[0])
        return rows._replace(condition=self.conditions_.as_tensor(validation[1], rows.n_rows))

    def fit_transform(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Train on rows, and give their codes: `fit`, then `transform` with the same conditions."""
        return self.fit(X, y, **options).transform(X, y)

    # --- what it can do with rows and their conditions --------------------------------------

    def _given(self, X: Any, conditions: Any, function: Callable[..., np.ndarray]) -> np.ndarray:
        """A function of rows and their conditions, block by block."""
        check_is_fitted(self)
        return in_blocks(X, self._rows, function, lambda n_rows: self.to_condition(conditions, n_rows))

    def transform(self, X: Any, conditions: Any = None) -> np.ndarray:
        """Codes of rows, given their conditions: means of q(z|x, y), (n, n_components). See `VAE.transform`."""
        return self._given(X, conditions, self._codes)

    def reconstruct(self, X: Any, conditions: Any = None) -> np.ndarray:
        """Encode rows and decode them again, both with their conditions. See `VAE.reconstruct`."""
        return self._given(X, conditions, self._rebuilt)

    def squared_error(self, X: Any, conditions: Any = None) -> np.ndarray:
        """Squared error of each row's reconstruction, summed over its features, (n,). See `VAE.squared_error`."""
        return self._given(X, conditions, self._squared_error)

    def score_samples(self, X: Any, n_importance_samples: int = 0, conditions: Any = None) -> np.ndarray:
        """Lower bound on log p(x|y) of each row, (n,), nats, in units of the data. See `VAE.score_samples`."""
        return self._given(X, conditions, lambda rows, c: self._scores(rows, c, n_importance_samples))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples` with conditions y, so that model selection works."""
        return float(np.mean(self.score_samples(X, conditions=y)))

    def posterior(self, X: Any, conditions: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z|x, y), each (n, n_components)."""
        mean, scale = self._given(X, conditions, self._moments).swapaxes(0, 1)
        return np.ascontiguousarray(mean), np.ascontiguousarray(scale)

    def inverse_transform(self, Z: Any, conditions: Any = None) -> np.ndarray:
        """Decode codes with conditions: means of p(x|z, y).

        Codes of rows of one class, decoded as another one, are these rows in the other class.

        Args:
            Z: codes, (n, n_components).
            conditions: labels (n,) or vectors (n, c), or one for all.

        Returns:
            Rows, (n, *feature_shape_), as `VAE.inverse_transform` gives them.

        Raises:
            ValueError, TypeError: other codes, and missing or unknown conditions.
        """
        codes = self._checked_codes(Z)
        return self._decoded(codes, self.to_condition(conditions, len(codes)))

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        conditions: Any = None,
    ) -> np.ndarray:
        """Decode codes drawn from the prior with given conditions: new rows of a class.

        Args:
            n_samples: rows to draw.
            random_state: a seed gives the same codes again, whatever the conditions; None takes the estimator's own.
            conditions: one for all rows, such as a label, or one for each: labels (n_samples,), vectors (n_samples, c).

        Returns:
            Means of p(x|z, y), (n_samples, *feature_shape_).

        Raises:
            ValueError, TypeError: n_samples below 1, and missing or unknown conditions.
        """
        return self.inverse_transform(self._new_codes(n_samples, random_state), conditions)

    def fit_prior(
        self, X: Any, kind: Literal["gaussian", "mixture"] = "gaussian", n_mixture: int = 10, conditions: Any = None
    ) -> Self:
        """Fit a distribution to the codes of rows of all conditions, from which `sample` then draws. See `VAE`."""
        self.prior_ = CodePrior.fit(self._given(X, conditions, self._codes), kind, n_mixture)
        return self

    # --- files, tags, notebook --------------------------------------------------------------

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, fitted = super()._fitted()
        return tensors, fitted | self.conditions_.record()

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        self.conditions_ = Conditions.from_record(fitted)
        super()._restore(tensors, fitted)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _facts(self) -> dict[str, str]:
        kind, width = self.conditions_
        return super()._facts() | {"told": f"{width} numbers a row" if kind is None else f"one of {width} classes"}
