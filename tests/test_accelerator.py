"""The same library on a GPU; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import isthmus
from cases import CASES, make
from isthmus.evaluation import bound, importance_log_likelihood
from isthmus.model import Batch
from isthmus.objectives import ELBO, Reconstruction
from isthmus.training import NonFiniteError, Rows, Scaling, Settings, fit
from isthmus.training.run import CHECK_EVERY

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use (CUDA)")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    from sklearn.datasets import load_digits

    return np.round(load_digits().images * 255 / 16).astype(np.uint8)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", [isthmus.Autoencoder, isthmus.VAE])
def test_training_reaches_the_loss_of_the_cpu(kind, precision, compile, pixels):
    common = {"n_components": 4, "hidden": (64,), "max_epochs": 10, "random_state": 0}
    there = kind(**common, device="cuda", precision=precision, compile=compile).fit(pixels)
    here = kind(**common, device="cpu").fit(pixels)
    # Same weights to begin with, same order of rows, other noise and other rounding.
    assert there.history_[-1]["loss"] == pytest.approx(here.history_[-1]["loss"], rel=0.02)
    assert next(there.model_.parameters()).device.type == "cuda"


def test_codes_and_scores_are_those_of_the_cpu(pixels, tmp_path):
    there = isthmus.VAE(n_components=4, hidden=(64,), max_epochs=3, random_state=0, device="cuda").fit(pixels)
    here = isthmus.load(there.save(tmp_path))
    assert next(here.model_.parameters()).device.type == "cpu"
    np.testing.assert_allclose(there.transform(pixels), here.transform(pixels), rtol=1e-3, atol=1e-4)
    # The noise is a hash of the rows: the same numbers on every device.
    np.testing.assert_allclose(there.score_samples(pixels), here.score_samples(pixels), rtol=1e-3)
    np.testing.assert_allclose(
        there.score_samples(pixels[:50], n_importance_samples=20),
        here.score_samples(pixels[:50], n_importance_samples=20),
        rtol=1e-3,
    )


def test_data_stay_uint8_on_the_device_and_a_run_resumes(pixels, tmp_path):
    rows = torch.from_numpy(pixels.reshape(len(pixels), -1))

    def trained(folder, epochs, resume):
        model, objective = isthmus.VAE(n_components=2, hidden=(16,)), ELBO()
        model.likelihood_ = "bernoulli"
        torch.manual_seed(0)
        net = model._model(rows.shape[1])
        settings = Settings(max_epochs=epochs, device="cuda", compile=False, precision="fp32")
        fit(net, objective, Rows(rows), settings, scaling=Scaling(scale=255.0), folder=folder, resume=resume)
        return torch.cat([parameter.detach().flatten().cpu() for parameter in net.parameters()])

    whole = trained(tmp_path / "whole", 4, resume=False)
    trained(tmp_path / "parts", 2, resume=False)
    torch.testing.assert_close(trained(tmp_path / "parts", 4, resume=True), whole, rtol=1e-5, atol=1e-6)


def test_a_failure_is_found_within_a_bounded_number_of_steps(pixels):
    class Fails(Reconstruction):
        def loss(self, trace, model):
            loss = super().loss(trace, model)
            step = trace.batch.step
            bad = torch.where(step == 7, float("nan"), 0.0) if step is not None else 0.0
            return loss._replace(value=loss.value + bad)

    net = isthmus.Autoencoder(n_components=2, hidden=(16,))
    net.likelihood_ = "bernoulli"
    model = net._model(64)
    rows = torch.from_numpy(pixels.reshape(len(pixels), -1))
    settings = Settings(max_epochs=2 * CHECK_EVERY, device="cuda", compile=False)
    with pytest.raises(NonFiniteError, match="step 7"):
        fit(model, Fails(), Rows(rows), settings, scaling=Scaling(scale=255.0))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_model_and_objective_runs_on_the_device(name):
    case = make(name)
    batch = Batch(*(part.cuda() if isinstance(part, torch.Tensor) else part for part in case.batch(8)))
    loss = case.objective(case.model.cuda(), batch)
    assert loss.value.is_cuda
    assert loss.value.isfinite().all()


def test_bounds_are_ordered(pixels):
    vae = isthmus.VAE(n_components=4, hidden=(64,), max_epochs=5, random_state=0, device="cuda").fit(pixels)
    x = vae.to_tensor(pixels[:200])
    lower = bound(vae.model_, x, n_samples=50).bound.mean()
    tighter = importance_log_likelihood(vae.model_, x, n_samples=500).log_likelihood.mean()
    assert lower < tighter
