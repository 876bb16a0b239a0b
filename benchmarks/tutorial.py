"""The loop of tutorials and lectures, and images as they read them: one by one through PIL, beside a label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from workers import Turns


def to_tensor(image: Image.Image) -> Tensor:
    """What torchvision's ToTensor does with a grey image (and a tenth faster than that)."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(image.size[1], image.size[0], 1)
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class TutorialImages(Dataset):
    """What torchvision's MNIST does: each image through PIL, then the transform, beside its label."""

    def __init__(self, images: np.ndarray, transform: Callable[[Image.Image], Tensor]) -> None:
        self.data, self.targets = torch.from_numpy(images), torch.zeros(len(images), dtype=torch.int64)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index].numpy())), int(self.targets[index])


def train_loop(
    turns: Turns,
    model: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    images: np.ndarray,
    epochs: int,
    batch: int,
    device: str = "cpu",
) -> None:
    """A loader and a loop, an epoch a turn; the loss is a mean over the batch."""
    loader = DataLoader(TutorialImages(images, to_tensor), batch_size=batch, shuffle=True)
    model = model.to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        turns.next_epoch()
        model.train()
        total = 0.0
        for data, _labels in loader:
            x = data.to(device).flatten(1)
            optimiser.zero_grad()
            loss = loss_of(x)
            loss.backward()
            total += loss.item() * len(x)
            optimiser.step()
