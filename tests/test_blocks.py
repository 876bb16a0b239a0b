"""Blocks that hide a part of each image: their shape, their place, their area."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.corruption import Blocks


def blocks(fraction, shape, n=4000, value=0.0):
    """Which pixels of n images are hidden."""
    torch.manual_seed(0)
    corrupted, hidden = Blocks(shape, fraction, value).draw(torch.full((n, int(np.prod(shape))), 0.5))
    assert torch.equal(corrupted, torch.where(hidden, value, 0.5))
    return hidden.reshape(n, *shape).numpy()


def test_a_block_is_one_rectangle_in_all_channels():
    hidden = blocks(0.3, (3, 8, 6), value=0.25)
    assert (hidden == hidden[:, :1]).all()
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert (hidden[:, 0] == rows[:, :, None] & columns[:, None, :]).all()
    for side in (rows, columns):  # without a gap: it is entered once
        entered = np.diff(np.pad(side, ((0, 0), (1, 0))).astype(int), axis=1) == 1
        assert (entered.sum(1) <= 1).all()
        assert side.any(0).all()  # every place is reached


def expected_area(fraction, height, width, n=4000):
    """Mean share of hidden pixels, by quadrature over shape and place."""
    grid = (np.arange(n) + 0.5) / n

    def mean_side(length, share):
        start = grid * length * (1 - share)
        centres = np.arange(length)[:, None] + 0.5
        return ((centres >= start) & (centres < start + share * length)).sum(0).mean()

    shapes = (np.arange(200) + 0.5) / 200
    sides = [mean_side(height, fraction**t) * mean_side(width, fraction ** (1 - t)) for t in shapes]
    return np.mean(sides) / (height * width)


@pytest.mark.parametrize(("fraction", "shape"), [(0.3, (1, 8, 8)), (0.1, (1, 28, 20)), (0.6, (1, 5, 9))])
def test_blocks_hide_their_share_of_the_image(fraction, shape):
    shares = blocks(fraction, shape).reshape(4000, -1).mean(1)
    error = shares.std() / 4000**0.5
    assert shares.mean() == pytest.approx(expected_area(fraction, *shape[1:]), abs=5 * error)


def test_a_block_of_many_pixels_has_its_area():
    shares = blocks(0.2, (1, 100, 80)).reshape(4000, -1).mean(1)
    np.testing.assert_allclose(shares, 0.2, atol=0.02)  # each of them, but for whole pixels at the edges
    assert shares.mean() == pytest.approx(0.2, abs=0.001)


def test_blocks_have_sides_of_many_proportions():
    hidden = blocks(0.25, (1, 16, 16))[:, 0]
    heights, widths = hidden.any(2).sum(1), hidden.any(1).sum(1)
    # t = 0 and 1 are stripes across the image, 4 of 16 pixels wide: no side is shorter, none longer.
    assert (heights.min(), heights.max(), widths.min(), widths.max()) == (4, 16, 4, 16)
    logarithm = np.log(heights / widths)  # uniform in log 4 * [-1, 1]
    assert logarithm.mean() == pytest.approx(0, abs=5 * logarithm.std() / 4000**0.5)
    assert logarithm.std() == pytest.approx(2 * np.log(4) / 12**0.5, rel=0.05)


def test_blocks_of_what_is_no_image_are_refused():
    with pytest.raises(ValueError, match="Expected a shape of channels, height and width"):
        Blocks((8, 8))
    with pytest.raises(ValueError, match="Expected rows of 1 x 8 x 8 pixels, got 30"):
        Blocks((1, 8, 8))(torch.zeros(2, 30))
