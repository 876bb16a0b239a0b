"""What all estimators that are trained networks share: the parameters of training, and `fit`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ..objectives import Objective
from ..processes import from_first, joined
from ..training import Rows, Schedule, Settings, fit
from ..training.checkpoint import checkpoints, recorded_settings
from ..training.stream import Stream
from .common import random_generator
from .layer import MaybeLayer

__all__ = ["BaseTraining", "TrainingParameters"]


class BaseTraining(MaybeLayer):
    """An estimator that the training loop trains: `fit`, whose run can be resumed, and its seed."""

    random_state: int | np.random.RandomState | None

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
                scaled here, not by you. `isthmus.data.Shards`, and memory maps larger than a buffer of them, are
                read while training and never held in memory; classifiers want theirs in memory.
            y: ignored, but by models that learn from it: labels for `PretrainedClassifier`, conditions for
                `ConditionalVAE`.
            sample_weight: how much each row counts, (n,).
            validation: rows whose loss is measured after each epoch; a pair (rows, y) for models that learn from y.
            folder: where checkpoints and metrics go while training; layers of a model have folders of their own in it.
            resume: go on from the newest checkpoint in `folder`, with the same data and parameters; random_state=None
                takes the seed of that run.

        Returns:
            The estimator itself.

        Raises:
            ValueError, TypeError: bad data, labels or parameters, in words.
            NonFiniteError: a loss or gradient became NaN or infinite.
            Interrupted: Ctrl-C. After any error the estimator is as it was before; with a folder, training can resume.
        """
        with joined(), self._all_or_nothing():  # type: ignore[attr-defined]
            self._fit(X, y, sample_weight, validation, folder, resume)
        return self

    @abstractmethod
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: Any, folder: str | Path | None, resume: bool
    ) -> None:
        """Learn what `fit` is given; it keeps the estimator as it was where this fails."""

    def _seed(self, resumed: str | Path | None) -> int:
        """Seed of the run: drawn, but where no seed was chosen, that of the run to be resumed."""
        if self._layer is not None:
            return self._layer.seed
        seed: Any = None
        if self.random_state is None and resumed is not None:
            # Where it was stopped in a layer, or a part, the first one has it: see `layer_seed`.
            places = [Path(resumed, place) for place in ("", "layer-1", "part-01")]
            found = [path for place in places for path in checkpoints(place)[-1:]]
            seed = recorded_settings(found[0]).get("seed") if found else None
        if not isinstance(seed, int) or isinstance(seed, bool):
            seed = int(random_generator(self.random_state).randint(2**31 - 1))
        return from_first(seed)


@dataclass(eq=False, repr=False)
class TrainingParameters(BaseTraining):
    """How a network is trained.

    Args:
        max_epochs: passes over the data.
        batch_size: examples a step.
        learning_rate: of the optimiser.
        optimizer: "adam"; "sgd", gradient descent with momentum; "muon", whose steps of matrices are near orthogonal,
            and take Adam's learning rates.
        momentum: of "sgd": what a gradient still counts for a step later; 0 for none.
        weight_decay: at each step weights shrink by the share learning_rate * weight_decay; biases don't.
        schedule: shape of the learning rate over the run, by name, or a `Schedule`, which has its own warm-up.
        warm_up: steps over which the learning rate rises.
        clip_norm: largest norm of the gradient; None does not clip.
        weight_average: decay of an exponential average of the weights, which then is the model; None keeps none.
        patience: epochs without a better validation loss after which to stop; None never.
        validation_fraction: rows held out for `patience` where `fit` is given no validation data.
        precision: of matrix products; "auto" is "bf16" on a GPU that has it, else "fp32".
        device: "auto", "cpu", "cuda" or "mps".
        compile: compile the training step; "auto" does where the run is long enough to repay it.
        sharded: cut the model over the processes of torchrun, where it is too large for one device.
        random_state: seed of weights, order and noise; the same seed gives the same model. None draws a seed.
        verbose: show progress.
    """

    _: KW_ONLY
    max_epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "sgd", "muon"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "stepwise"] | Schedule = "constant"
    warm_up: int = 0
    clip_norm: float | None = None
    weight_average: float | None = None
    patience: int | None = None
    validation_fraction: float = 0.1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    compile: Literal["auto"] | bool = "auto"
    sharded: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: bool = False

    def _train(
        self, objective: Objective, train: Rows | Stream, held_out: Rows | None, settings: Settings,
        folder: str | Path | None, resume: bool,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Train `model_`, in place; returns its history."""
        return fit(
            self.model_,  # type: ignore[attr-defined]
            objective,
            train,
            settings,
            scaling=self.scaling_,  # type: ignore[attr-defined]
            validation=held_out,
            folder=folder,
            resume=resume,
            progress=self.verbose,
            title=self._title,
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()  # type: ignore[misc]
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"Expected validation_fraction in (0, 1), got {self.validation_fraction}.")
        self._settings(seed=0)  # they check themselves

    @property
    def _title(self) -> str:
        """What progress is of."""
        return type(self).__name__ if self._layer is None else self._layer.title

    def _settings(self, seed: int) -> Settings:
        schedule = self.schedule
        if isinstance(schedule, str):
            schedule = Schedule(schedule, self.warm_up)
        return Settings(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule=schedule,
            clip_norm=self.clip_norm,
            average=self.weight_average,
            patience=self.patience,
            precision=self.precision,
            device=self.device,
            compile=self.compile,
            sharded=self.sharded,
            seed=seed,
        )
