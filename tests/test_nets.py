"""Networks: shapes for any leading dimensions and image sizes, names of activations, independence of company."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from isthmus.heads import CategoricalHead, DiscretisedLogisticHead, GaussianHead
from isthmus.nets import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    PixelProjection,
    ResNetDecoder,
    ResNetEncoder,
    activation_module,
)

PAIRS = [(ConvEncoder, ConvDecoder), (ResNetEncoder, ResNetDecoder)]
SHAPES = [(1, 28, 20), (3, 7, 5), (1, 1, 1), (2, 16, 16), (1, 3, 9)]
every_pair = pytest.mark.parametrize(("encoder", "decoder"), PAIRS, ids=["plain", "residual"])
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def size(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


# --- MLP -------------------------------------------------------------------------------------------


def test_mlp_blocks_are_its_hidden_activations() -> None:
    net = MLP(6, (5, 4, 3), "sigmoid")
    assert net.n_features == 3
    x, widths = torch.randn(2, 6), []
    for block in net:
        x = block(x)
        widths.append(x.shape[1])
        assert ((x > 0) & (x < 1)).all()  # after the activation
    assert widths == [5, 4, 3]


def test_mlp_without_hidden_layers_is_the_identity() -> None:
    net, x = MLP(6), torch.randn(2, 3, 6)
    assert net.n_features == 6
    assert torch.equal(net(x), x)


@pytest.mark.parametrize("name", ["relu", "silu", "tanh", "sigmoid", "gelu", "leaky_relu", "identity"])
def test_activations_by_name(name: str) -> None:
    x = torch.linspace(-2, 2, 9)
    expected = x if name == "identity" else getattr(torch.nn.functional, name)(x)
    torch.testing.assert_close(activation_module(name)(x), expected)


def test_activations_by_module_are_made_anew() -> None:
    net = MLP(3, (4, 5), nn.PReLU)
    assert net[0][1] is not net[1][1]


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(ValueError, match="'relu', 'silu'.* got 'swish'"):
        MLP(3, (4,), "swish")
    with pytest.raises(ValueError, match=r"widths >= 1, got \(3, 0\)"):
        MLP(3, (0,))
    with pytest.raises(ValueError, match="image_shape"):
        ConvEncoder((28, 28))
    with pytest.raises(ValueError, match="channels"):
        ConvDecoder(2, (1, 28, 28), ())
    with pytest.raises(ValueError, match="multiples of 6 pixels"):
        PixelProjection(12, 13, (2, 3))


# --- images ----------------------------------------------------------------------------------------


@every_pair
@every_shape
def test_any_image_size_and_any_leading_dimensions(encoder, decoder, shape) -> None:
    net, back = encoder(shape, (4, 6)), decoder(3, shape, (4, 6))
    assert net(torch.randn(2, size(shape))).shape == (2, net.n_features)
    assert net(torch.randn(5, 2, size(shape))).shape == (5, 2, net.n_features)
    assert back(torch.randn(2, 3)).shape == (2, back.n_features)
    assert back(torch.randn(5, 2, 3)).shape == (5, 2, back.n_features)
    assert back(torch.randn(3)).shape == (back.n_features,)


@every_pair
def test_features_do_not_depend_on_company(encoder, decoder) -> None:
    shape = (2, 7, 5)
    for net, width in ((encoder(shape, (4, 6)), size(shape)), (decoder(3, shape, (4, 6)), 3)):
        x = torch.randn(6, width)
        torch.testing.assert_close(net(x)[2:3], net(x[2:3]))
        torch.testing.assert_close(net(x.reshape(2, 3, width)).reshape(6, -1), net(x))


@every_pair
@pytest.mark.parametrize(
    "head", [GaussianHead, DiscretisedLogisticHead, lambda *a, **k: CategoricalHead(*a, n_classes=5, **k)]
)
def test_every_likelihood_takes_a_decoder_s_maps(encoder, decoder, head) -> None:
    shape = (2, 7, 5)
    net = decoder(3, shape, (4, 6))
    likelihood = head(net.n_features, size(shape), project=net.project)
    p = likelihood(net(torch.randn(5, 2, 3)))
    assert p.batch_shape == (5, 2)
    assert p.mean.shape[-1] in (size(shape), 5 * size(shape))
    assert sum(parameter.numel() for parameter in likelihood.parameters()) == (4 + 1) * likelihood.n_parameters * 2


def test_pixel_projection_keeps_pixels_and_parameters_in_place() -> None:
    """One map of features, two parameters a pixel: the first half of the output is the first parameter."""
    project = PixelProjection(6, 12, (2, 3))
    with torch.no_grad():
        project.convolution.weight.copy_(torch.tensor([1.0, -10.0]).reshape(2, 1, 1, 1))
        project.convolution.bias.zero_()
    features = torch.arange(6.0)
    assert torch.equal(project(features), torch.cat((features, -10 * features)))


@every_pair
def test_decoder_mirrors_the_encoder_s_sizes(encoder, decoder) -> None:
    back = decoder(3, (1, 28, 20), (4, 6, 8))
    assert back.sizes == [(4, 3), (7, 5), (14, 10), (28, 20)]
    assert encoder((1, 28, 20), (4, 6, 8)).n_features == 8 * 4 * 3
