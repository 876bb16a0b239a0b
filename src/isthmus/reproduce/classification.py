"""How tables score classifiers, and features by a linear classifier on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ..estimators import (
    RBM,
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    PretrainedClassifier,
)
from .data import unit
from .table import Job

__all__ = ["LAYERS", "classifier_errors", "feature_errors", "misclassified", "trained_layer"]

LAYERS: dict[str, Any] = {
    "autoencoder": Autoencoder,
    "contractive": ContractiveAutoencoder,
    "denoising": DenoisingAutoencoder,
    "k-sparse": KSparseAutoencoder,
    "rbm": RBM,
}
"""What settings call a layer or a model by."""


def misclassified(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """100 for each example that is misclassified and 0 for others, (n,), so that their mean is in per cent."""
    return 100.0 * (np.asarray(predicted) != np.asarray(labels))


def feature_errors(
    job: Job,
    transform: Any,
    x: np.ndarray,
    y: np.ndarray,
    *,
    strength: float | Sequence[float] = 1.0,
    max_iter: int = 100,
) -> np.ndarray:
    """Errors on the test images of a logistic regression on features, in per cent as `misclassified` gives them.

    Args:
        job: whose test images.
        transform: from rows (n, F) in [0, 1] to features.
        x, y: rows and labels to learn from.
        strength: scikit-learn's C, the inverse of the weight of the squared coefficients; of several, the one with the
            fewest errors on validation images.
        max_iter: of L-BFGS.
    """
    scaler = StandardScaler()
    features = scaler.fit_transform(np.asarray(transform(x), np.float32))
    strengths = strength if isinstance(strength, Sequence) else (strength,)
    models = [LogisticRegression(C=c, max_iter=max_iter).fit(features, y) for c in strengths]

    def scaled(images: np.ndarray) -> np.ndarray:
        return scaler.transform(transform(unit(images)))

    if len(models) > 1:
        watched = scaled(job.data.x_valid)
        models.sort(key=lambda model: misclassified(model.predict(watched), job.data.y_valid).mean())  # type: ignore[arg-type]
    return misclassified(models[0].predict(scaled(job.data.x_test)), job.data.y_test)  # type: ignore[arg-type]


def _of_layer(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name.startswith("layer_") and name != "layer_epochs"}


def _layer(settings: Mapping[str, Any]) -> Any:
    own = _of_layer(settings)
    return LAYERS[settings["layer"]](1, **{name.removeprefix("layer_"): value for name, value in own.items()})


def classifier_errors(job: Job, x: np.ndarray, y: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Errors on the test images of a `PretrainedClassifier`, in per cent as `misclassified` gives them.

    Args:
        job: whose test images, seed and folder.
        x, y: rows in [0, 1] and labels to learn from, -1 for rows without.
        settings: of the classifier. `layer` is a kind by name, and what begins with `layer_` is a parameter of it, as
            `layer_learning_rate` is, but for `layer_epochs`.
    """
    rest = {name: value for name, value in settings.items() if name not in _of_layer(settings)}
    if "layer" in rest:
        rest["layer"] = _layer(settings)
    model = PretrainedClassifier(**rest, random_state=job.seed, verbose=job.verbose)
    model.fit(x, y, folder=job.place("classifier"), resume=True)
    return misclassified(model.predict(unit(job.data.x_test)), job.data.y_test)  # type: ignore[arg-type]


def trained_layer(job: Job, x: np.ndarray, settings: Mapping[str, Any]) -> Any:
    """The first hidden layer as it is before fine-tuning, fitted; `classifier_errors` with this job goes on from it.

    Args:
        job: whose seed and folder.
        x: rows in [0, 1] to learn from.
        settings: as those of `classifier_errors`.
    """
    layer = _layer(settings)
    alone = {"n_components": settings["hidden"][0], "hidden": (), "max_epochs": settings["layer_epochs"]}
    alone |= {"code_activation": settings.get("activation", "sigmoid"), "random_state": job.seed}
    alone |= {name: settings[name] for name in ("batch_size", "precision") if name in settings}
    known = layer.get_params(deep=False)  # an RBM has no other units to choose, nor layers in between
    layer.set_params(**{name: value for name, value in alone.items() if name in known}, verbose=job.verbose)
    return layer.fit(x, folder=job.place("classifier") / "layer-1", resume=True)
