"""Dynamic binarisation: grey pixels become black or white anew at every step."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Batch
from ..processes import batch_uniform
from .base import Wrapped

__all__ = ["DynamicBinarisation"]


@dataclass(frozen=True)
class DynamicBinarisation(Wrapped):
    r"""Another objective on black and white pixels drawn from grey ones, :math:`x \sim \mathrm{Bernoulli}(g)`.

    What is minimised is the expectation of the loss over all binarisations of an image, so that the model can't
    learn one of them by heart. A likelihood of such data compares with none of statically binarised ones
    (`load_data(..., binarise=seed)`), nor with a cross-entropy of grey pixels.

    Args:
        objective: what is minimised, where x and target are both the pixels that were drawn.

    References:
        Salakhutdinov, Murray (2008). On the quantitative analysis of deep belief networks. ICML, section 5.
        Burda, Grosse, Salakhutdinov (2016). Importance weighted autoencoders. ICLR, section 5.

    Example:
        >>> import torch
        >>> from isthmus.objectives import ELBO
        >>> grey = torch.full((2, 100), 0.5)
        >>> batch = DynamicBinarisation(ELBO()).prepare(Batch(grey, grey))
        >>> sorted(set(batch.x.flatten().tolist())), bool((batch.x == batch.target).all())
        ([0.0, 1.0], True)
    """

    def prepare(self, batch: Batch) -> Batch:
        """Draw the pixels, before what the inner objective prepares: it may corrupt what the encoder sees of them."""
        drawn = (batch_uniform(batch.target) < batch.target).to(batch.target.dtype)
        return self.objective.prepare(batch._replace(x=drawn, target=drawn))
