"""What a notebook shows of an estimator: scikit-learn's diagram, facts, a curve; and nothing of it is markup."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from sklearn import set_config
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from estimator_cases import LINEAR, MAKE, every_estimator, every_network, pixel_images, real_table
from isthmus import PretrainedClassifier
from isthmus.estimators.notebook import fact_table, loss_curve


@every_estimator
def test_facts_of_a_fitted_estimator(make):
    model = make()
    name = type(model).__name__
    assert name in model._repr_html_()
    assert "dimensions" not in model._repr_html_()  # not fitted: the diagram alone
    page = model.fit(pixel_images())._repr_html_()
    for fact in (name, "8 x 8 pixels, uint8", "2 dimensions"):
        assert fact in page
    if make not in LINEAR.values():
        assert "bernoulli" in page
        assert f"{model.history_[-1]['loss']:.3f} nats" in page
        weights = sum(parameter.numel() for parameter in model.model_.parameters())
        assert f"{weights:,}" in page
        if name in ("Autoencoder", "VAE"):
            codes = 1 if name == "Autoencoder" else 2
            assert weights == 64 * 16 + 16 + 2 * 16 + 16 + 16 * 64 + 64 + codes * (16 * 2 + 2)  # encoder, decoder
    assert name in make_pipeline(StandardScaler(), make())._repr_html_()
    assert model._repr_mimebundle_()["text/html"].endswith(page[page.rindex("<table>") :])
    set_config(display="text")
    try:
        assert not hasattr(model, "_repr_html_")
    finally:
        set_config(display="diagram")


@every_network
def test_names_of_columns_are_text(make):
    X = pd.DataFrame(real_table(), columns=[f"<script>alert({i})</script>" for i in range(6)])
    assert "<script>alert" not in make().fit(X)._repr_html_()


def test_facts_are_text():
    assert fact_table({"<b>": "a & 'b'"}).count("<b>") == 0
    table = ElementTree.fromstring(fact_table({"<b>": "a & 'b'", "c": "d"}))
    assert ["".join(row.itertext()) for row in table] == ["<b>a & 'b'", "cd"]


def test_the_curve_falls_with_the_loss_and_ignores_what_is_no_number():
    history = [{"loss": 10.0, "validation": 12.0}, {"loss": 5.0, "validation": None}, {"loss": 0.0, "validation": 6.0}]
    drawn = ElementTree.fromstring(loss_curve(history))
    loss, validation = (line.attrib["points"] for line in drawn.iter("polyline"))
    assert loss == "0.0,10.0 120.0,35.0 240.0,60.0"  # y downwards, 12 at the top and 0 at the bottom
    assert validation == "0.0,0.0 240.0,30.0"
    assert drawn.attrib["aria-label"] == "3 epochs, at the end: loss 0.00 nats; validation 6.00 nats"
    assert loss_curve(history[:1]) == loss_curve([]) == loss_curve([{"loss": float("nan")}] * 3) == ""
    assert ElementTree.fromstring(loss_curve([{"loss": 1.0}] * 2)).find("polyline") is not None  # a flat line


@pytest.mark.parametrize("make", [MAKE["VAE"], lambda: PretrainedClassifier((4,), pretraining="none", max_epochs=1)])
def test_a_loss_that_was_not_finite_is_told(make):
    model = make().fit(real_table(), np.arange(120) % 2)
    model.history_ = [{"loss": 1.0}, {"loss": None}]
    assert model._facts()["training loss"] == "not finite"
    assert "not finite" in model._repr_html_()
    model.history_ = []
    assert "training loss" not in model._facts()


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_curve_is_in_the_page_from_two_epochs_on(epochs):
    page = MAKE["VAE"](max_epochs=epochs).fit(real_table())._repr_html_()
    assert page.count("<polyline") == (epochs > 1)
