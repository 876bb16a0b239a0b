"""What Bayesian neural networks for numbers and for classes share: parameters, fitting, and their files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..data.memory import check_fits
from ..inference.weights import Network, OutputLikelihood, Outputs, Posterior, WeightPosterior, outputs_of
from ..training import Rows, Settings
from ..training.folder import own_folder
from .laplace_networks import fit_laplace
from .mean_field_networks import fit_mean_field
from .network_training import NetworkTraining
from .notebook import loss_curve, training_facts
from .point_networks import fit_point_networks
from .saved import Saved, value_of
from .targets import TargetRows
from .training_parameters import BaseTraining
from .weights import checked_history, written_history

__all__ = ["BaseBayesianNetwork"]

DROPOUT_RATES = (0.005, 0.01, 0.05, 0.1)
"""Among which held-out rows choose, those of Gal and Ghahramani."""

PRECISIONS = (0.1, 1.0, 10.0, 30.0, 100.0)
"""Of the prior of an ensemble's weights, likewise."""

LENGTHS = (0.1, 0.3, 1.0)
"""Shares of `n_steps` for which an ensemble is trained, likewise."""

N_RECORDS = 50  # of the history of steps
FLOAT64 = 8


@dataclass(eq=False, repr=False)
class BaseBayesianNetwork(TargetRows, BaseTraining, Saved):
    """How a Bayesian neural network is fitted.

    Args:
        hidden: widths of the hidden layers; () is Bayesian linear or logistic regression.
        posterior: "laplace", a Gaussian over all weights around the most probable ones, for outputs that are linear in
            them; "last-layer", the same over those of the last layer; "mean-field", independent Gaussians by
            variational inference; "ensemble", networks from different starts; "dropout".
        activation: of the hidden units.
        n_networks: trained from different starts, whose predictions are averaged; 5 for ensembles, else 1, if None.
        prior_precision: of all weights, whose prior is Gaussian around zero; None finds one for each layer by the
            marginal likelihood ("laplace"), by the bound on it ("mean-field"), or by held-out rows ("ensemble"); it is
            1 with "dropout".
        each_input: where precisions are found, one for each input: what does not matter is switched off.
        dropout: rate with "dropout"; None chooses it by held-out rows.
        gradient: of "mean-field": "local" draws sums in place of weights, "flipout" has signs of its own for each row.
        n_steps: of Adam, rounded to whole passes over the rows; with "ensemble" held-out rows choose it or a share.
        n_rounds: how often "laplace" updates precisions and noise while training.
        learning_rate: of Adam; it falls along a cosine.
        batch_size: rows a step.
        n_samples: draws of weights to predict with, of "mean-field" and "dropout", and of classes' logits.
        clip_norm: largest norm of the gradient, of all networks together; None does not clip.
        device: to train on; "auto", "cpu", "cuda" or "mps".
        random_state: seed of weights, order and draws. None draws a seed.
        verbose: show progress.
    """

    hidden: tuple[int, ...] = (50,)
    _: KW_ONLY
    posterior: Posterior = "laplace"
    activation: Literal["relu", "tanh", "silu", "sigmoid"] = "relu"
    n_networks: int | None = None
    prior_precision: float | None = None
    each_input: bool = True
    dropout: float | None = None
    gradient: Literal["local", "flipout"] = "local"
    n_steps: int = 2500
    n_rounds: int = 20
    learning_rate: float = 0.02
    batch_size: int = 2048
    n_samples: int = 100
    clip_norm: float | None = None
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None
    verbose: bool = False

    @abstractmethod
    def _likelihood(self) -> OutputLikelihood:
        """Of the network's outputs, once targets are known."""

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, folder: str | Path | None, resume: bool
    ) -> None:
        device = Settings(device=self.device).resolve_device()
        rows = self._train_rows(X, y, sample_weight).to(device)
        if rows.n_rows < 2:
            raise ValueError(f"Expected at least 2 rows, got n_samples = {rows.n_rows}.")
        held_out = None if validation is None else self._watched_rows(validation).to(device)
        self.seed_ = self._seed(folder if resume else None)
        self._check_memory()
        training = NetworkTraining(
            n_steps=self.n_steps, learning_rate=self.learning_rate, batch_size=self.batch_size,
            clip_norm=self.clip_norm, device=self.device, seed=self.seed_, validation=held_out,
            folder=None if folder is None else Path(folder), resume=resume, progress=self.verbose,
            title=type(self).__name__,
        )  # fmt: skip
        with own_folder(folder):  # of all parts
            self._find_posterior(rows, training)

    def _find_posterior(self, rows: Rows, training: NetworkTraining) -> None:
        problem: Any = self._network(), self._likelihood(), rows, training
        kind, n_networks, fit = self.posterior, self._n_networks, None  # type: Any
        prior: Any = {"n_networks": n_networks, "each_input": self.each_input, "precision": self.prior_precision}
        if kind in ("laplace", "last-layer"):
            fit = fit_laplace(*problem, **prior, n_rounds=self.n_rounds, last_layer=kind == "last-layer")
            vectors, spread, log_evidence = fit.vectors, fit.covariances, float(fit.log_evidence.mean())
        elif kind == "mean-field":
            fit = fit_mean_field(*problem, **prior, estimator=self.gradient)
            vectors, spread, log_evidence = fit.mean, fit.log_sd, fit.bound
        else:
            fit = fit_point_networks(*problem, n_networks=n_networks, **self._choices())
            vectors, log_evidence = fit.vectors, None
            spread = torch.full((n_networks if kind == "dropout" else 0,), fit.rate)
        self.posterior_ = WeightPosterior(kind, *(part.cpu().double() for part in (vectors, fit.noise, spread)))
        self.log_evidence_: float | None = log_evidence
        every = max(1, len(fit.history) // N_RECORDS)
        self.history_ = fit.history[every - 1 :: every]

    def _choices(self) -> dict[str, Any]:
        """Among which held-out rows choose."""
        precision = None if self.prior_precision is None else (self.prior_precision,)
        if self.posterior == "dropout":
            return {
                "rates": DROPOUT_RATES if self.dropout is None else (self.dropout,),
                "precisions": precision or (1.0,),
            }
        lengths = sorted({max(1, round(share * self.n_steps)) for share in LENGTHS})
        return {"precisions": precision or PRECISIONS, "lengths": lengths}

    # --- sizes ----------------------------------------------------------------------------------

    @property
    def _n_networks(self) -> int:
        return self.n_networks or (5 if self.posterior == "ensemble" else 1)

    def _network(self) -> Network:
        widths = (self.n_features_in_, *self.hidden, self._likelihood().n_outputs)  # type: ignore[attr-defined]
        return Network(widths, self.activation)

    def _check_memory(self) -> None:
        """Refuse what can't be held, before anything of it is made."""
        network, n = self._network(), self._n_networks
        advice = "use fewer units, or posterior='last-layer', 'mean-field' or 'ensemble'"
        size = {"laplace": network.n_parameters, "last-layer": network.n_last}.get(self.posterior, 0)
        matrices = n + 4 + max(1, self._likelihood().n_noise)  # covariances, a factorisation, curvatures
        needed = matrices * FLOAT64 * size**2
        check_fits(needed, f"the covariance of {size:,} weights", advice)
        check_fits(8 * n * network.n_parameters * FLOAT64, "the networks' weights", "use narrower hidden layers")

    def _check_parameters(self) -> None:
        super()._check_parameters()  # type: ignore[misc]
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"Expected widths >= 1 in hidden, got {self.hidden}.")
        least = {"n_steps": 1, "n_rounds": 1, "batch_size": 1, "n_samples": 1, "n_networks": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ValueError(f"Expected {name} >= {lowest}, got {value}.")
        if self.prior_precision is not None and not self.prior_precision > 0:
            raise ValueError(f"Expected prior_precision > 0, got {self.prior_precision}; use None to find it.")
        if self.dropout is not None and not 0 < self.dropout < 1:
            raise ValueError(f"Expected dropout in (0, 1), got {self.dropout}; use None to choose it.")
        if not self.learning_rate > 0:
            raise ValueError(f"Expected learning_rate > 0, got {self.learning_rate}.")
        if self.n_steps < 2 * self.n_rounds and self.posterior in ("laplace", "last-layer"):
            raise ValueError(f"Expected n_steps >= 2 * n_rounds = {2 * self.n_rounds}, got {self.n_steps}.")

    def _outputs(self, x: Tensor) -> Outputs:
        with torch.no_grad():
            return outputs_of(self._network(), self.posterior_, x, self.n_samples, self.seed_)

    # --- files and notebook -----------------------------------------------------------------------

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        _, vectors, noise, spread = self.posterior_
        tensors, fitted = super()._fitted()
        tensors |= {"vectors": vectors, "noise": noise, "spread": spread}
        fitted |= {"seed_": self.seed_, "log_evidence_": self.log_evidence_}
        return tensors, fitted | {"history_": written_history(self.history_)}

    def _restore(self, tensors: dict[str, Tensor], fitted: Mapping[str, Any]) -> None:
        super()._restore(tensors, fitted)
        self.seed_, self.history_ = value_of(fitted, "seed_", int), checked_history(fitted)
        self.log_evidence_ = value_of(fitted, "log_evidence_", float | None)
        network, n, likelihood = self._network(), self._n_networks, self._likelihood()
        size = {"laplace": network.n_parameters, "last-layer": network.n_last}.get(self.posterior, 0)
        spread = {"mean-field": (n, network.n_parameters), "dropout": (n,), "ensemble": (0,)}
        shapes = {
            "vectors": (n, network.n_parameters),
            "noise": (n, likelihood.n_noise),
            "spread": spread.get(self.posterior, (n, size, size)),
        }
        found = {name: tensors.pop(name) for name in shapes}
        for name, shape in shapes.items():
            if found[name].shape != shape or found[name].dtype != torch.float64:
                raise ValueError(f"{name} of shape {tuple(found[name].shape)}")
        self.posterior_ = WeightPosterior(self.posterior, **found)

    def _facts(self) -> dict[str, str]:
        facts = super()._facts() | {"posterior": self.parameters_["posterior"]}  # type: ignore[misc]
        n_networks, n_weights = self.posterior_.vectors.shape
        facts |= {"networks": str(n_networks), "parameters": f"{n_weights:,}"}
        if self.log_evidence_ is not None:
            facts["log evidence"] = f"{self.log_evidence_:.1f} nats"
        return facts | training_facts(self.history_)

    def _html_repr(self) -> str:
        """The diagram, the facts, and the loss."""
        return super()._html_repr() + loss_curve(getattr(self, "history_", []))  # type: ignore[misc]
