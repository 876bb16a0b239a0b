"""What several processes do together in test_processes.py and test_sharded.py: each calls one of these functions.

The first process writes `result-N` (N processes): weights of several runs, scores, and what was recorded.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from cases import C, autoencoder, binary, conditional_vae, image_vae, vae
from isthmus import VAE, ConditionalVAE, PretrainedClassifier, evaluate, load
from isthmus.boltzmann import RestrictedBoltzmannMachine
from isthmus.corruption import Blocks, FixedMasking, GaussianNoise, Masking, SaltAndPepper, UniformNoise
from isthmus.files import write_tensors
from isthmus.heads import BernoulliHead, FixedGaussianHead, FullGaussianHead, GaussianHead, TopKHead
from isthmus.model import Conditional, LatentVariableModel
from isthmus.nets import MLP, ConvDecoder, ConvEncoder
from isthmus.objectives import ELBO, Contractive, ContrastiveDivergence, Denoising, KLSparsity, Reconstruction
from isthmus.priors import StandardNormal
from isthmus.processes import agreed, from_first, is_first, joined, n_processes, started_by_torchrun
from isthmus.training import Rows, Settings, fit
from isthmus.training.checkpoint import checkpoints

SETTINGS = Settings(max_epochs=4, batch_size=15, compile=False, device="cpu", clip_norm=10.0, average=0.9, patience=3)
X = binary(76).x  # 6 steps an epoch; batches of 15 rows can't be cut in halves, the last one of 1 row not at all


def full_covariance() -> LatentVariableModel:
    encoder = Conditional(MLP(X.shape[1], (8,)), FullGaussianHead(8, 3))
    return LatentVariableModel(encoder, Conditional(MLP(3, (8,)), BernoulliHead(8, X.shape[1])), StandardNormal(3))


def k_sparse() -> LatentVariableModel:
    encoder = Conditional(MLP(X.shape[1], (8,)), TopKHead(8, 4, k=1, annealing_steps=9))
    return LatentVariableModel(encoder, Conditional(MLP(4, (8,)), FixedGaussianHead(8, X.shape[1])), None)


def convolutional() -> LatentVariableModel:
    return image_vae(ConvEncoder, ConvDecoder)


def dropout() -> LatentVariableModel:
    encoder = Conditional(MLP(X.shape[1], (8,), dropout=0.3, input_dropout=0.2), GaussianHead(8, 3))
    decoder = Conditional(MLP(3, (8,), dropout=0.3), BernoulliHead(8, X.shape[1]))
    return LatentVariableModel(encoder, decoder, StandardNormal(3))


def boltzmann(**more: Any) -> LatentVariableModel:
    return RestrictedBoltzmannMachine(X.shape[1], 6, **more)


RUNS = {
    "plain": (autoencoder, Reconstruction()),
    "denoising": (autoencoder, Denoising(Reconstruction(), Masking(0.3))),
    "gaussian denoising": (vae, Denoising(ELBO(), GaussianNoise(0.2))),
    "denoising, a fixed number": (autoencoder, Denoising(Reconstruction(), FixedMasking((0.1, 0.5)))),
    "denoising, salt and pepper": (vae, Denoising(ELBO(), SaltAndPepper((0.1, 0.5)), emphasis=(1.0, 0.5))),
    "denoising, blocks": (autoencoder, Denoising(Reconstruction(), Blocks((1, 7, 5), (0.1, 0.5)))),
    "denoising, uniform": (autoencoder, Denoising(Reconstruction(), UniformNoise((0.0, 0.5)))),
    "k-sparse": (k_sparse, Reconstruction()),
    "sparse": (partial(autoencoder, torch.sigmoid), Reconstruction() + KLSparsity(0.1, 5.0, "all")),
    "contractive": (partial(autoencoder, torch.sigmoid), Reconstruction() + Contractive(0.5)),
    "variational": (vae, ELBO(n_samples=3, warm_up=7)),
    "free bits": (vae, ELBO(free_bits=0.3)),
    # Real units: between data and chains of zeros and ones a gradient may be 0 but for rounding, which Adam enlarges.
    "contrastive divergence": (partial(boltzmann, visible="gaussian"), ContrastiveDivergence(2)),
    "persistent chains": (partial(boltzmann, n_chains=10), ContrastiveDivergence(persistent=True)),
    "dropout": (dropout, ELBO(n_samples=2)),
    "full covariance": (full_covariance, ELBO()),
    "conditional": (conditional_vae, ELBO()),
}


def told(name: str) -> torch.Tensor | None:
    """Conditions of the rows, for the run that takes some."""
    return torch.eye(C)[torch.arange(len(X)) % C] if name == "conditional" else None


SHARDED = {name: RUNS[name] for name in ("plain", "denoising", "variational")} | {"images": (convolutional, ELBO())}


def equal(folder: Path) -> None:
    """Models of all kinds, and an estimator with its scores and measures."""
    tensors, histories = {}, {}
    with joined():
        for name, (make, objective) in RUNS.items():
            torch.manual_seed(0 if is_first() else 1)  # the first process's weights count
            model = make()
            rows = Rows(X, told(name), weight=1.0 + torch.arange(len(X)) % 3)
            held_out = Rows(*(None if part is None else part[:30] for part in rows[:2]))
            histories[name] = fit(model, objective, rows, SETTINGS, validation=held_out)
            tensors |= {f"{name}.{key}": value for key, value in model.state_dict().items()}
        digits = load_digits().data.astype(np.uint8)[:700] * 15
        estimator = VAE(n_components=4, hidden=(32,), max_epochs=2, random_state=None).fit(digits)
        agreed([float(p.sum()) for p in estimator.model_.parameters()], "weights")
        estimator = VAE(n_components=4, hidden=(32,), max_epochs=2, random_state=0).fit(digits)
        estimator.save(folder / f"model-{n_processes()}")
        given_labels = ConditionalVAE(n_components=4, hidden=(32,), max_epochs=2, random_state=0)
        labels = load_digits().target[:700]
        tensors["scores given labels"] = torch.from_numpy(
            given_labels.fit(digits, labels).score_samples(digits, 0, labels)
        )
        tensors["scores"] = torch.from_numpy(load(folder / f"model-{n_processes()}").score_samples(digits))
        labels = torch.arange(700) % 3
        classifier = PretrainedClassifier((16, 8), layer_epochs=1, max_epochs=1, random_state=0)
        tensors["probabilities"] = torch.from_numpy(classifier.fit(digits, labels).predict_proba(digits))
        tensors["importance"] = torch.from_numpy(estimator.score_samples(digits[:300], n_importance_samples=20))
        measures = evaluate(estimator, digits).to_dict()
        agreed(measures, "measures")
        write_tensors(folder / f"result-{n_processes()}", tensors, {"histories": histories, "measures": measures})


def compiled(folder: Path) -> None:
    """The same with a compiled step."""
    torch.manual_seed(0)
    model = vae()
    settings = Settings(max_epochs=2, batch_size=32, compile=True, device="cpu")
    with joined():
        fit(model, ELBO(), X, settings)
        write_tensors(folder / f"result-{n_processes()}", model.state_dict(), {})


def muon(folder: Path) -> None:
    """Updates that are no sums over coordinates."""
    torch.manual_seed(0)
    model = vae()
    with joined():
        history = fit(model, ELBO(), X, replace(SETTINGS, optimizer="muon", weight_decay=0.1), validation=X[:30])
        write_tensors(folder / f"result-{n_processes()}", model.state_dict(), {"history": history})


def sharded(folder: Path) -> None:
    """Models cut over processes; in one process, whole. BREAK_AT ends the first of them after so many steps."""
    tensors, histories = {}, {}
    settings = replace(SETTINGS, sharded=started_by_torchrun(), checkpoint_steps=9)
    settings = replace(settings, optimizer=os.environ.get("OPTIMIZER", "adam"))
    stop_at = int(os.environ.get("BREAK_AT", "0"))
    with joined():
        for name, (make, objective) in SHARDED.items():
            torch.manual_seed(0)
            model = make()
            steps = settings if not stop_at else replace(settings, max_epochs=stop_at)
            run = folder / f"run-{name}"
            histories[name] = fit(model, objective, X, steps, validation=X[:30], folder=run, resume=True)
            tensors |= {f"{name}.{key}": value for key, value in model.state_dict().items()}
            if is_first() and n_processes() > 1:
                kinds = {path.suffix for path in checkpoints(run)}
                tensors[f"{name}.sharded"] = torch.tensor(float(kinds == {".sharded"}))
        estimator = VAE(n_components=4, hidden=(33,), max_epochs=2, random_state=0, sharded=settings.sharded)
        scores = estimator.fit(X).score_samples(X)
        write_tensors(folder / f"result-{n_processes()}", tensors | {"scores": torch.from_numpy(scores)}, histories)


def long(folder: Path) -> None:
    """A run that goes on from its newest checkpoint, slowly enough to be disturbed; it says where it is."""
    torch.manual_seed(0)
    model = vae()
    settings = Settings(max_epochs=40, batch_size=16, compile=False, device="cpu", checkpoint_steps=5)
    settings = replace(settings, sharded="SHARDED" in os.environ)
    pause = float(os.environ.get("PAUSE", "0"))
    model.register_forward_pre_hook(lambda *_: time.sleep(pause))
    model.encoder.net.register_forward_pre_hook(lambda *_: time.sleep(pause))
    with joined():
        if is_first():
            (folder / f"pid-{os.getpid()}").touch()
        history = fit(model, ELBO(), X, settings, folder=folder / "run", resume=True)
        losses = from_first([record["loss"] for record in history])
        write_tensors(folder / f"result-{n_processes()}", model.state_dict(), {"losses": losses})


def different(folder: Path) -> None:
    """Every process comes with other data."""
    x = X[: 70 if is_first_by_name() else 60]
    fit(vae(), ELBO(), x, SETTINGS, validation=X, folder=folder / "run")


def diverging(folder: Path) -> None:
    """A row that only one of the processes has is too large."""
    x = X.clone()
    x[3] = 1e38
    fit(vae(), ELBO(), x, SETTINGS, validation=X)


def full(folder: Path) -> None:
    """The second process has no room for its shards."""
    import resource
    import signal

    if not is_first_by_name():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    try:
        fit(vae(), ELBO(), X, replace(SETTINGS, sharded=True, patience=None), folder=folder / "run")
    finally:  # what it says of that is written to a file as well
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def is_first_by_name() -> bool:
    return os.environ.get("RANK", "0") == "0"
