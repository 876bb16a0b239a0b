"""The lectures' listings as a table: their networks, and the sheet that shows them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from isthmus.data import load_data
from isthmus.objectives import Reconstruction
from isthmus.reproduce import Job, Results, find_table
from isthmus.reproduce.data import unit
from isthmus.reproduce.listing import KeepLargest, Listing
from isthmus.reproduce.sheet import sheet
from isthmus.reproduce.tables.listings import _AveragedVAE, _infinite_starts


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


def a_job(data, folder, **settings) -> Job:
    return Job({"max_epochs": 30, "batch_size": 100, "learning_rate": 1e-2} | settings, 0, data, folder)


def test_a_listing_learns_in_its_ranges_and_is_the_same_again(data, tmp_path):
    x = unit(data.x_train)
    made = [Listing(a_job(data, tmp_path / str(i), n_components=64), x, nn.ReLU(), Reconstruction()) for i in range(2)]
    rebuilt = made[0].reconstruct(x)
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 1
    assert made[0].transform(x).min() == 0
    assert ((rebuilt - x) ** 2).sum(axis=1).mean() < 0.25 * x.var(axis=0).sum()
    np.testing.assert_array_equal(rebuilt, made[1].reconstruct(x))


def test_a_listing_is_trained_on_squared_error(data, tmp_path):
    """One step on it by hand is the same step."""
    x = unit(data.x_train)[:100]
    job = a_job(data, tmp_path, n_components=16, max_epochs=1)
    trained = Listing(job, x, nn.ReLU(), Reconstruction())
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(64, 16), nn.Linear(16, 64)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    rows = torch.from_numpy(x)
    (0.5 * (torch.sigmoid(decoder(encoder(rows).relu())) - rows).square().sum(dim=1).mean()).backward()
    optimiser.step()
    for ours, plain in zip(trained.model.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)


def test_the_largest_are_kept_as_they_are():
    h = torch.tensor([[3.0, -1.0, 2.0], [-3.0, -1.0, -2.0]])
    torch.testing.assert_close(KeepLargest(1)(h), torch.tensor([[3.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))


def test_starts_are_infinite_where_units_are_many_and_rows_few(data, tmp_path):
    assert _infinite_starts(a_job(data, tmp_path, n_components=128, n_starts=5)) == 100
    assert _infinite_starts(a_job(data, tmp_path, n_components=1, n_starts=50, batch_size=1000)) < 100


def test_an_averaged_cross_entropy_weighs_the_rate_by_the_number_of_pixels(data):
    model = _AveragedVAE(2, hidden=(), max_epochs=1).fit(unit(data.x_train))
    assert model._objective().beta == 64


def test_a_sheet_has_every_tile_pixel_by_pixel():
    colours = [(20, 99, 176), (224, 123, 18), (15, 143, 126)]
    tiles = np.stack([np.full((20, 30, 3), colour, np.uint8) for colour in colours])
    picture = sheet({"One": {("a", "words"): tiles}, "Two": {("b", ""): tiles[:2], ("c", ""): tiles[:1]}})
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    for colour, n_tiles in zip(colours, (3, 2, 1), strict=True):
        assert (pixels == colour).all(axis=2).sum() == n_tiles * 20 * 30


def test_without_images_there_is_no_sheet():
    table = find_table("listings")
    assert table.chart(Results(table, [])) is None
