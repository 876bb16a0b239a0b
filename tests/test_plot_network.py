"""Models as layers: widths, names and losses of networks of every kind, found by running them once."""

import pytest
import torch
from torch import nn

from estimator_cases import pixel_images, real_table
from isthmus import (
    PCA,
    RBM,
    VAE,
    Autoencoder,
    ConditionalVAE,
    DenoisingAutoencoder,
    FactorAnalysis,
    KSparseAutoencoder,
    ProbabilisticPCA,
    StackedAutoencoder,
)
from isthmus.estimators.classifier import PretrainedClassifier
from isthmus.objectives import ELBO, ContrastiveDivergence, Objective
from isthmus.report.layers import describe
from isthmus.report.losses import loss_text, words_of
from isthmus.report.network import network_diagram
from isthmus.report.style import DARK, LIGHT

QUICK = {"max_epochs": 1, "random_state": 0}
X = pixel_images()


def shown(network) -> list[tuple[int, str]]:
    """Widths of hidden layers and how they are made, encoder and then decoder."""
    return [(layer.size, layer.label) for side in (network.encoder, network.decoder) for layer in side or ()]


def test_layers_of_an_mlp():
    network = describe(VAE(3, hidden=(20, 10), activation="tanh", **QUICK).fit(X))
    assert (network.data.size, network.data.shape, network.code.size) == (64, "8 × 8", 3)
    assert shown(network) == [(20, "tanh"), (10, "tanh"), (10, "tanh"), (20, "tanh")]
    assert (network.kind, network.output.label, network.n_conditions) == ("sampled", "Bernoulli", 0)


def test_layers_of_convolutions():
    network = describe(Autoencoder(3, architecture="conv", hidden=(4, 6), **QUICK).fit(X))
    assert [(layer.size, layer.shape) for layer in network.encoder] == [(64, "4 × 4 × 4"), (24, "6 × 2 × 2")]
    assert {layer.label for layer in network.encoder} == {"conv 3×3,\nReLU"}
    residual = describe(Autoencoder(3, architecture="resnet", hidden=(4,), **QUICK).fit(X))
    assert [layer.label for layer in residual.encoder] == ["residual"]


def test_an_own_network_is_run_and_told_by_its_modules():
    own = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 2, 3), nn.ELU(), nn.Flatten(), nn.Linear(72, 5), nn.Tanh()
    )
    network = describe(Autoencoder(3, encoder=own, hidden=(), **QUICK).fit(X))
    assert shown(network) == [(72, "conv 3×3,\nELU"), (5, "tanh")]
    assert not any(module._forward_hooks for module in own.modules())


def test_deep_networks_are_drawn_short():
    network = describe(Autoencoder(3, hidden=(32, 28, 24, 20, 16, 12, 8), **QUICK).fit(X))
    assert [layer.label for layer in network.encoder] == ["ReLU", "ReLU", "3 layers", "ReLU", "ReLU"]


def test_what_makes_a_model_itself_is_named():
    stacked = describe(StackedAutoencoder(4, hidden=(16,), layer_epochs=1, **QUICK).fit(X))
    assert shown(stacked) == [(16, "sigmoid"), (16, "sigmoid")]
    sparse = describe(KSparseAutoencoder(12, k=3, tied=True, **QUICK).fit(X))
    assert (sparse.code.label, sparse.tied, sparse.loss) == ("3 largest\nkept", True, r"$-\log p(x \mid z)$")
    noisy = describe(DenoisingAutoencoder(4, corruption="salt_and_pepper", **QUICK).fit(X))
    assert noisy.loss.endswith("salt and pepper")
    told = describe(ConditionalVAE(4, **QUICK).fit(X, [0, 1] * 50))
    assert told.n_conditions == 2
    texts = {text.get_text() for text in network_diagram(told, LIGHT).axes[0].texts}
    assert {r"$p(x \mid z, c)$", "$q(z|x, c)$"} <= texts
    assert r"\log p(x \mid z, c)" in told.loss
    assert r"q(z \mid x, c)" in told.loss
    assert describe(PCA(3).fit(real_table())).kind == "point"
    # Whose weights are one another's: a Boltzmann machine's by its nature, but not a noisy linear model's.
    tied = {model: describe(model(3).fit(X)).tied for model in (PCA, ProbabilisticPCA, FactorAnalysis)}
    assert tied == {PCA: True, ProbabilisticPCA: False, FactorAnalysis: False}
    assert describe(RBM(4, **QUICK).fit(X)).tied
    assert not describe(Autoencoder(4, **QUICK).fit(X)).tied
    classes = describe(PretrainedClassifier(hidden=(16,), pretraining="none", **QUICK).fit(X, [0, 1, 2, 3] * 25))
    assert (classes.kind, classes.code.size, classes.decoder) == ("classes", 4, None)


@pytest.mark.parametrize("kind", ["sampled", "point"])
def test_a_sampled_code_has_both_paths_of_the_gradient(kind):
    make = VAE if kind == "sampled" else Autoencoder
    network = describe(make(3, hidden=(8,), **QUICK).fit(X))
    texts = {text.get_text() for text in network_diagram(network, DARK).axes[0].texts}
    assert ("no gradient for the encoder" in texts) == (kind == "sampled")
    assert (r"$z \sim q(z|x)$" in texts) == (kind == "sampled")
    assert {"64", "8", "8 × 8", "encoder", "decoder"} <= texts


def test_text_of_a_diagram_does_not_run_into_its_border():
    figure = network_diagram(describe(VAE(3, hidden=(8,), **QUICK).fit(X)), LIGHT)
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def test_losses_in_words():
    class MyOwnIDEA(Objective):
        pass

    assert words_of("SaltAndPepper") == "salt and pepper"
    assert words_of("GaussianNoise") == "Gaussian noise"
    assert loss_text(MyOwnIDEA()) == "my own IDEA"
    assert r"4\,\mathrm{KL}" in loss_text(ELBO(beta=4.0))
    assert loss_text(ContrastiveDivergence()).endswith("after 1 Gibbs step from $x$")
    assert loss_text(ContrastiveDivergence(n_steps=5, persistent=True)).endswith(
        "after 5 Gibbs steps in persistent chains"
    )
    assert torch.is_grad_enabled()
