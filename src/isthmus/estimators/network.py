"""The base of all estimators that are trained networks: a new model names its parts and its objective."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from ..evaluation.chunks import device_of, map_rows
from ..model import Conditional, LatentVariableModel
from ..nets import MLP
from ..objectives import Objective
from ..training import Rows, Schedule, Settings, fit
from .base import LatentEstimator
from .likelihoods import Likelihood, check_range, choose_likelihood, choose_scaling, likelihood_head

__all__ = ["BaseAutoencoder"]


@dataclass(eq=False, repr=False)
class BaseAutoencoder(LatentEstimator):
    """Parameters and methods that all trained autoencoders share; see a leaf, such as `VAE`, for what it is.

    A leaf is a dataclass: its own parameters are its fields, and it says how to build its model and for what to
    train it. Scikit-learn sees an ordinary constructor that assigns.

    Args:
        n_components: dimension of the code.
        hidden: widths of the encoder's layers, mirrored in the decoder.
        activation: of the hidden layers: "relu", "silu", "tanh", "sigmoid", "gelu".
        encoder: own network, rows (n, features) -> features (n, width), in place of the layers; a head is put on it.
        decoder: own network, codes (n, n_components) -> features (n, width), likewise.
        likelihood: p(x|z); "auto" takes "bernoulli" for uint8 and data in [0, 1], a Gaussian otherwise.
        max_epochs: passes over the data.
        batch_size: examples a step.
        learning_rate: of Adam.
        schedule: shape of the learning rate over the run.
        warm_up: steps over which the learning rate rises.
        clip_norm: largest norm of the gradient; None does not clip.
        weight_average: decay of an exponential average of the weights, which then is the model; None keeps none.
        patience: epochs without a better validation loss after which to stop; None never.
        validation_fraction: rows held out for `patience` where `fit` is given no validation data.
        precision: of matrix products; "auto" is "bf16" on a GPU that has it, else "fp32".
        device: "auto", "cpu", "cuda" or "mps".
        compile: compile the training step; "auto" does where the run is long enough to repay it.
        random_state: seed of weights, order and noise; the same seed gives the same model.
        verbose: show progress.
    """

    n_components: int = 16
    _: KW_ONLY
    hidden: tuple[int, ...] = (512,)
    activation: Literal["relu", "silu", "tanh", "sigmoid", "gelu"] = "relu"
    encoder: nn.Module | None = None
    decoder: nn.Module | None = None
    likelihood: Likelihood = "auto"
    max_epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "stepwise"] | Schedule = "constant"
    warm_up: int = 0
    clip_norm: float | None = None
    weight_average: float | None = None
    patience: int | None = None
    validation_fraction: float = 0.1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    compile: Literal["auto"] | bool = "auto"
    random_state: int | None = None
    verbose: bool = False

    real_likelihood: ClassVar[str] = "gaussian"
    """What "auto" means for data outside [0, 1]."""

    @abstractmethod
    def _model(self, n_features: int) -> LatentVariableModel:
        """The untrained model for rows of so many features."""

    @abstractmethod
    def _objective(self) -> Objective:
        """What it is trained for."""

    # --- parts that leaves build their models from ------------------------------------------

    def _network(self, side: Literal["encoder", "decoder"], n_inputs: int) -> tuple[nn.Module, int]:
        """One side's network and the width of its features: the user's own, or layers of the given widths."""
        own: nn.Module | None = getattr(self, side)
        if own is None:
            net = MLP(n_inputs, self.hidden if side == "encoder" else self.hidden[::-1], self.activation)
            return net, net.n_features
        if not isinstance(own, nn.Module):
            raise TypeError(f"Expected {side} as a torch.nn.Module or None, got {type(own).__name__}.")
        net = _OwnNetwork(copy.deepcopy(own))  # as scikit-learn asks, fitting leaves the parameter as it was
        try:
            with torch.no_grad():
                features = net(torch.zeros(2, n_inputs))
        except RuntimeError as error:
            raise ValueError(f"Expected a {side} for inputs (n, {n_inputs}), got one that fails: {error}") from error
        if features.ndim != 2 or len(features) != 2:
            raise ValueError(
                f"Expected a {side} with features (n, width), got {tuple(features.shape)}; end in nn.Flatten()."
            )
        return net, features.shape[1]

    def _encoder(self, n_features: int, head: Callable[[int, int], nn.Module]) -> Conditional:
        """q(z|x): the encoder's network with a head, a class such as `GaussianHead`."""
        net, width = self._network("encoder", n_features)
        return Conditional(net, head(width, self.n_components))

    def _decoder(self, n_features: int) -> Conditional:
        """p(x|z): the decoder's network with the likelihood's head."""
        net, width = self._network("decoder", self.n_components)
        return Conditional(net, likelihood_head(self.likelihood_, width, n_features))

    # --- fit --------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation: Any = None,
        folder: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on rows X.

        Args:
            X: (n, features), or images (n, h, w) or (n, c, h, w): NumPy, pandas, polars or torch; uint8 pixels are
                scaled here, not by you.
            y: ignored.
            sample_weight: how much each row counts, (n,).
            validation: rows whose loss is measured after each epoch.
            folder: where checkpoints and metrics go while training.
            resume: go on from the newest checkpoint in `folder`, with the same data and parameters.

        Raises:
            ValueError, TypeError: bad data or parameters, in words.
            NonFiniteError: a loss or gradient became NaN or infinite.
        """
        self._check_parameters()
        rows = self._rows(X, reset=True)
        self.likelihood_ = choose_likelihood(self.likelihood, rows, self.real_likelihood)
        check_range(self.likelihood_, rows, self.pixels_)
        self.scaling_ = choose_scaling(self.likelihood_, rows)
        self.log_scale_ = float(np.log(self.scaling_.scale)) if "gaussian" in self.likelihood_ else 0.0
        if self.pixels_ and "gaussian" in self.likelihood_:
            self.log_scale_ -= float(np.log(255.0))
        seed = self._seed()
        weight = None if sample_weight is None else torch.from_numpy(_check_sample_weight(sample_weight, X))
        train, held_out = self._split(Rows(torch.from_numpy(rows), weight=weight), validation, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model_ = self._model(rows.shape[1])
        self.history_ = fit(
            self.model_,
            self._objective(),
            train,
            self._settings(seed),
            scaling=self.scaling_,
            validation=held_out,
            folder=folder,
            resume=resume,
            progress=self.verbose,
            title=type(self).__name__,
        )
        self.n_iter_ = len(self.history_)
        return self

    def _check_parameters(self) -> None:
        if self.n_components < 1:
            raise ValueError(f"Expected n_components >= 1, got {self.n_components}.")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"Expected widths >= 1 in hidden, got {self.hidden}.")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"Expected validation_fraction in (0, 1), got {self.validation_fraction}.")

    def _seed(self) -> int:
        state = check_random_state(self.random_state)
        return int(state.randint(2**31 - 1))

    def _settings(self, seed: int) -> Settings:
        schedule = self.schedule
        if isinstance(schedule, str):
            schedule = Schedule(schedule, self.warm_up, final=0.1 if schedule == "stepwise" else 0.0)
        return Settings(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=schedule,
            clip_norm=self.clip_norm,
            average=self.weight_average,
            patience=self.patience,
            precision=self.precision,
            device=self.device,
            compile=self.compile,
            seed=seed,
        )

    def _split(self, rows: Rows, validation: Any, seed: int) -> tuple[Rows, Rows | None]:
        """Training and validation rows: those given, or a seeded part of X where early stopping needs some."""
        if validation is not None:
            held_out = self._rows(validation)
            check_range(self.likelihood_, held_out, self.pixels_)
            return rows, Rows(torch.from_numpy(held_out))
        if self.patience is None:
            return rows, None
        n = len(rows.x)
        n_held_out = max(1, round(self.validation_fraction * n))
        if n_held_out >= n:
            raise ValueError(f"Expected more rows to hold some out for patience, got {n}; pass validation=.")
        order = torch.from_numpy(np.random.RandomState(seed).permutation(n))
        return rows.take(order[n_held_out:]), rows.take(order[:n_held_out])

    # --- use --------------------------------------------------------------------------------

    def to_tensor(self, X: Any) -> Tensor:
        """Validated rows in the model's units, (n, F) float32."""
        check_is_fitted(self)
        return self._scaled(self._rows(X))

    def _scaled(self, rows: np.ndarray) -> Tensor:
        check_range(self.likelihood_, rows, self.pixels_)
        return self.scaling_(torch.from_numpy(rows))

    def _codes(self, rows: np.ndarray) -> np.ndarray:
        encoder: Any = self.model_.encoder
        (codes,) = map_rows(lambda x: encoder(x).mean, self._scaled(rows), device=device_of(self.model_))
        return codes.cpu().numpy()

    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows, the means of q(z|x): deterministic, (n, n_components) float32."""
        check_is_fitted(self)
        return self._codes(self._rows(X))

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Means of p(x|z) for codes (n, n_components), in the units and the shape of the data."""
        codes = torch.from_numpy(self._checked_codes(Z)).float()
        (means,) = map_rows(lambda z: self.model_.decoder(z).mean, codes, device=device_of(self.model_))
        return self._shaped(self.scaling_.inverse(means.cpu()).float().numpy())

    # --- files and notebook -----------------------------------------------------------------

    def _plain_parameters(self) -> dict[str, Any]:
        plain = super()._plain_parameters()
        if isinstance(self.schedule, Schedule):
            raise ValueError("Expected a schedule by its name, got a Schedule, which a file can't hold; use 'cosine'.")
        return plain

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": tensor for name, tensor in self.model_.state_dict().items()}
        return tensors, {"likelihood_": self.likelihood_, "history_": self.history_}

    def _restore(self, tensors: dict[str, Tensor], fitted: dict[str, Any]) -> None:
        self.likelihood_, self.history_ = fitted["likelihood_"], fitted["history_"]
        self.n_iter_ = len(self.history_)
        with torch.random.fork_rng(devices=[]):
            self.model_ = self._model(self.n_features_in_).eval()
        self.model_.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if "model." in name})

    def _facts(self) -> dict[str, str]:
        weights = sum(parameter.numel() for parameter in self.model_.parameters())
        facts = super()._facts() | {"likelihood": self.likelihood_, "parameters": f"{weights:,}"}
        if self.history_:
            last = self.history_[-1]
            facts |= {"epochs": str(len(self.history_)), "training loss": f"{last['loss']:.2f} nats"}
        return facts


class _OwnNetwork(nn.Module):
    """A user's network sees rows (n, width), whatever axes stand before."""

    def __init__(self, own: nn.Module) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        features = self.own(x.reshape(-1, x.shape[-1]))
        return features.reshape(*x.shape[:-1], *features.shape[1:])
