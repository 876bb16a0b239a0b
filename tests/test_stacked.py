"""Layer-wise training: what is below stays as it is, what comes out is the composition, runs resume by layer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import isthmus
from estimator_cases import pixel_images, real_table
from isthmus import RBM, VAE, Autoencoder, DenoisingAutoencoder, KSparseAutoencoder, StackedAutoencoder
from isthmus.corruption import SaltAndPepper
from isthmus.estimators.pretraining import make_layers, train_layers
from isthmus.estimators.training_parameters import fit as fit_network
from isthmus.files import UnreadableFile
from isthmus.training import Scaling

GREY = (pixel_images() / 255).reshape(-1, 64)
SMALL = {"hidden": (12, 8), "layer_epochs": 2, "max_epochs": 2, "random_state": 0}

KINDS = {
    "autoencoder": {},
    "denoising": {"layer": "denoising"},
    "sparse": {"layer": "sparse", "code_activation": "sigmoid"},
    "contractive": {"layer": "contractive"},
    "rbm": {"layer": "rbm"},
    "rbm, sigmoid code": {"layer": "rbm", "code_activation": "sigmoid"},
    "k-sparse": {"layer": KSparseAutoencoder(k=2), "code_activation": "relu"},
    "mixed": {"layer": ("rbm", DenoisingAutoencoder(corruption=SaltAndPepper(0.2)), "autoencoder")},
    "relu": {"activation": "relu", "code_activation": "relu"},
    "tanh": {"activation": "tanh"},
    "real": {"likelihood": "fixed_gaussian"},
}


@pytest.fixture
def trained(monkeypatch) -> list[torch.nn.Module]:
    """Copies of the models that are trained, in order, as they are right after their training."""
    import copy

    models: list[torch.nn.Module] = []

    def watched(model, *arguments, **keywords):
        history = fit_network(model, *arguments, **keywords)
        models.append(copy.deepcopy(model))
        return history

    monkeypatch.setattr("isthmus.estimators.training_parameters.fit", watched)
    return models


def weights(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


# --- layers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_unrolled_it_is_the_composition_of_the_layers(options, tied, trained):
    model = StackedAutoencoder(3, **SMALL | options, tied=tied, fine_tune=False).fit(GREY)
    assert len(trained) == 3
    h = x = model.scaling_(torch.from_numpy(GREY))
    with torch.no_grad():
        for layer in trained:
            h = layer.encoder(h).mean
        np.testing.assert_allclose(model.transform(GREY), h, atol=1e-6)
        for layer in reversed(trained):
            h = layer.decoder(h).mean
    np.testing.assert_allclose(model.reconstruct(GREY), model.scaling_.inverse(h.double()), atol=1e-6)
    assert not torch.allclose(h, x.mean(0).expand_as(h), atol=1e-4)
    assert model.history_ == []
    assert [layer["widths"] for layer in model.layers_] == [[64, 12], [12, 8], [8, 3]]
    assert all(len(layer["history"]) == 2 for layer in model.layers_)


@pytest.mark.parametrize("kind", ["autoencoder", "denoising", "rbm"])
def test_what_is_below_is_not_touched(kind, trained):
    """After each stage the layers below are, bit for bit, what they were after their own training."""
    layers = make_layers(
        [kind] * 3, (64, 12, 8, 3), ["sigmoid"] * 3, likelihood="bernoulli", scaling=Scaling(), title="t", max_epochs=1
    )
    seen = []
    for layer in layers:
        before = layer.fit

        def watched(*arguments, before=before, **keywords):
            seen.append([weights(below.model_) for below in layers[: len(seen)]])
            before(*arguments, **keywords)
            seen[-1] = seen[-1], [weights(below.model_) for below in layers[: len(seen)]]

        layer.fit = watched
    train_layers(layers, GREY)
    for before, after in seen:
        assert after[: len(before)] == before
    assert [weights(model) for model in trained] == [weights(layer.model_) for layer in layers]
    for i in (1, 2):  # what a layer learned from are the codes of the one below, as they come
        codes = GREY
        for layer in layers[:i]:
            codes = layer.transform(codes)
        again = make_layers(
            [kind] * 3, (64, 12, 8, 3), ["sigmoid"] * 3, likelihood="bernoulli", scaling=Scaling(), title="t",
            max_epochs=1,
        )[i].fit(codes)  # fmt: skip
        assert weights(again.model_) == weights(layers[i].model_)


def test_fine_tuning_changes_all_layers_and_lowers_the_loss():
    before = StackedAutoencoder(3, **SMALL, fine_tune=False).fit(GREY)
    after = StackedAutoencoder(3, **SMALL | {"max_epochs": 200, "learning_rate": 0.01}).fit(GREY)
    assert after.layers_[2]["history"][-1]["loss"] == before.layers_[2]["history"][-1]["loss"]
    old, new = before.model_.state_dict(), after.model_.state_dict()
    assert old.keys() == new.keys()
    assert all(not torch.equal(old[name], new[name]) for name in old)
    assert after.score(GREY) > 0.7 * before.score(GREY)


@pytest.mark.parametrize("kind", ["autoencoder", "rbm"])
def test_tied_weights_stay_tied_and_untied_ones_come_apart(kind):
    for tied in (True, False):
        model = StackedAutoencoder(3, **SMALL, layer=kind, tied=tied).fit(GREY).model_
        up = [*(block.head.project for block in model.encoder.net), model.encoder.head.project]
        down = [model.decoder.head.project, *(block.head.project for block in reversed(model.decoder.net))]
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        once = 64 * 12 + 12 * 8 + 8 * 3
        biases = 2 * (12 + 8) + 3 + 64
        assert n_weights == (1 if tied else 2) * once + biases
        for forth, back in zip(up, down, strict=True):
            with torch.no_grad():
                basis = (back(torch.eye(forth.out_features)) - back.bias).T  # the decoder's matrix
            assert torch.allclose(basis, forth.weight.T, atol=1e-6) == tied


def test_scores_and_codes_of_codes_are_in_the_units_that_they_should_be():
    """Codes of a sigmoid count as probabilities above; others are reconstructed through the activation they are of."""
    for activation, likelihood, above in (("sigmoid", "bernoulli", None), ("relu", "fixed_gaussian", "relu")):
        layers = StackedAutoencoder(3, **SMALL, activation=activation)._layers(64, likelihood="bernoulli")
        assert [layer.likelihood for layer in layers[1:]] == [likelihood] * 2
        assert [layer._layer.activation for layer in layers] == [None, above, above]
        assert [layer._layer.scaling for layer in layers[1:]] == [Scaling()] * 2
    table = real_table()
    model = StackedAutoencoder(2, hidden=(4,), layer_epochs=1, fine_tune=False, patience=2, random_state=0).fit(table)
    assert model.likelihood_ == "fixed_gaussian"
    assert "validation" in model.layers_[1]["history"][0]  # held out for patience, watched through the layers


# --- what people build of it ------------------------------------------------------------------------


def test_hinton_and_salakhutdinov_s_autoencoder():
    """RBMs, a Gaussian code on top, unrolled and fine-tuned: the squared error falls below what the mean leaves."""
    options = {"hidden": (48, 24), "layer": "rbm", "layer_epochs": 20, "batch_size": 20, "random_state": 0}
    before = StackedAutoencoder(4, fine_tune=False, **options).fit(GREY)
    model = StackedAutoencoder(4, max_epochs=60, learning_rate=0.01, **options).fit(GREY)
    assert [layer["kind"] for layer in model.layers_] == ["RBM"] * 3
    assert [layer.hidden_units for layer in model._layers(64)] == ["bernoulli", "bernoulli", "gaussian"]
    assert (model.transform(GREY) < 0).any()
    of_mean = np.square(GREY - GREY.mean(axis=0)).sum(axis=1).mean()
    assert model.squared_error(GREY).mean() < 0.85 * min(of_mean, before.squared_error(GREY).mean())
    with pytest.raises(ValueError, match="Expected a prior over the codes"):
        model.sample()  # fine-tuned, it is no belief net any more
    assert model.fit_prior(GREY).sample(2).shape == (2, 64)


def states(n: int) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * n)


@pytest.mark.parametrize("hidden", [(), (4,), (5, 4)])
def test_a_deep_belief_net_draws_from_its_distribution(hidden, tmp_path):
    """Means and products of pixels over many draws, against the sum over all states of all layers."""
    net = StackedAutoencoder(
        3, hidden=hidden, layer="rbm", code_activation="sigmoid", fine_tune=False, layer_epochs=1, random_state=0
    ).fit(GREY[:, 18:24])
    encoder, decoder = net.model_.encoder, net.model_.decoder
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.model_.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        heads = [*(block.head for block in decoder.net), decoder.head]
        heads[0].project.weight.copy_(encoder.head.project.weight.T)  # the top layer is an RBM: one matrix
        v, h = states(heads[0].n_outputs), states(3)
        top = encoder.head.project
        joint = v @ heads[0].project.bias + (h @ top.bias)[:, None] + h @ top.weight @ v.T
        of_h = joint.logsumexp(1).softmax(0)  # p(h_L)
        for head in heads[:-1]:  # p of the states below, from those above
            below = states(head.n_outputs)
            of_h = (of_h[:, None] * head(h).log_prob(below[:, None]).T.exp()).sum(0)
            h = below
        means = heads[-1](h).mean
        expected = of_h @ means, torch.einsum("n,ni,nj->ij", of_h, means, means)
    drawn = net.sample(4000, random_state=1)
    np.testing.assert_allclose(drawn.mean(axis=0), expected[0], atol=0.03)
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), expected[1], atol=0.03)
    again = isthmus.load(net.save(tmp_path))
    np.testing.assert_array_equal(again.sample(5, random_state=3), net.sample(5, random_state=3))


# --- folders, files, parameters ---------------------------------------------------------------------


def test_an_estimator_as_a_parameter_is_saved_with_its_own(tmp_path):
    template = DenoisingAutoencoder(corruption=SaltAndPepper((0.1, 0.3)), learning_rate=0.01)
    model = StackedAutoencoder(3, hidden=(8,), layer=(template, RBM(n_gibbs_steps=2)), layer_epochs=1, max_epochs=1)
    loaded = isthmus.load(model.fit(GREY).save(tmp_path))
    first, second = loaded.layer
    assert type(first) is DenoisingAutoencoder
    assert (first.corruption, first.learning_rate) == (template.corruption, 0.01)
    assert (type(second), second.n_gibbs_steps) == (RBM, 2)
    np.testing.assert_array_equal(loaded.transform(GREY), model.transform(GREY))
    assert loaded.layers_ == model.layers_
    written = json.loads((tmp_path / "config.json").read_text())["parameters"]["layer"]
    assert [part["estimator"] for part in written] == ["DenoisingAutoencoder", "RBM"]
    one = StackedAutoencoder(layer=template)
    assert one.get_params()["layer__learning_rate"] == 0.01  # as GridSearchCV would set it
    assert StackedAutoencoder.from_configuration(one.configuration()).layer.corruption == template.corruption
    record = one.configuration()
    record["parameters"]["layer"]["estimator"] = "os.system"
    with pytest.raises(UnreadableFile, match="Expected an estimator of Isthmus"):
        StackedAutoencoder.from_configuration(record)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "foo"}, "Expected layer as one of"),
        ({"layer": VAE()}, "Expected layer as one of"),
        ({"layer": ("rbm",)}, "Expected a kind for each of 2 layers, got 1"),
        ({"layer": "rbm", "activation": "relu"}, "Expected activation 'sigmoid' for layers that are RBMs"),
        ({"layer": StackedAutoencoder()}, "Expected a layer with one map each way"),
        ({"layer": Autoencoder(hidden=(3,))}, "Expected a layer with one map each way"),
        ({"layer": "k-sparse"}, "Expected 1 <= k <= n_components=8, got 25. This is layer 1 of 2"),
        ({"layer": "sparse"}, "Expected code_activation as one of .* This is layer 2 of 2, SparseAutoencoder"),
        ({"layer_epochs": 0}, "Expected layer_epochs >= 1"),
        ({"architecture": "conv"}, "Expected fully connected layers in one piece"),
        ({"encoder": torch.nn.Linear(5, 2)}, "Expected fully connected layers in one piece"),
        ({"layer": "rbm", "hidden": ()}, "Expected Bernoulli units in one of the layers"),
    ],
)
def test_layers_that_cannot_be_are_refused_before_training(options, words):
    model = StackedAutoencoder(3, **{"hidden": (8,)} | options)
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(real_table())
    assert not hasattr(model, "n_features_in_")


def test_a_second_fit_knows_nothing_of_the_first_one_s_data():
    model = StackedAutoencoder(3, **SMALL, likelihood="gaussian").fit(real_table())
    model.set_params(likelihood="auto", layer="rbm").fit(GREY)
    assert weights(model.model_) == weights(StackedAutoencoder(3, **SMALL, layer="rbm").fit(GREY).model_)
    with pytest.raises(ValueError, match="got 'gaussian'. This is layer 1 of 3, RBM"):
        model.set_params(likelihood="gaussian").fit(GREY)
