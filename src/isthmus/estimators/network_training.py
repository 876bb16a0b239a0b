"""Many small networks, each one vector of weights, in the library's training loop: model, objective, stages.

Networks that are trained at once are one module, so that the loop's steps, checks and checkpoints are theirs too. What
changes between steps (precisions, noise) follows from weights: a resumed run reads finished stages and finds it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..inference.weights import InputNoise, Network, OutputLikelihood, dropped
from ..model import Batch, draw
from ..objectives import Loss, Objective
from ..processes import LostProcess
from ..training import Interrupted, Rows, Schedule, Settings, fit
from ..training.checkpoint import remove_checkpoints
from .layer import layer_seed
from .weights import History

__all__ = ["NetworkTraining", "Networks", "PenalisedLikelihood", "targets_of", "total_weight"]


class Networks(nn.Module):
    """M networks of one architecture, and their noise, as the training loop sees them: one module.

    They do not disturb each other: their losses are added, and Adam's steps do not depend on the size of a gradient.

    Args:
        network: the architecture.
        vectors: weights to begin with, (M, P).
        noise: log-scales of the noise, (M, n_noise).
        precision: of the prior of each weight, (M, P) or what broadcasts to it.
        learn_noise: whether noise is learned too, by maximum likelihood.
        prior: where precisions come from, in words: a run with another prior does not go on with this one's.
    """

    def __init__(
        self, network: Network, vectors: Tensor, noise: Tensor, precision: Tensor, *, learn_noise: bool = True,
        prior: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.precision, self.prior = network, precision, prior
        self.vectors = nn.Parameter(vectors.clone())
        self.noise = nn.Parameter(noise.clone(), requires_grad=learn_noise and noise.numel() > 0)

    def extra_repr(self) -> str:
        """What they are: a checkpoint of others is refused."""
        return f"{self.network}, n_networks={len(self.vectors)}, prior={self.prior!r}"


@dataclass(frozen=True)
class PenalisedLikelihood(Objective):
    r"""Most probable weights, :math:`\frac1n \min -\log p(y|x, w) + \frac12 \sum_j \alpha_j w_j^2`, mean of networks.

    Args:
        likelihood: of the networks' outputs.
        total: n, the sum of the rows' weights.
        n_steps: of training.
        rates: of dropout, one for each network; () for none.
        means_first: where noise depends on the input, weigh rows by its variance at first, which goes over into the
            likelihood itself by the middle of the steps; see `InputNoise.evened`.
    """

    likelihood: OutputLikelihood
    total: float
    n_steps: int
    rates: tuple[float, ...] = ()
    means_first: bool = False

    def __call__(self, model: Any, batch: Batch, sample=draw) -> Loss:
        """Nats a row."""
        perturb = dropped(batch.x.new_tensor(self.rates)) if any(self.rates) else None
        outputs = model.network(model.vectors, batch.x, perturb)
        if self.means_first and batch.step is not None and isinstance(self.likelihood, InputNoise):
            beta = (1 - 2 * batch.step.to(outputs.dtype) / self.n_steps).clamp(min=0)
            found = self.likelihood.evened(outputs, batch.target, beta)
        else:
            found = self.likelihood.log_likelihood(outputs, batch.target, model.noise)
        penalty = 0.5 * (model.precision * model.vectors.square()).sum() / (self.total * len(found))
        return Loss(-found.mean(0), penalty)


@dataclass(frozen=True)
class NetworkTraining:
    """How networks are trained, in one stage or in several after each other.

    Args:
        n_steps: of Adam, in all stages.
        learning_rate: largest change of a weight in a step; it falls along a cosine to zero, so that noise dies out.
        batch_size: rows a step.
        clip_norm: largest norm of the gradient, of all networks together; None does not clip.
        device: to train on.
        seed: of the order of rows and of noise; stages have seeds of their own.
        validation: rows whose loss is measured after each pass over the others.
        folder: for checkpoints; `part-01` and so on in it are those of stages.
        resume: go on from what is in the folder: stages that were finished are read and not trained again.
        progress: show it.
        title: of what.
    """

    n_steps: int = 2500
    learning_rate: float = 0.02
    batch_size: int = 2048
    clip_norm: float | None = None
    device: str = "cpu"
    seed: int = 0
    validation: Rows | None = None
    folder: Path | None = None
    resume: bool = False
    progress: bool = False
    title: str = "training"

    def begin(self) -> None:
        """Remove what an earlier run left in the folder, with which this one would go on after a stop."""
        if self.folder is not None and not self.resume:
            for old in (self.folder, *self.folder.glob("part-*")):
                remove_checkpoints(old)

    def __call__(
        self, model: nn.Module, objective: Objective, rows: Rows, *, n_steps: int | None = None, number: int = 1,
        what: str = "", learning_rate: float | None = None, validate: bool = True,
    ) -> History:  # fmt: skip
        """Train a model, in place, in one stage.

        Args:
            model: on the device.
            objective: for what.
            rows: with targets.
            n_steps: of this stage, rounded to whole passes over the rows; None takes all.
            number: of the stage, from 1.
            what: the stage, in words.
            learning_rate: of this stage.
            validate: whether to measure the loss of the validation rows.

        Returns:
            Records of passes over the rows, with "loss" in nats a row; see `isthmus.training.fit`.

        Raises:
            NonFiniteError: a loss or gradient became NaN or infinite.
            Interrupted: Ctrl-C, after the step was finished and, with a folder, saved.
        """
        size = min(self.batch_size, rows.n_rows)
        settings = Settings(
            max_epochs=max(1, round((n_steps or self.n_steps) / math.ceil(rows.n_rows / size))),
            batch_size=size,
            learning_rate=learning_rate or self.learning_rate,
            schedule=Schedule("cosine"),
            clip_norm=self.clip_norm,
            precision="fp32",  # curvatures are taken where weights are most probable
            device=self.device,
            compile=False,  # a stage is too short to repay it
            seed=layer_seed(self.seed, number - 1),
        )
        place = None if self.folder is None else self.folder / f"part-{number:02d}"
        try:
            return fit(
                model,  # type: ignore[arg-type]
                objective,
                rows,
                settings,
                validation=self.validation if validate else None,
                folder=place,
                resume=self.resume,
                progress=self.progress,
                title=f"{self.title}, {what}" if what else self.title,
            )
        except (Interrupted, LostProcess) as stopped:  # which name the stage's folder: the whole is resumed
            raise type(stopped)(str(stopped).replace(str(place), str(self.folder))) from stopped


def total_weight(rows: Rows) -> float:
    """How many rows the rows count as."""
    return float(rows.n_rows) if rows.weight is None else float(rows.weight.sum())


def targets_of(rows: Rows) -> Tensor:
    """What the networks learn to predict, (n, ...).

    Raises:
        ValueError: rows without targets.
    """
    if rows.target is None:
        raise ValueError("Expected rows with targets, got none; use Rows(x, target=y).")
    return rows.target
