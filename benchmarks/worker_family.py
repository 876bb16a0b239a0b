"""The worker that trains one member of the family, with Isthmus or in the plain style of lectures, an epoch a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus import VAE, Autoencoder, DenoisingAutoencoder, KSparseAutoencoder, SparseAutoencoder
from models import D
from tutorial import train_loop
from worker_isthmus import TakingTurns
from workers import Line, Turns, serve

H, CODE, K = 144, 2, 44
"""The lectures' widths: 144 hidden units, of which k-sparse keeps 44, and a plane as the VAE's code."""

RHO, BETA = 0.05, 3.0


def layers(*widths: int) -> nn.Sequential:
    """Linear maps with a ReLU between each two."""
    modules: list[nn.Module] = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class Plain(nn.Module):
    """Encoder, decoder, and a sigmoid at its end."""

    def __init__(self, *widths: int, code: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.decoder = layers(*widths), layers(*widths[::-1])
        self.code = code or nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels and code."""
        z = self.code(self.encoder(x))
        return torch.sigmoid(self.decoder(z)), z


class PlainVAE(Plain):
    """The encoder gives mean and log-variance."""

    def __init__(self) -> None:
        super().__init__(D, H, CODE)
        self.encoder = layers(D, H, 2 * CODE)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels, from a drawn code, and the two of the encoder."""
        both = self.encoder(x)
        mean, log_variance = both.chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance) if self.training else mean
        return torch.sigmoid(self.decoder(z)), both


class KeepLargest(nn.Module):
    """All but the k largest are set to zero."""

    def forward(self, h: Tensor) -> Tensor:
        """A mask times the activations."""
        mask = torch.zeros_like(h)
        mask.scatter_(1, torch.topk(h, K, dim=1).indices, 1)
        return h * mask


def kl_sparsity(z: Tensor) -> Tensor:
    """BETA times the divergence of each unit's mean activity from RHO."""
    mean = z.mean(0)
    return BETA * torch.sum(RHO * torch.log(RHO / mean) + (1 - RHO) * torch.log((1 - RHO) / (1 - mean)))


def rate(both: Tensor) -> Tensor:
    """KL from the prior, in the mean over the batch."""
    mean, log_variance = both.chunk(2, dim=1)
    return -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp()) / len(mean)


class Member(NamedTuple):
    """One model twice: ours, and the lectures' with what is done to inputs and added to the cross-entropy."""

    ours: Callable[..., Any]
    plain: Callable[[], Plain]
    corrupt: Callable[[Tensor], Tensor] = lambda x: x
    penalty: Callable[[Tensor], Tensor] = lambda z: z.new_zeros(())


MEMBERS = {
    "autoencoder": Member(lambda **more: Autoencoder(H, hidden=(), **more), lambda: Plain(D, H)),
    "denoising": Member(
        lambda **more: DenoisingAutoencoder(H, hidden=(), corruption="uniform", **more),
        lambda: Plain(D, H),
        corrupt=lambda x: torch.clamp(x + torch.rand_like(x) / 2, 0, 1),
    ),
    "sparse": Member(
        lambda **more: SparseAutoencoder(H, hidden=(), rho=RHO, sparsity_weight=BETA, **more),
        lambda: Plain(D, H, code=nn.Sigmoid()),
        penalty=kl_sparsity,
    ),
    "k-sparse": Member(
        lambda **more: KSparseAutoencoder(H, k=K, annealing=0.0, **more), lambda: Plain(D, H, code=KeepLargest())
    ),
    "VAE": Member(lambda **more: VAE(CODE, hidden=(H,), **more), PlainVAE, penalty=rate),
}


def train_ours(turns: Turns, member: Member, images: np.ndarray, epochs: int, batch: int, compile: bool) -> Any:
    """`fit`, held at the beginning of each epoch."""
    TakingTurns.turns = turns
    schedule = TakingTurns(steps_per_epoch=-(-len(images) // batch))
    settings = {"max_epochs": epochs, "batch_size": batch, "compile": compile, "device": "cpu", "random_state": 0}
    model = member.ours(schedule=schedule, precision="fp32", **settings).fit(images)
    if isinstance(model, DenoisingAutoencoder):  # which is to rebuild what it is shown in training, noisy images
        return lambda rows: model.reconstruct(model.corrupt(rows, random_state=0))
    return model.reconstruct


def train_plain(turns: Turns, member: Member, images: np.ndarray, epochs: int, batch: int) -> Any:
    """The loop that every lecture has; the cross-entropy is a sum over pixels, as ours."""
    torch.manual_seed(0)
    model = member.plain()

    def loss(x: Tensor) -> Tensor:
        pixels, z = model(member.corrupt(x))
        return F.binary_cross_entropy(pixels, x, reduction="sum") / len(x) + member.penalty(z)

    train_loop(turns, model, loss, images, epochs, batch)

    def reconstruct(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            x = member.corrupt(torch.from_numpy(rows).flatten(1) / 255)
            return 255 * model.eval()(x)[0].numpy()

    return reconstruct


def train(line: Line, who: str, member: str, data: str, epochs: int, batch: int, compile: bool) -> None:
    """Train on uint8 images, one epoch a turn; then tell the squared error of test images, pixels in [0, 1].

    Those of the denoising autoencoder are rebuilt from noisy ones.
    """
    turns, arrays = Turns(line), np.load(data)
    more = {"compile": compile} if who == "isthmus" else {}
    trainer: Any = train_ours if who == "isthmus" else train_plain
    reconstruct = trainer(turns, MEMBERS[member], arrays["x"], epochs, batch, **more)
    turns.report()
    line.receive()
    x = arrays["x_test"]
    difference = (reconstruct(x).reshape(len(x), -1) - x.reshape(len(x), -1)) / 255
    line.send(squared_error=float(np.square(difference).sum(axis=1).mean()))


if __name__ == "__main__":
    serve({"train": train})
