"""Every kind of model with its objective and a batch, by name: what the laws in test_laws.py run over.

A new model costs one line in `CASES`, and all laws hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from case_batches import C, F, binary, conditional, grey, one_hot, pixels, real, training
from isthmus.boltzmann import RestrictedBoltzmannMachine
from isthmus.corruption import Corruption
from isthmus.distributions import reparameterise
from isthmus.heads import (
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    DiscretisedLogisticHead,
    FixedGaussianHead,
    FullGaussianHead,
    GaussianHead,
    LearnedGaussianHead,
    PointHead,
    TopKHead,
)
from isthmus.model import Batch, Conditional, LatentVariableModel, Layer, Sampler, Trace, draw
from isthmus.nets import MLP, ConvDecoder, ConvEncoder, Dropout, ResNetDecoder, ResNetEncoder
from isthmus.objectives import (
    ELBO,
    Contractive,
    ContrastiveDivergence,
    Denoising,
    DynamicBinarisation,
    ImportanceWeightedBound,
    KLSparsity,
    L1Sparsity,
    Objective,
    Reconstruction,
)
from isthmus.priors import StandardNormal

H, D = 16, 3
"""Hidden width, and dimension of the code."""


class Case(NamedTuple):
    model: LatentVariableModel
    objective: Objective
    batch: Callable[[int], Batch]
    """n -> a batch of n examples, the same at every call and the first n of any larger one."""


# --- models ----------------------------------------------------------------------------------------


def table_model(
    code: nn.Module,
    likelihood: nn.Module,
    prior: nn.Module | None,
    n_conditions: int = 0,
) -> LatentVariableModel:
    encoder = Conditional(MLP(F + n_conditions, (H,), "tanh"), code)
    return LatentVariableModel(encoder, Conditional(MLP(D + n_conditions, (H,), "silu"), likelihood), prior)


def autoencoder(activation: Callable[[Tensor], Tensor] | None = None) -> LatentVariableModel:
    return table_model(PointHead(H, D, activation=activation), FixedGaussianHead(H, F), None)


def one_layer(activation: Callable[[Tensor], Tensor]) -> LatentVariableModel:
    encoder = Conditional(MLP(F), PointHead(F, D, activation=activation))
    return LatentVariableModel(encoder, Conditional(MLP(D), FixedGaussianHead(D, F)), None)


def convolutional_autoencoder() -> LatentVariableModel:
    net = ConvEncoder((1, 7, 5), (4, 6), "silu")
    encoder = Conditional(net, PointHead(net.n_features, D, activation=torch.tanh))
    return LatentVariableModel(encoder, Conditional(MLP(D, (H,)), FixedGaussianHead(H, F)), None)


def vae(
    likelihood: nn.Module | None = None, code: nn.Module | None = None, prior: nn.Module | None = None
) -> LatentVariableModel:
    return table_model(code or GaussianHead(H, D), likelihood or BernoulliHead(H, F), prior or StandardNormal(D))


def conditional_vae() -> LatentVariableModel:
    return table_model(GaussianHead(H, D), BernoulliHead(H, F), StandardNormal(D), n_conditions=C)


def image_vae(encoder: type[ConvEncoder], decoder: type[ConvDecoder]) -> LatentVariableModel:
    net, back = encoder((1, 7, 5), (4, 6)), decoder(D, (1, 7, 5), (4, 6))
    head = DiscretisedLogisticHead(back.n_features, F, project=back.project)
    code = Conditional(net, GaussianHead(net.n_features, D))
    return LatentVariableModel(code, Conditional(back, head), StandardNormal(D))


def without_encoder() -> LatentVariableModel:
    return LatentVariableModel(None, Conditional(MLP(D, (H,)), BernoulliHead(H, F)), StandardNormal(D))


class MixturePrior(nn.Module):
    """A prior without a closed-form KL to a Gaussian."""

    def __init__(self) -> None:
        super().__init__()
        self.locs = nn.Parameter(torch.randn(2, D))

    def forward(self, batch: Batch) -> Distribution:
        locs = self.locs.expand(len(batch.x), 2, D)
        components = Independent(Normal(locs, torch.ones_like(locs), validate_args=False), 1, validate_args=False)
        weights = Categorical(logits=torch.zeros_like(locs[..., 0]), validate_args=False)
        return MixtureSameFamily(weights, components, validate_args=False)


class TwoLayers(LatentVariableModel):
    """p(z2) p(z1|z2) p(x|z1), with q(z1|x) q(z2|z1): above, distributions have batch shape (K, B)."""

    def __init__(self) -> None:
        base = vae()
        super().__init__(base.encoder, base.decoder, base.prior)
        self.upper = Conditional(MLP(D, (H,), "tanh"), GaussianHead(H, D))
        self.lower = Conditional(MLP(D, (H,), "tanh"), GaussianHead(H, D))

    def trace(self, batch: Batch, n_samples: int = 1, sample: Sampler = draw) -> Trace:
        q1, hidden = self.encoder.with_hidden(batch.x)
        z1 = sample(q1, n_samples)
        q2 = self.upper(z1)
        z2 = q2.rsample() if sample is draw else sample(q2, n_samples)
        layers = Layer(q1, z1, self.lower(z2)), Layer(q2, z2, self.prior(batch))
        return Trace(batch, layers, self.decoder(z1), hidden)


class MeanField(RestrictedBoltzmannMachine):
    """A Boltzmann machine whose chains go from mean to mean: what they do to an example is the same in every batch."""

    def gibbs(self, v: Tensor, n_steps: int = 1, *, shared: bool = False) -> Tensor:
        for _ in range(n_steps):
            v = self.decoder(self.encoder(v).mean).mean
        return v.detach()


class EveryOtherLost(Corruption):
    """A corruption without noise of its own: what it does to an example is the same in every batch."""

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = torch.arange(x.shape[-1]) % 2
        return x * kept, (kept == 0).expand_as(x)


class EveryOtherUnit(Dropout):
    """Dropout without noise: what it does to an example is the same in every batch."""

    def kept(self, x: Tensor) -> Tensor:
        return (torch.arange(x.shape[-1]) % 2 == 0).expand_as(x)


def vae_with_dropout() -> LatentVariableModel:
    model = vae()
    for part in (model.encoder, model.decoder):
        part.net.append(EveryOtherUnit(0.3))
    return model


# --- the table -------------------------------------------------------------------------------------

CASES: dict[str, Callable[[], Case]] = {
    "autoencoder": lambda: Case(autoencoder(), Reconstruction(), real),
    "autoencoder, sigmoid code": lambda: Case(autoencoder(torch.sigmoid), Reconstruction(), real),
    "autoencoder, denoising": lambda: Case(autoencoder(), Denoising(Reconstruction(), EveryOtherLost()), real),
    "autoencoder, denoising with emphasis": lambda: Case(
        autoencoder(), Denoising(Reconstruction(), EveryOtherLost(), emphasis=(1.0, 0.25)), real
    ),
    # Without annealing, where k would differ between the first calls.
    "autoencoder, k-sparse": lambda: Case(
        table_model(TopKHead(H, D, k=2), FixedGaussianHead(H, F), None), Reconstruction(), real
    ),
    "autoencoder, sparse code": lambda: Case(
        autoencoder(torch.sigmoid), Reconstruction() + KLSparsity(0.1, 5.0), training
    ),
    "autoencoder, all layers sparse": lambda: Case(
        autoencoder(nn.LeakyReLU()), Reconstruction() + KLSparsity(0.1, 5.0, "all") + L1Sparsity(0.2, (0, -1)), real
    ),
    "autoencoder, contractive": lambda: Case(one_layer(torch.sigmoid), Reconstruction() + Contractive(0.5), real),
    # As many directions as units, where nothing is random.
    "autoencoder, contractive and deep": lambda: Case(
        autoencoder(torch.sigmoid), Reconstruction() + Contractive(0.5, n_directions=D), training
    ),
    "autoencoder, contractive convolutions": lambda: Case(
        convolutional_autoencoder(), Reconstruction() + Contractive(0.5, n_directions=D), grey
    ),
    "autoencoder, Boltzmann machine": lambda: Case(MeanField(F, D), ContrastiveDivergence(2), binary),
    "autoencoder, Boltzmann machine, Gaussian visible units": lambda: Case(
        MeanField(F, D, visible="gaussian"), ContrastiveDivergence(), real
    ),
    "autoencoder, Boltzmann machine, Gaussian hidden units, persistent chains": lambda: Case(
        MeanField(F, D, hidden="gaussian", n_chains=4), ContrastiveDivergence(persistent=True), binary
    ),
    "VAE": lambda: Case(vae(), ELBO(), binary),
    # Of binary pixels nothing is left to draw, so that an example's loss does not depend on its company.
    "VAE, dynamic binarisation": lambda: Case(vae(), DynamicBinarisation(ELBO()), binary),
    "VAE, many samples": lambda: Case(vae(), ELBO(n_samples=4), binary),
    "VAE, beta and free bits, weighted, warming up": lambda: Case(
        vae(), ELBO(beta=2.0, free_bits=0.2, warm_up=10), training
    ),
    "VAE, denoising with emphasis": lambda: Case(
        vae(), Denoising(ELBO(n_samples=2), EveryOtherLost(), emphasis=(1.0, 0.25)), training
    ),
    "VAE, sampled KL": lambda: Case(vae(), ELBO(n_samples=2, kl="monte_carlo"), binary),
    "VAE, sticking the landing": lambda: Case(vae(), ELBO(n_samples=2, gradient="stl"), training),
    "VAE, score function": lambda: Case(vae(), ELBO(n_samples=3, gradient="score"), training),
    "VAE, score function, mixture prior": lambda: Case(
        vae(prior=MixturePrior()), ELBO(n_samples=2, gradient="score", baseline="none"), binary
    ),
    "VAE, dropout": lambda: Case(vae_with_dropout(), ELBO(n_samples=2), binary),
    "VAE, full covariance": lambda: Case(vae(code=FullGaussianHead(H, D)), ELBO(), binary),
    "VAE, mixture prior": lambda: Case(vae(prior=MixturePrior()), ELBO(n_samples=2), binary),
    "VAE, Gaussian": lambda: Case(vae(GaussianHead(H, F)), ELBO(), real),
    "VAE, learned Gaussian": lambda: Case(vae(LearnedGaussianHead(H, F)), ELBO(), real),
    "VAE, fixed Gaussian": lambda: Case(vae(FixedGaussianHead(H, F, scale=0.5)), ELBO(), real),
    "VAE, continuous Bernoulli": lambda: Case(vae(ContinuousBernoulliHead(H, F)), ELBO(), grey),
    "VAE, discretised logistic": lambda: Case(vae(DiscretisedLogisticHead(H, F)), ELBO(), pixels),
    "VAE, categorical": lambda: Case(vae(CategoricalHead(H, 7, n_classes=5)), ELBO(), one_hot),
    "conditional VAE": lambda: Case(conditional_vae(), ELBO(), conditional),
    "convolutional VAE": lambda: Case(image_vae(ConvEncoder, ConvDecoder), ELBO(), pixels),
    "residual VAE": lambda: Case(image_vae(ResNetEncoder, ResNetDecoder), ELBO(), pixels),
    "two latent layers": lambda: Case(TwoLayers(), ELBO(n_samples=2), binary),
    "two latent layers, sticking the landing": lambda: Case(TwoLayers(), ELBO(n_samples=2, gradient="stl"), binary),
    "two latent layers, score function": lambda: Case(TwoLayers(), ELBO(n_samples=2, gradient="score"), binary),
    "importance-weighted": lambda: Case(vae(), ImportanceWeightedBound(4), training),
    "importance-weighted, full covariance": lambda: Case(
        vae(code=FullGaussianHead(H, D)), ImportanceWeightedBound(4), binary
    ),
    "importance-weighted, reparameterised": lambda: Case(
        vae(), ImportanceWeightedBound(4, gradient="reparameterised"), binary
    ),
    "importance-weighted, sticking the landing": lambda: Case(
        vae(), ImportanceWeightedBound(4, gradient="stl"), binary
    ),
    "importance-weighted, score function": lambda: Case(vae(), ImportanceWeightedBound(4, gradient="score"), binary),
    "importance-weighted, score function without baseline": lambda: Case(
        vae(), ImportanceWeightedBound(4, gradient="score", baseline="none"), binary
    ),
    "importance-weighted, denoising": lambda: Case(
        vae(), Denoising(ImportanceWeightedBound(3), EveryOtherLost()), binary
    ),
    "importance-weighted, two latent layers": lambda: Case(TwoLayers(), ImportanceWeightedBound(3), binary),
    "importance-weighted, two latent layers, reparameterised": lambda: Case(
        TwoLayers(), ImportanceWeightedBound(3, "reparameterised"), binary
    ),
    "importance-weighted, no encoder": lambda: Case(without_encoder(), ImportanceWeightedBound(4), binary),
    "no encoder": lambda: Case(without_encoder(), ELBO(n_samples=4), binary),
}


def make(name: str) -> Case:
    """The case of a name, with the same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CASES[name]()


def fixed_noise(rows: Tensor) -> Sampler:
    """A sampler whose noise belongs to examples, by their number: batches may then be split and reordered."""

    def sample(q: Distribution, n_samples: int) -> Tensor:
        generator = torch.Generator().manual_seed(2)
        noise = torch.randn(n_samples, 64, q.event_shape[0], generator=generator)[:, rows]
        return reparameterise(q, noise.to(q.mean.dtype))

    return sample


def linear_gaussian(weight: Tensor, scale: float, posterior: Distribution) -> LatentVariableModel:
    """p(z) = N(0, I), p(x|z) = N(weight z, scale^2 I), float64, with a posterior that does not see x."""

    class Fixed(nn.Module):
        def forward(self, features: Tensor) -> Distribution:
            return posterior

    decoder = Conditional(nn.Identity(), FixedGaussianHead(weight.shape[1], weight.shape[0], scale=scale).double())
    with torch.no_grad():
        decoder.head.project.weight.copy_(weight)
        decoder.head.project.bias.zero_()
    return LatentVariableModel(Conditional(nn.Identity(), Fixed()), decoder, StandardNormal(weight.shape[1]))
