"""A fitted model as layers with sizes and names, whatever its modules are: found by running them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from ..estimators.unrolled import MeanOf
from ..evaluation.chunks import device_of, evaluating
from ..model import Conditional
from ..nets import Transposed
from ..nets.resnet import ResidualBlock
from .losses import loss_text

__all__ = ["Layer", "Network", "Step", "describe", "encoder_of", "encoder_steps", "steps"]

MOST_LAYERS = 5
"""Of one side of a network; the middle ones of deeper networks are drawn as one."""

_SILENT = (
    nn.Identity, nn.Sequential, nn.Flatten, nn.Unflatten, nn.Dropout, nn.GroupNorm, nn.LayerNorm, nn.BatchNorm1d,
    nn.BatchNorm2d,
)  # fmt: skip
"""Modules that are no layer of their own in a drawing."""

_NAMES = {
    "Linear": "linear", "Transposed": "linear", "ResidualBlock": "residual", "ReLU": "ReLU", "LeakyReLU": "leaky ReLU",
    "SiLU": "SiLU", "GELU": "GELU", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softplus": "softplus", "ELU": "ELU",
}  # fmt: skip

_HEADS = {
    "BernoulliHead": "Bernoulli", "ContinuousBernoulliHead": "continuous\nBernoulli", "CategoricalHead": "categorical",
    "DiscretisedLogisticHead": "discretised\nlogistic", "LearnedGaussianHead": "Gaussian,\nlearned variance",
    "FixedGaussianHead": "Gaussian,\nvariance 1", "GaussianHead": "Gaussian", "FullGaussianHead": "Gaussian",
}  # fmt: skip


class Step(NamedTuple):
    """A module without parts, and the shape that it gave an example."""

    module: nn.Module
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """What a layer gives.

    Attributes:
        size: numbers of an example in it.
        shape: the same as channels and pixels, or "".
        label: how it came from the layer before: "ReLU", "conv 3×3, ReLU".
    """

    size: int
    shape: str = ""
    label: str = ""


@dataclass(frozen=True)
class Network:
    """A model as it is drawn.

    Attributes:
        data: size and shape of an example.
        encoder: its hidden layers, from the data to the code; None where there is no encoder.
        code: the code.
        kind: of the code: one point an example, a distribution from which it is sampled, or probabilities of classes.
        decoder: hidden layers from the code to the output; None for a model that does not decode.
        output: of the last layer; `label` names the likelihood.
        loss: what is minimised, as mathematical text.
        n_conditions: numbers that encoder and decoder are told besides.
        tied: the decoder's weights are the encoder's.
    """

    data: Layer
    encoder: tuple[Layer, ...] | None
    code: Layer
    kind: Literal["point", "sampled", "classes", "density"]
    decoder: tuple[Layer, ...] | None
    output: Layer
    loss: str = ""
    n_conditions: int = 0
    tied: bool = False


def steps(conditional: Conditional, n_inputs: int, n_conditions: int = 0, *, head: bool = False) -> list[Step]:
    """Modules without parts in the order in which one example passes them, in the net and, if asked, in the head."""
    found: list[Step] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            found.append(Step(module, tuple(output.shape[1:])))

    hooks = [part.register_forward_hook(note) for part in _parts(conditional if head else conditional.net)]
    device = device_of(conditional)
    try:
        with evaluating(conditional):
            condition = torch.zeros(1, n_conditions, device=device) if n_conditions else None
            conditional(torch.zeros(1, n_inputs, device=device), condition)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _parts(net: nn.Module) -> list[nn.Module]:
    """Modules without parts; a residual block counts as one, and the mean of a distribution that knows its own."""
    whole = isinstance(net, ResidualBlock) or (isinstance(net, MeanOf) and not hasattr(net.head, "activation"))
    children = [] if whole else list(net.children())
    return [part for child in children for part in _parts(child)] or [net]


def encoder_of(estimator: Any) -> Conditional | None:
    """The encoder of a model, or a model p(y|x) itself; None where there is neither."""
    model = getattr(estimator, "model_", None)
    return model if isinstance(model, Conditional) else getattr(model, "encoder", None)


def encoder_steps(estimator: Any) -> list[Step]:
    """What an example passes on its way to the code, the head's linear map included; nothing without an encoder."""
    encoder = encoder_of(estimator)
    if encoder is None:
        return []
    return steps(encoder, estimator.n_features_in_, _n_conditions(estimator), head=True)


def _n_conditions(estimator: Any) -> int:
    return int(getattr(estimator, "_n_conditions", 0))


def describe(estimator: Any) -> Network:
    """A fitted estimator as a network.

    Raises:
        ValueError: a model of a kind that has neither components nor networks to draw.
    """
    shape = tuple(estimator.feature_shape_)
    data = Layer(estimator.n_features_in_, " × ".join(map(str, shape)) if len(shape) > 1 else "")
    model = getattr(estimator, "model_", None)
    if model is None:
        if not hasattr(estimator, "components_"):
            raise ValueError(f"Expected a model with layers or components, got {type(estimator).__name__}.")
        code = Layer(estimator._n_features_out, label="linear")
        noise = "" if type(estimator).__name__ == "PCA" else "Gaussian noise"
        tied = noise == ""  # with noise, codes are drawn towards 0, and no longer what the transposed weights give
        return Network(data, (), code, "point", (), replace(data, label=noise), _linear_loss(estimator), tied=tied)
    if isinstance(model, Conditional):
        return _predictor(estimator, data, model)
    encoder, decoder = getattr(model, "encoder", None), getattr(model, "decoder", None)
    head = getattr(encoder, "head", None)
    told = _n_conditions(estimator)
    n_code = int(getattr(estimator, "_n_features_out", getattr(estimator, "n_components", 0)))
    has_prior = getattr(model, "prior", None) is not None
    return Network(
        data,
        None if encoder is None else _layers(steps(encoder, data.size, told)),
        Layer(n_code, label=_code_label(head)),
        "sampled" if has_prior or type(head).__name__.endswith("GaussianHead") else "point",
        None if decoder is None else _layers(steps(decoder, n_code, told)),
        replace(data, label="" if decoder is None else _head_name(decoder.head)),
        loss_text(estimator._objective(), "z, c" if told else "z"),
        told,
        decoder is not None and any(isinstance(part, Transposed) for part in decoder.modules()),
    )


def _predictor(estimator: Any, data: Layer, model: Conditional) -> Network:
    """A model p(y|x): an encoder whose code is the probabilities of classes, or the density of numbers."""
    kind, n_outputs = (
        ("classes", len(estimator.classes_)) if hasattr(estimator, "classes_") else ("density", estimator.n_targets_)
    )
    y = Layer(n_outputs, label=_head_name(model.head))
    return Network(data, _layers(steps(model, data.size)), y, kind, None, y, r"$-\log p(y \mid x)$")


def _linear_loss(estimator: Any) -> str:
    if type(estimator).__name__ == "PCA":
        return r"$\Vert x - \hat{x} \Vert^2$, in closed form"
    return r"$-\log p(x)$, exact"


def _head_name(head: nn.Module) -> str:
    name = type(head).__name__
    return _HEADS.get(name, name.removesuffix("Head"))


def _code_label(head: Any) -> str:
    """The code's own activation, and how many units may be active."""
    words = [f"{n} largest\nkept" for n in [getattr(head, "k", None)] if isinstance(n, int)]
    activation = getattr(head, "activation", None)
    if isinstance(activation, nn.Module) and not isinstance(activation, nn.Identity):
        words.insert(0, _NAMES.get(type(activation).__name__, type(activation).__name__))
    return ",\n".join(words)


def _layers(found: Sequence[Step]) -> tuple[Layer, ...]:
    """Steps as layers: an activation belongs to the layer before it."""
    layers: list[Layer] = []
    for module, shape in found:
        name = type(module).__name__
        if isinstance(module, _SILENT) or name.startswith(("Upsample", "Dropout")):
            continue
        size, text = prod(shape), " × ".join(map(str, shape)) if len(shape) > 1 else ""
        has_weights = next(module.parameters(), None) is not None or name == "Transposed"
        if not has_weights and layers and layers[-1].size == size:
            last = layers[-1].label
            layers[-1] = replace(layers[-1], label=_joined(last, _NAMES.get(name, name)))
        else:
            layers.append(Layer(size, text, _step_name(module)))
    if len(layers) <= MOST_LAYERS:
        return tuple(layers)
    first, last = layers[: MOST_LAYERS // 2], layers[-(MOST_LAYERS // 2) :]
    middle = layers[MOST_LAYERS // 2 : -(MOST_LAYERS // 2)]
    return (*first, replace(middle[-1], label=f"{len(middle)} layers"), *last)


def _joined(before: str, activation: str) -> str:
    return activation if before == "linear" else f"{before},\n{activation}"


def _step_name(module: nn.Module) -> str:
    if isinstance(module, MeanOf):
        return "sigmoid" if type(module.head).__name__ == "BernoulliHead" else "linear"
    name = type(module).__name__
    kernel = getattr(module, "kernel_size", None)
    if kernel is not None and "Conv" in name:
        size = "×".join(map(str, kernel if isinstance(kernel, tuple) else (kernel,)))
        return f"{'transposed ' if 'Transpose' in name else ''}conv {size}"
    return _NAMES.get(name, name)
