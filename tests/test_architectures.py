"""Encoders and decoders by name: convolutions, tied weights, activations of the code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from estimator_cases import pixel_images, real_table
from isthmus import VAE, Autoencoder, KSparseAutoencoder, load
from isthmus.nets import ConvEncoder, ResNetDecoder
from isthmus.training import Settings, fit

QUICK = {"max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return pixel_images()


@pytest.mark.parametrize("kind", [Autoencoder, VAE])
@pytest.mark.parametrize("architecture", ["conv", "resnet"])
def test_convolutions_by_name(kind, architecture, images, tmp_path):
    model = kind(3, architecture=architecture, hidden=(4, 8), **QUICK).fit(images)
    assert isinstance(model.model_.encoder.net, ConvEncoder)
    assert isinstance(model.model_.decoder.net, ResNetDecoder) == (architecture == "resnet")
    assert model.reconstruct(images).shape == images.shape
    again = load(model.save(tmp_path))
    np.testing.assert_array_equal(again.transform(images), model.transform(images))
    np.testing.assert_array_equal(clone(model).fit(images).transform(images), model.transform(images))


def test_default_widths_suit_the_architecture(images):
    assert Autoencoder(2, **QUICK).fit(images).model_.encoder.net.n_features == 512
    assert Autoencoder(2, architecture="conv", **QUICK).fit(images).model_.encoder.net.n_features == 64 * 2 * 2


@pytest.mark.parametrize("kind", [Autoencoder, KSparseAutoencoder])
def test_convolutions_want_channels(kind, images):
    """Models of one layer have none unless they are told."""
    more = {"hidden": ()} if kind is Autoencoder else {"k": 2}
    with pytest.raises(ValueError, match=r"Expected channels in hidden, .*, got \(\); use hidden=\(32, 64\)"):
        kind(8, architecture="conv", **more, **QUICK).fit(images)


def test_convolutions_want_images():
    with pytest.raises(ValueError, match="Expected images .* got rows of shape \\(6,\\); use"):
        Autoencoder(2, architecture="conv", **QUICK).fit(real_table())


@pytest.mark.parametrize(("name", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, np.inf)])
def test_the_code_s_activation_bounds_it(name, low, high):
    codes = Autoencoder(4, code_activation=name, hidden=(8,), **QUICK).fit_transform(real_table())
    assert codes.min() >= low
    assert codes.max() <= high
    assert len(np.unique(codes)) > 10


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
@pytest.mark.parametrize("likelihood", ["fixed_gaussian", "gaussian"])
def test_tied_weights_are_one_tensor(hidden, likelihood, tmp_path):
    X = real_table()
    model = Autoencoder(2, tied=True, hidden=hidden, likelihood=likelihood, **QUICK).fit(X)
    maps = [module for module in model.model_.encoder.modules() if isinstance(module, torch.nn.Linear)]
    assert len(maps) == len(hidden) + 1
    assert not any(isinstance(module, torch.nn.Linear) for module in model.model_.decoder.modules())

    h = torch.from_numpy(model.transform(X))  # the decoder by hand, from the encoder's weights
    biases = [tensor for name, tensor in model.model_.decoder.named_parameters() if name.endswith("bias")]
    for linear, bias in zip(maps[::-1], biases, strict=True):
        h = h @ linear.weight + bias
        h = h if linear is maps[0] else h.relu()
    expected = model.scaling_.inverse(h.detach().double()).numpy()
    np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-5, atol=1e-5)

    again = load(model.save(tmp_path))
    np.testing.assert_array_equal(again.reconstruct(X), model.reconstruct(X))
    np.testing.assert_array_equal(clone(model).fit(X).transform(X), model.transform(X))


def test_tied_weights_stay_tied_when_the_model_moves_or_is_copied():
    import copy

    model = Autoencoder(2, tied=True, hidden=(8,), **QUICK).fit(real_table()).model_
    for other in (copy.deepcopy(model), model.double()):
        first = other.encoder.net[0][0]
        assert other.decoder.head.project._mirrored[0] is first
        with torch.no_grad():
            before = other.decoder(torch.ones(1, 2, dtype=first.weight.dtype)).mean
            first.weight.add_(1.0)
            assert not torch.equal(other.decoder(torch.ones(1, 2, dtype=first.weight.dtype)).mean, before)


def test_a_tied_linear_autoencoder_is_pca():
    """With orthonormal weights, W^T W x has no freedom of scale: the optimum is PCA's subspace (Baldi, Hornik 1989)."""
    from isthmus import PCA

    X = real_table()
    settings = {"max_epochs": 600, "batch_size": 200, "learning_rate": 0.01, "schedule": "cosine", "random_state": 0}
    model = Autoencoder(2, hidden=(), tied=True, likelihood="fixed_gaussian", **settings).fit(X)
    pca = PCA(2).fit(X)
    assert model.squared_error(X).mean() == pytest.approx(pca.squared_error(X).mean(), rel=1e-3)
    (weight,) = [module.weight for module in model.model_.encoder.modules() if isinstance(module, torch.nn.Linear)]
    torch.testing.assert_close(weight @ weight.T, torch.eye(2), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    "more",
    [{"architecture": "conv"}, {"encoder": torch.nn.Identity()}, {"sharded": True}],
    ids=["conv", "own", "sharded"],
)
def test_tied_weights_want_layers(more, images):
    with pytest.raises(ValueError, match="for tied weights, got .*; use tied=False"):
        Autoencoder(2, tied=True, **more, **QUICK).fit(images)


def test_tied_weights_want_one_parameter_a_feature(images):
    with pytest.raises(ValueError, match="one parameter a feature for tied weights, got 'discretised_logistic'"):
        Autoencoder(2, tied=True, likelihood="discretised_logistic", **QUICK).fit(images)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch itself
@pytest.mark.filterwarnings("ignore:`torch._prims_common:FutureWarning")
def test_a_compiled_step_trains_tied_weights_as_an_eager_one():
    from cases import F, FixedGaussianHead, real
    from isthmus.heads import PointHead
    from isthmus.model import Conditional, LatentVariableModel
    from isthmus.nets import MLP, TiedMLP, Transposed, linear_maps
    from isthmus.objectives import Reconstruction

    results = []
    for compile in (False, True):
        torch.manual_seed(0)
        encoder = Conditional(MLP(F, (8,), "tanh"), PointHead(8, 3))
        maps = linear_maps(encoder)
        net = TiedMLP(maps, "tanh")
        head = FixedGaussianHead(net.n_features, F, project=lambda n, m, maps=maps: Transposed(maps[0]))
        model = LatentVariableModel(encoder, Conditional(net, head), None)
        fit(model, Reconstruction(), real(32).x, Settings(max_epochs=5, batch_size=16, compile=compile, device="cpu"))
        results.append(dict(model.named_parameters()))
    for name, parameter in results[0].items():
        torch.testing.assert_close(results[1][name], parameter, rtol=1e-4, atol=1e-5)
