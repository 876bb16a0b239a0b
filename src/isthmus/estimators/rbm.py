"""The restricted Boltzmann machine: hidden units that switch on together with what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..boltzmann import RestrictedBoltzmannMachine
from ..evaluation.chunks import device_of, evaluating, map_rows
from ..evaluation.partition import annealed_log_partition
from ..objectives import ContrastiveDivergence, Objective
from ..training import Rows
from ..training.stream import Stream
from .blocks import column_moments, in_blocks
from .common import random_generator, seeded_noise
from .network import BaseAutoencoder

__all__ = ["RBM"]

BURN_IN = 1000
"""Gibbs steps before a sample is taken."""


@dataclass(eq=False, repr=False)
class RBM(BaseAutoencoder):
    r"""Restricted Boltzmann machine: visible and hidden units that excite each other by an energy.

    :math:`p(v, h) = \exp(-E(v, h)) / Z` with :math:`E = -b^T v - c^T h - h^T W v`.

    Visible units v are the data, hidden units h the code: E[h|v] = sigmoid(W v + c). Real data have Gaussian visible
    units of variance 1 in the model's units. Trained by contrastive divergence or with persistent chains; the papers
    have `optimizer="sgd"`. Use it as a layer of deep belief nets and of stacked autoencoders, and
    as a density model that is no directed one; for samples and likelihoods at little cost, use `VAE`.

    Its loss is no likelihood: see `isthmus.objectives.ContrastiveDivergence`. There is nothing to stop early by.

    Args:
        n_components: hidden units.
        likelihood: p(v|h): "bernoulli" for data in [0, 1], grey values counting as probabilities; "fixed_gaussian" for
            real data; "auto" chooses.
        hidden_units: "bernoulli", or "gaussian" for real codes W v + c of binary data.
        n_gibbs_steps: steps of a Gibbs chain at each training step, the k of CD-k.
        persistent: chains go on from step to step (PCD) in place of starting at the data.
        n_chains: how many of them there are.
        learning_rate: of the optimiser; lower for Gaussian units, where a run diverges, and for persistent chains.
        binarisation, max_epochs, batch_size, schedule, ...: see `BaseAutoencoder`.

    Attributes:
        model_: the trained `RestrictedBoltzmannMachine`.
        history_: one record an epoch: the loss, and `distortion`, the cross-entropy of the reconstruction, in nats.

    References:
        Hinton (2002). Training products of experts by minimizing contrastive divergence. Neural Computation 14.
        Tieleman (2008). Training restricted Boltzmann machines using approximations to the likelihood gradient. ICML.
        Hinton, Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().data / 16
        >>> rbm = RBM(n_components=16, max_epochs=1, random_state=0).fit(X)
        >>> rbm.transform(X).shape, rbm.sample(3).shape, rbm.log_likelihood(X).shape
        ((1797, 16), (3, 64), (1797,))
    """

    _: KW_ONLY
    likelihood: Literal["auto", "bernoulli", "fixed_gaussian"] = "auto"
    hidden_units: Literal["bernoulli", "gaussian"] = "bernoulli"
    n_gibbs_steps: int = 1
    persistent: bool = False
    n_chains: int = 100
    learning_rate: float = 1e-2

    real_likelihood: ClassVar[str] = "fixed_gaussian"

    # What has no meaning here is no parameter: there are no layers in between, and no loss to stop early by.
    hidden: ClassVar[Any] = ()
    activation: ClassVar[Any] = "sigmoid"
    dropout: ClassVar[Any] = 0.0
    architecture: ClassVar[Any] = "mlp"
    encoder: ClassVar[Any] = None
    decoder: ClassVar[Any] = None
    patience: ClassVar[Any] = None
    validation_fraction: ClassVar[Any] = 0.1
    sharded: ClassVar[Any] = False

    @property
    def _machine(self) -> RestrictedBoltzmannMachine:
        model: Any = self.model_
        return model

    @property
    def is_belief_net_(self) -> bool:
        """Whether there is a distribution to draw rows from by Gibbs chains, as `StackedAutoencoder` may have one."""
        return True

    def _model(self, n_features: int) -> RestrictedBoltzmannMachine:
        return RestrictedBoltzmannMachine(
            n_features,
            self.n_components,
            visible="bernoulli" if self.likelihood_ == "bernoulli" else "gaussian",
            hidden=self.hidden_units,
            n_chains=self.n_chains if self.persistent else 0,
        )

    def _objective(self) -> Objective:
        return ContrastiveDivergence(self.n_gibbs_steps, self.persistent)

    def _train(self, objective: Objective, train: Rows | Stream, *others: Any) -> list[dict[str, Any]]:
        """As other networks, but from biases that give binary units their means: else all hidden units learn these."""
        if self.likelihood_ == "bernoulli":
            rows = train.shards if isinstance(train, Stream) else train.x.numpy()
            mean, _ = column_moments(rows, None if train.weight is None else train.weight.numpy())
            p = (train.n_rows * mean / self.scaling_.scale + 1) / (train.n_rows + 2)  # never 0 or 1
            with torch.no_grad():
                self._machine.visible_bias.copy_(torch.from_numpy(p).logit())
        return super()._train(objective, train, *others)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("n_gibbs_steps", "n_chains"):
            if getattr(self, name) < 1:
                raise ValueError(f"Expected {name} >= 1, got {getattr(self, name)}.")

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the free energy of each row, log p(v) + log Z, in nats and in units of the data.

        Higher for rows that the model knows better. Scores compare rows of one model and say nothing of which of two
        models is better: each has its own constant log Z (`log_partition`).

        Args:
            X: rows as at fit, (n, features) or images.

        Returns:
            Scores, (n,).

        Raises:
            ValueError: rows of another shape or out of range.
        """
        check_is_fitted(self)

        def score(rows: np.ndarray) -> np.ndarray:
            with evaluating(self.model_):
                (found,) = map_rows(self._machine.free_energy, self._scaled(rows), device=device_of(self.model_))
            return -found.double().numpy() - self.n_features_in_ * self.log_scale_

        return in_blocks(X, self._rows, score)

    def log_partition(self) -> float:
        """log Z in nats, exactly, by summing over all states of one layer of 20 Bernoulli units or fewer.

        Raises:
            ValueError: both layers are larger.
        """
        check_is_fitted(self)
        return float(self._machine.log_partition())

    def annealed_log_partition(
        self,
        X: Any,
        n_temperatures: int = 1000,
        n_chains: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[float, float]:
        """log Z in nats by annealed importance sampling, and its standard error, for machines of any size.

        Args:
            X: rows as at fit, from whose mean the chains begin.
            n_temperatures, n_chains: see `isthmus.evaluation.partition.annealed_log_partition`.
            random_state: a seed gives the same estimate again; None takes the estimator's own.

        Raises:
            ValueError: rows of another shape or out of range, or counts below 1.
        """
        check_is_fitted(self)
        seed = random_generator(self.random_state if random_state is None else random_state).randint(2**31)
        base = self._scaled(self._rows(X)).double().mean(0)
        generator = torch.Generator(device_of(self.model_)).manual_seed(int(seed))
        found = annealed_log_partition(self._machine, n_temperatures, n_chains, base=base, generator=generator)
        return float(found.log_evidence), float(found.standard_error)

    def log_likelihood(
        self, X: Any, n_temperatures: int = 0, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """log p(v) of each row in nats and units of the data: exact where `log_partition` is known.

        Args:
            X: rows as at fit, (n, features) or images. Grey values of Bernoulli units count as probabilities.
            n_temperatures: of annealed importance sampling, which estimates log Z where it is not known; log p(v) is
                then in expectation too high, less so with more of them. 0 for the exact one.
            random_state: of annealing: a seed gives the same estimate again; None takes the estimator's own.

        Returns:
            Log-likelihoods, (n,).

        Raises:
            ValueError: rows of another shape or out of range, or too many units to sum over.
        """
        if n_temperatures:
            return self.score_samples(X) - self.annealed_log_partition(X, n_temperatures, random_state=random_state)[0]
        log_partition = self.log_partition()  # first, as that may be impossible
        return self.score_samples(X) - log_partition

    def gibbs(self, X: Any, n_steps: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """What rows become in so many steps of a Gibbs chain: means of p(v|h) at its end.

        Args:
            X: where the chains start, rows as at fit.
            n_steps: of each chain.
            random_state: a seed gives the same rows again; None takes the estimator's own.

        Returns:
            Rows in the units and the shape of the data, (n, *feature_shape_).

        Raises:
            ValueError: rows of another shape or out of range, or n_steps below 1.
        """
        check_is_fitted(self)
        if n_steps < 1:
            raise ValueError(f"Expected n_steps >= 1, got {n_steps!r}.")
        generator = random_generator(self.random_state if random_state is None else random_state)
        rows = self._scaled(self._rows(X))
        return self.inverse_transform(self._hidden_after(lambda: rows, n_steps, generator))

    def _draw_codes(self, n_samples: int, generator: np.random.RandomState) -> np.ndarray:
        """Hidden units at the end of chains that begin where persistent ones stand, or else at random."""
        if hasattr(self, "prior_"):
            return super()._draw_codes(n_samples, generator)
        model = self._machine

        def start() -> Tensor:
            if self.parameters_["persistent"]:
                return model.chains[torch.randint(len(model.chains), (n_samples,))]
            return model.sample_visible(torch.zeros(n_samples, len(model.weights.bias), device=device_of(model)))

        return self._hidden_after(start, BURN_IN, generator)

    def _hidden_after(self, start: Callable[[], Tensor], n_steps: int, generator: np.random.RandomState) -> np.ndarray:
        """Hidden units drawn given the visible ones after n_steps - 1 steps, so that decoding ends the last one."""
        device = device_of(self.model_)
        with seeded_noise(generator, device), torch.inference_mode():
            v = self._machine.gibbs(start().to(device), n_steps - 1)
            return self._machine.sample_hidden(v).cpu().numpy()
