"""Logistic PCA: it descends, and its codes are those of logistic regressions."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from isthmus.reproduce.logistic_pca import LogisticPCA


def test_logistic_pca_descends_and_fits_better_than_a_linear_decoder_of_the_same_code(digits):
    x = digits.reshape(len(digits), -1).astype(np.float32)
    model = LogisticPCA(8, n_sweeps=8).fit(x)
    assert model.sweep_losses == sorted(model.sweep_losses, reverse=True)
    centred = x - x.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    linear = np.clip(centred @ directions[:8].T @ directions[:8] + x.mean(0), 0, 1)
    assert ((model.reconstruct(x) - x) ** 2).sum() < ((linear - x) ** 2).sum()


def test_logistic_pca_codes_are_logistic_regressions():
    generator = np.random.default_rng(0)
    x = (generator.random((1, 200)) < 0.5).astype(np.float32)
    model = LogisticPCA(3, n_sweeps=40, ridge=0.5)
    model.weights = torch.from_numpy(np.c_[generator.normal(size=(200, 3)), np.zeros(200)].astype(np.float32))
    z = model._codes(torch.from_numpy(x), torch.zeros(1, 3), 40)
    reference = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10).fit(model.weights[:, :3].numpy(), x[0])
    np.testing.assert_allclose(z[0].numpy(), reference.coef_[0], rtol=2e-3)
