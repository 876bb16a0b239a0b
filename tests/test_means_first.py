"""Noise that depends on the input: means are learned first, or large errors would be taken for noise."""

from __future__ import annotations

import numpy as np
import torch

from isthmus import Batch, Conditional, DensityNetwork
from isthmus.heads import GaussianHead
from isthmus.objectives import NegativeLogLikelihood


def test_means_are_learned_first():
    """Rows weigh by their variance, geometric mean over targets, less and less; not where nothing is trained."""
    torch.manual_seed(0)
    x, y = torch.randn(6, 4), torch.randn(6, 2)
    regression, objective = Conditional(torch.nn.Identity(), GaussianHead(4, 2)), NegativeLogLikelihood(means_first=10)
    plain, log_variance = NegativeLogLikelihood()(regression, Batch(x, y)).value, regression(x).variance.log().mean(1)
    torch.testing.assert_close(objective(regression, Batch(x, y)).value, plain)
    for step, beta in ((0, 1.0), (5, 0.5), (10, 0.0), (99, 0.0)):
        weight = (beta * log_variance).exp()
        found = objective(regression, Batch(x, y, step=torch.tensor(step))).value
        torch.testing.assert_close(found, plain * weight / weight.mean())


def test_large_targets_are_learned_and_not_taken_for_noise():
    """Targets over three orders of magnitude, with noise of a twentieth of each."""
    generator = np.random.RandomState(0)
    X = generator.uniform(-1, 1, (400, 1))
    truth = np.exp(3.5 * X[:, 0])
    y = truth * (1 + 0.05 * generator.randn(len(X)))
    model = DensityNetwork((32,), batch_size=32, learning_rate=0.01, max_epochs=100, random_state=0)
    means, deviations = model.fit(X[:300], y[:300]).predict(X[300:], return_std=True)
    assert np.sqrt(np.square(means - truth[300:]).mean()) < 0.05 * truth.std()
    assert np.corrcoef(np.log(deviations), X[300:, 0])[0, 1] > 0.8
