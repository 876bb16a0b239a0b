"""Networks and models of one's own: what a user passes or writes works like what is there."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

import isthmus
from estimator_cases import QUICK, every_network, pixel_images
from isthmus import VAE, Autoencoder
from isthmus.estimators.saved import Saved
from isthmus.nets import ConvDecoder, ConvEncoder
from isthmus.objectives import ELBO, Objective


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return pixel_images()


def convolutions() -> tuple[nn.Module, nn.Module]:
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
    )
    return encoder, nn.Sequential(nn.Linear(2, 20), nn.ReLU())


def from_isthmus() -> tuple[nn.Module, nn.Module]:
    return ConvEncoder((1, 8, 8), (4, 8)), ConvDecoder(2, (1, 8, 8), (4, 8))


OWN = {"convolutions": convolutions, "isthmus.nets": from_isthmus}


@every_network
@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_own_modules(make, own, images):
    encoder, decoder = own()
    before = [copy.deepcopy(module.state_dict()) for module in (encoder, decoder)]
    model = make(encoder=encoder, decoder=decoder).fit(images)
    assert model.encoder is encoder
    for module, state in zip((encoder, decoder), before, strict=True):  # fitting changed neither
        assert module.training
        assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    trained = dict(model.model_.encoder.net.own.named_parameters())
    assert all(not torch.equal(parameter, trained[name]) for name, parameter in encoder.named_parameters())
    assert model.reconstruct(images).shape == images.shape

    again = clone(model)
    assert again.encoder is not encoder
    np.testing.assert_array_equal(again.fit(images).transform(images), model.transform(images))


def test_only_training_counts_in_batch_statistics(images):
    """Finding out how wide an own network is must not be a batch of zeros to it."""
    encoder, _ = convolutions()
    model = Autoencoder(2, encoder=encoder, **QUICK | {"max_epochs": 3, "batch_size": 50}).fit(images)
    assert model.model_.encoder.net.own[2].num_batches_tracked == 3 * 2


def test_a_convolutional_decoder_s_pixels_share_their_weights(images):
    """The head takes the decoder's own projection: a linear map from its features would have 16,384 weights."""
    encoder, decoder = from_isthmus()
    model = VAE(2, encoder=encoder, decoder=decoder, **QUICK).fit(images)
    assert sum(parameter.numel() for parameter in model.model_.decoder.head.parameters()) == 4 + 1


def test_a_new_model_costs_ten_lines(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Saved, "kinds", dict(Saved.kinds))

    @dataclass(eq=False, repr=False)
    class BetaVAE(VAE):
        """A VAE with the rate weighted by beta."""

        _: KW_ONLY
        beta: float = 4.0

        def _objective(self) -> Objective:
            return ELBO(beta=self.beta, n_samples=self.n_samples)

    X = digits[:200]
    weak, strong = (BetaVAE(2, beta=beta, **QUICK | {"max_epochs": 10}).fit(X) for beta in (0.1, 20.0))
    assert strong.history_[-1]["rate"] < 0.5 * weak.history_[-1]["rate"]
    assert clone(strong).get_params()["beta"] == 20.0
    loaded = isthmus.load(strong.save(tmp_path))
    assert type(loaded) is BetaVAE
    np.testing.assert_array_equal(loaded.score_samples(X), strong.score_samples(X))
    with pytest.raises(TypeError, match="Expected beta as a finite number, got 'large'"):
        BetaVAE(beta="large").fit(X)
