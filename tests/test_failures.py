"""A loss or gradient that is not finite stops the run, by name, with the model as it was before."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from cases import F, H, autoencoder, binary, make, real, vae
from isthmus.model import LatentVariableModel
from isthmus.objectives import ELBO, Reconstruction
from isthmus.training import NonFiniteError, Settings, fit
from isthmus.training.run import Run
from training_cases import EAGER, Wrong, assert_same, weights


class Root(nn.Module):
    """The root of each value's size: its gradient at 0 is infinite, and times the size's own gradient, 0, NaN."""

    def forward(self, x):
        return x.abs().sqrt()


def batch_norm_vae() -> LatentVariableModel:
    model = make("VAE").model
    model.encoder.net = nn.Sequential(*model.encoder.net, nn.BatchNorm1d(H))
    return model


@pytest.mark.parametrize("look_every", [1, 50])
@pytest.mark.parametrize("at", [0, 5, 7, 8])
def test_a_failed_step_leaves_the_model_as_before_it(monkeypatch, at, look_every):
    """Weights and buffers are those of a run that stopped there, also where one looks only now and then (GPU)."""
    seen_at = []

    def patient(self, original=Run.__post_init__):
        original(self)
        self.check_every = look_every
        seen_at.append(self.state)

    monkeypatch.setattr(Run, "__post_init__", patient)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        failed, stopped = batch_norm_vae(), batch_norm_vae()
    stopped.load_state_dict(weights(failed))
    settings = Settings(max_epochs=2, batch_size=12, **EAGER)  # 5 steps an epoch, the last of 2 rows
    with pytest.raises(NonFiniteError, match=rf"term 'ratio' at step {at};.* before that step.*learning_rate"):
        fit(failed, Wrong(at), binary(50).x, settings)
    assert seen_at[0].step == at

    def one_step(self, *arguments, original=Run._one_step):
        if self.state.step == at:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(Run, "_one_step", one_step)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, Wrong(at), binary(50).x, settings)
    assert_same(weights(failed), weights(stopped))
    assert not failed.training


def test_a_gradient_that_is_not_finite_is_named():
    """The loss is finite, its gradient is not."""
    model = autoencoder()
    model.encoder.net = nn.Sequential(first := nn.Linear(F, H), Root())
    for parameter in first.parameters():
        nn.init.zeros_(parameter)
    before = weights(model)
    with pytest.raises(NonFiniteError, match=r"the gradient of encoder\.net\.0\.weight at step 0;"):
        fit(model, Reconstruction(), real(8).x, Settings(**EAGER))
    assert_same(weights(model), before)


def test_a_gradient_too_large_for_its_norm_is_named():
    @dataclass(frozen=True)
    class Huge(Reconstruction):
        def loss(self, trace, model):
            loss = super().loss(trace, model)
            return loss._replace(value=loss.value * 1e25)

    with pytest.raises(NonFiniteError, match="the norm of the gradient at step 0"):
        fit(autoencoder(), Huge(), real(8).x, Settings(**EAGER))


def test_a_rate_too_high_is_caught_while_the_weights_are_finite():
    model = vae()
    with pytest.raises(NonFiniteError, match="at step"):
        fit(model, ELBO(), binary(16).x, Settings(max_epochs=2000, batch_size=16, learning_rate=1e30, **EAGER))
    assert all(tensor.isfinite().all() for tensor in weights(model).values())
