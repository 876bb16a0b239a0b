"""The worker that trains, encodes and scores with others: pythae, and the loop of the tutorials.

It runs in `.venv-peers`, which has no Isthmus installed; of its source it imports what needs only torch: the
convolutional networks, so that all train the same ones.
"""

from __future__ import annotations

import logging
import tempfile
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pythae.data.datasets import DatasetOutput
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from isthmus.nets import ConvDecoder, ConvEncoder
from models import CHANNELS, IMAGE, D, H, K
from tutorial import train_loop
from workers import Line, Turns, serve

# --- pythae -------------------------------------------------------------------------------------


class ConvolutionalEncoder(BaseEncoder):
    """Isthmus' convolutions under pythae's interface."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ConvEncoder(IMAGE, CHANNELS)
        self.mean, self.log_variance = nn.Linear(self.net.n_features, K), nn.Linear(self.net.n_features, K)

    def forward(self, x: Tensor) -> ModelOutput:
        """Mean and log-variance of the code."""
        features = self.net(x)
        return ModelOutput(embedding=self.mean(features), log_covariance=self.log_variance(features))


class ConvolutionalDecoder(BaseDecoder):
    """Isthmus' convolutions under pythae's interface."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ConvDecoder(K, IMAGE, CHANNELS)
        self.project = self.net.project(self.net.n_features, D)

    def forward(self, z: Tensor) -> ModelOutput:
        """Pixels."""
        return ModelOutput(reconstruction=self.project(self.net(z)).sigmoid())


def pythae_vae(network: str) -> VAE:
    """Its own network, which has these very widths, or the convolutional one; "bce" is the sum over the pixels."""
    config = VAEConfig(input_dim=(D,), latent_dim=K, reconstruction_loss="bce")
    if network == "mlp":
        return VAE(config)
    return VAE(config, encoder=ConvolutionalEncoder(), decoder=ConvolutionalDecoder())


class TakingTurns(TrainingCallback):
    """Holds pythae's trainer at the beginning of each epoch."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_epoch_begin(self, training_config: Any, **_: Any) -> None:
        """Wait."""
        self.turns.next_epoch()


def train_pythae(turns: Turns, model: VAE, images: np.ndarray, epochs: int, batch: int, cuda: bool) -> None:
    """Its pipeline and its trainer with their defaults, but for batch size, epochs, learning rate and folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            per_device_train_batch_size=batch,
            learning_rate=1e-3,
            no_cuda=not cuda,
        )
        rows = (images.reshape(len(images), -1) / 255).astype(np.float32)
        TrainingPipeline(model=model, training_config=config)(rows, callbacks=[TakingTurns(turns)])
        turns.report()


# --- the tutorials' loop ------------------------------------------------------------------------


class TutorialVAE(nn.Module):
    """The VAE of PyTorch's examples, with these widths, or the convolutional one."""

    def __init__(self, network: str) -> None:
        super().__init__()
        if network == "mlp":
            encoder, decoder = nn.Sequential(nn.Linear(D, H), nn.ReLU()), nn.Sequential(nn.Linear(K, H), nn.ReLU())
            logits, width = nn.Linear(H, D), H
        else:
            encoder, decoder = ConvEncoder(IMAGE, CHANNELS), ConvDecoder(K, IMAGE, CHANNELS)
            logits, width = decoder.project(decoder.n_features, D), encoder.n_features
        self.encoder, self.mean, self.log_variance = encoder, nn.Linear(width, K), nn.Linear(width, K)
        self.decoder, self.logits = decoder, logits

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels, mean, log-variance."""
        features = self.encoder(x)
        mean, log_variance = self.mean(features), self.log_variance(features)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return torch.sigmoid(self.logits(self.decoder(z))), mean, log_variance


def train_tutorial(turns: Turns, model: TutorialVAE, images: np.ndarray, epochs: int, batch: int, cuda: bool) -> None:
    """The loop of PyTorch's examples; what it minimises is a sum over the batch there, and its mean here."""

    def loss(x: Tensor) -> Tensor:
        pixels, mean, log_variance = model(x)
        distortion = F.binary_cross_entropy(pixels, x, reduction="sum")
        rate = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return (distortion + rate) / len(x)

    train_loop(turns, model, loss, images, epochs, batch, "cuda" if cuda else "cpu")
    turns.report()


# --- commands -----------------------------------------------------------------------------------

Peer = VAE | TutorialVAE


def ordered(model: Peer) -> list[nn.Parameter]:
    """Parameters in the order that `models.py` names."""
    if isinstance(model, VAE):
        return [*model.encoder.parameters(), *model.decoder.parameters()]
    return list(model.parameters())


def train(line: Line, who: str, network: str, data: str, out: str, epochs: int, batch: int, device: str) -> None:
    """Train on uint8 images, one epoch a turn; the weights go to a file."""
    turns = Turns(line)
    images = np.load(data)["x"]
    torch.manual_seed(0)
    model = pythae_vae(network) if who == "pythae" else TutorialVAE(network)
    trainer = train_pythae if who == "pythae" else train_tutorial
    trainer(turns, model, images, epochs, batch, device == "cuda")
    line.receive()
    np.savez(out, *(parameter.detach().cpu().numpy() for parameter in ordered(model)))
    line.send(saved=True)


class Trained:
    """A pythae model with weights from elsewhere."""

    def __init__(self) -> None:
        self.model = pythae_vae("mlp").eval()

    def load(self, line: Line, weights: str, data: str) -> None:
        """Take weights, and rows in [0, 1]."""
        arrays = np.load(weights)
        with torch.no_grad():
            for parameter, name in zip(ordered(self.model), arrays.files, strict=True):
                parameter.copy_(torch.from_numpy(arrays[name]))
        self.rows = torch.from_numpy(np.load(data)["x"])
        line.send(loaded=True)

    def likelihood(self, line: Line, first: int, last: int, n_samples: int) -> None:
        """`get_nll` of some rows, with its default of 100 samples a pass, and without gradients, which it keeps."""
        began = time.perf_counter()
        with torch.no_grad():
            value = self.model.get_nll(self.rows[first:last], n_samples=n_samples)
        line.send(seconds=time.perf_counter() - began, log_likelihood=float(value))

    def embed(self, line: Line) -> None:
        """Codes of all rows, without gradients, which it keeps."""
        began = time.perf_counter()
        with torch.no_grad():
            self.model.embed(self.rows)
        line.send(seconds=time.perf_counter() - began)

    def score(self, line: Line) -> None:
        """The loss of all rows, of which it knows only the mean."""
        began = time.perf_counter()
        with torch.no_grad():
            loss = self.model(DatasetOutput(data=self.rows)).loss
        line.send(seconds=time.perf_counter() - began, bound=-float(loss))


def versions(line: Line) -> None:
    """What runs here."""
    line.send(**{name: version(name) for name in ("pythae", "torch", "numpy", "pillow")})


if __name__ == "__main__":
    logging.disable(logging.INFO)  # pythae tells of every epoch
    trained = Trained()
    serve(
        {
            "versions": versions,
            "train": train,
            "load": trained.load,
            "likelihood": trained.likelihood,
            "embed": trained.embed,
            "score": trained.score,
        }
    )
