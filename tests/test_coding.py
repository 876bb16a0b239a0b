"""Codes as compressed data: the quantiser's error, the coder's length, round trips, what files cost and keep."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from estimator_cases import every_estimator, pixel_images, real_table
from isthmus import PCA, ConditionalVAE, load
from isthmus.coding import (
    Quantiser,
    compress_codes,
    decompress_codes,
    empirical_entropy,
    entropy,
    open_codes,
    write_codes,
)
from isthmus.coding.container import write_container
from isthmus.coding.entropy import LevelModel, decode_levels, encode_levels, regrouped, segments
from isthmus.data import Shards

BITS = pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 11, 13, 16])
RANGES = pytest.mark.parametrize("ranges", ["each", "shared"])


def compressed(codes: np.ndarray, bits: int, ranges: str = "each") -> bytes:
    file = io.BytesIO()
    write_container(file, lambda: [codes], bits, ranges)
    return file.getvalue()


def normal(n_rows: int, n_components: int, seed: int = 0) -> np.ndarray:
    """Codes of unlike scales."""
    scales = np.linspace(0.2, 3.0, n_components)
    return np.random.default_rng(seed).normal(size=(n_rows, n_components)) * scales


# --- the quantiser ----------------------------------------------------------------------------


def numbers(dtype):
    """Any finite numbers, zeros and extremes among them."""
    shapes = st.tuples(st.integers(1, 12), st.integers(1, 4))
    width = np.dtype(dtype).itemsize * 8
    return arrays.arrays(
        dtype, shapes, elements=st.floats(width=width, allow_nan=False, allow_infinity=False), fill=st.nothing()
    )


@settings(max_examples=300, deadline=None)
@given(
    codes=st.one_of(numbers(np.float64), numbers(np.float32)),
    bits=st.integers(1, 16),
    ranges=st.sampled_from(["each", "shared"]),
)
@example(np.array([[-1.7976931348623157e308], [1.7976931348623157e308]]), 1, "each")
@example(np.array([[0.0, 5e-324], [1e-310, 1.0]]), 16, "shared")
@example(np.array([[-4.2679925], [4.3086367]]), 4, "each")
def test_the_error_is_at_most_half_a_step(codes, bits, ranges):
    quantiser = Quantiser.of([codes], bits, ranges)
    levels = quantiser.levels(codes)
    values = quantiser.values(levels)
    assert values.dtype == codes.dtype
    assert np.isfinite(values).all()
    assert ((levels >= 0) & (levels <= quantiser.n_levels)).all()
    assert (quantiser.n_levels <= 2**bits).all()
    limits = np.finfo(codes.dtype)
    # In float64, M the largest |code|: a middle is off by three roundings and its centre's (1.5 eps M), and a code next
    # to a border may be put into the neighbouring cell by those of its level (2.5 eps M).
    relative = max(4 * np.finfo(np.float64).eps, limits.eps)
    rounding = relative * np.abs(codes.astype(np.longdouble)).max(axis=0) + limits.smallest_subnormal
    error = np.abs(codes.astype(np.longdouble) - values)
    assert (error <= quantiser.step.astype(np.longdouble) / 2 + rounding).all()
    assert (values[codes == 0] == 0).all()
    constant = codes.min(axis=0) == codes.max(axis=0)
    if ranges == "each":
        np.testing.assert_array_equal(values[:, constant], codes[:, constant])


@RANGES
def test_a_bit_more_halves_the_step_and_lowers_the_error(ranges, digits):
    codes = PCA(6).fit(digits).transform(digits)
    steps, errors = [], []
    for bits in range(1, 17):
        quantiser = Quantiser.of([codes], bits, ranges)
        steps.append(quantiser.step)
        errors.append(np.square(codes.astype(np.float64) - quantiser.values(quantiser.levels(codes))).sum(axis=0))
    np.testing.assert_allclose(np.array(steps[:-1]), 2 * np.array(steps[1:]), rtol=1e-12)
    totals = np.sum(errors, axis=1)
    assert (np.diff(totals) < 0).all()
    # A uniform error has variance step^2 / 12, which fine steps come close to.
    np.testing.assert_allclose(errors[7] / len(codes), steps[7] ** 2 / 12, rtol=0.1)


def test_a_shared_step_is_the_widest_one_s():
    codes = normal(1000, 4)
    each, shared = (Quantiser.of([codes], 6, ranges) for ranges in ("each", "shared"))
    assert (shared.step == each.step.max()).all()
    np.testing.assert_array_equal(each.n_levels, [64] * 4)
    assert shared.n_levels[-1] == 64 > shared.n_levels[0] >= 64 * each.step[0] / each.step[-1]


@pytest.mark.parametrize("bits", [0, 17, -1, 2.0, True, "8"])
def test_bits_are_checked(bits):
    with pytest.raises(ValueError, match="Expected bits from 1 to 16"):
        Quantiser.of([normal(5, 2)], bits)


@pytest.mark.parametrize("codes", [[[np.nan]], [[1.0], [np.inf]]])
def test_codes_must_be_finite(codes):
    with pytest.raises(ValueError, match="Expected finite codes"):
        compressed(np.array(codes), 4)


# --- the coder --------------------------------------------------------------------------------


def test_probabilities_are_those_of_the_tree_s_prior():
    """Two cells: the rule of succession. And whatever the order, rows together have one probability."""
    model = LevelModel(np.array([2]))
    for side in (1, 1, 2, 1):
        model.update(np.array([[side]]))
    np.testing.assert_allclose(next(model.probabilities()), [0.5 / 5, 0.9 * 4 / 6, 0.9 * 2 / 6])
    rows = np.array([1, 5, 5, 8, 2, 5, 1, 0, 7, 0])
    together = []
    for order in (rows, rows[::-1], np.sort(rows)):
        model, probability = LevelModel(np.array([8])), 1.0
        for level in order:
            each = next(model.probabilities())
            np.testing.assert_allclose(each.sum(), 1)
            probability *= each[level]
            model.update(np.array([[level]]))
        together.append(probability)
    np.testing.assert_allclose(together, together[0], rtol=1e-12)


@pytest.mark.parametrize("n_levels", [[256, 256, 3, 1], [65536, 5000, 1, 2]])
def test_levels_take_the_bits_that_their_probabilities_say(n_levels):
    generator, widths = np.random.default_rng(0), np.array(n_levels)
    centred = generator.beta(4, 4, (4000, len(widths)))
    levels = np.where(generator.random(centred.shape) < 0.1, 0, 1 + (widths * centred)).astype(np.int32)
    expected, model = 0.0, LevelModel(widths)
    for rows in regrouped([levels], segments(*levels.shape)):
        symbols = model.symbols(rows)
        for column, probability in zip(symbols.T, model.probabilities(), strict=True):
            expected -= np.log2(probability[column] / probability.sum()).sum()
            expected += model.shift * (column > 0).sum()
        model.update(symbols)
    pieces = b"".join(encode_levels([levels], len(levels), widths))
    assert expected - 64 < 8 * len(pieces) < 1.003 * expected + 128
    source = io.BytesIO(pieces)
    np.testing.assert_array_equal(np.concatenate(list(decode_levels(source.read, len(levels), widths))), levels)


@pytest.mark.parametrize("bits", range(1, 9))
@RANGES
def test_files_are_within_a_percent_of_the_entropy(bits, ranges):
    """Of the levels' own frequencies, which a decoder does not know; the header and the ranges come on top."""
    codes = normal(20_000, 4).astype(np.float32)
    codes[:, 1] = np.where(codes[:, 2] > 0, 1, -1) + 0.1 * codes[:, 1]  # two clusters
    quantiser = Quantiser.of([codes], bits, ranges)
    entropy_bytes = empirical_entropy(quantiser.levels(codes)) / 8
    header = 250 + 2 * codes[0].nbytes
    assert len(compressed(codes, bits, ranges)) < 1.01 * entropy_bytes + header


def test_zeros_cost_next_to_nothing():
    codes = normal(10_000, 8)
    few = np.zeros_like(codes)
    few[:, 3] = codes[:, 3]
    assert len(compressed(few, 8)) < len(compressed(codes[:, 3:4], 8)) + 7 * (2 * 8 + 3)
    sparse = np.where(np.random.default_rng(0).random(codes.shape) < 0.05, codes, 0)
    data = compressed(sparse, 4)
    assert len(data) < 1.02 * empirical_entropy(Quantiser.of([sparse], 4).levels(sparse)) / 8 + 400
    decoded = open_codes(data).read()
    np.testing.assert_array_equal(decoded == 0, sparse == 0)


@BITS
@RANGES
@pytest.mark.parametrize("n_rows", [1, 2, 9, 300])
def test_files_decode_to_the_quantised_codes(bits, ranges, n_rows):
    codes = normal(n_rows, 5).astype(np.float32)
    codes[:, 1] = 3.25  # constant
    codes[:, 2] = 0
    codes[0, 3], codes[-1, 4] = -3e38, 3e38
    quantiser = Quantiser.of([codes], bits, ranges)
    opened = open_codes(compressed(codes, bits, ranges))
    assert opened.shape == codes.shape
    np.testing.assert_array_equal(np.concatenate(list(opened.level_blocks())), quantiser.levels(codes))
    decoded = opened.read()
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, quantiser.values(quantiser.levels(codes)))
    np.testing.assert_array_equal(decoded[:, 2], 0)


@settings(max_examples=50, deadline=None)
@given(
    codes=st.one_of(numbers(np.float64), numbers(np.float32)),
    bits=st.sampled_from([1, 2, 5, 8, 13]),
    ranges=st.sampled_from(["each", "shared"]),
)
def test_any_codes_go_through_a_file(codes, bits, ranges):
    quantiser = Quantiser.of([codes], bits, ranges)
    decoded = open_codes(compressed(codes, bits, ranges)).read()
    np.testing.assert_array_equal(decoded, quantiser.values(quantiser.levels(codes)))


def test_blocks_and_pieces_do_not_matter(monkeypatch):
    codes = normal(3000, 3)
    whole = compressed(codes, 13)
    file = io.BytesIO()
    assert write_container(file, lambda: np.array_split(codes, 7), 13) == (3000, len(whole))
    assert file.getvalue() == whole
    decoded = open_codes(whole).read()
    monkeypatch.setattr(entropy, "PIECE_WORDS", 50)  # many pieces, and
    monkeypatch.setattr(entropy, "SEGMENT_LEVELS", 100)  # many segments
    pieces = compressed(codes, 13)
    assert len(pieces) > len(whole)
    np.testing.assert_array_equal(open_codes(pieces).read(), decoded)


def test_regrouped_rows_are_the_same_rows():
    blocks = np.array_split(np.arange(20)[:, None], [3, 3, 11])
    groups = list(regrouped(blocks, [1, 5, 6, 100, 2]))
    assert [len(group) for group in groups] == [1, 5, 6, 8]
    np.testing.assert_array_equal(np.concatenate(groups)[:, 0], np.arange(20))
    assert list(segments(20, 1)) == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 2]


# --- estimators -------------------------------------------------------------------------------


@every_estimator
def test_every_estimator_s_codes_are_compressed_data(make, tmp_path):
    images = pixel_images()
    model = make(4).fit(images)
    codes = model.transform(images)
    n_rows, n_bytes = write_codes(tmp_path / "codes.isth", model, images, 12)
    assert (n_rows, n_bytes) == (len(images), (tmp_path / "codes.isth").stat().st_size)
    assert (tmp_path / "codes.isth").read_bytes() == compress_codes(model, images, 12)
    opened = open_codes(tmp_path / "codes.isth")
    assert (np.abs(opened.read() - codes) <= opened.quantiser.step / 2 + 1e-6 * np.abs(codes).max()).all()
    again = load(model.save(tmp_path / "model"))
    rows = decompress_codes(again, tmp_path / "codes.isth")
    np.testing.assert_allclose(rows, model.inverse_transform(opened.read()), rtol=1e-6)
    with pytest.raises(ValueError, match="got those of another model"):
        decompress_codes(make(4).fit(images[:50]), tmp_path / "codes.isth")


def test_codes_of_another_model_are_refused_and_a_prior_is_no_other_model():
    images = pixel_images()
    model = PCA(3).fit(images)
    data = compress_codes(model, images, 6)
    other = PCA(3).fit(images[:50])
    with pytest.raises(ValueError, match="Expected codes of this PCA, got those of another model"):
        decompress_codes(other, data)
    assert PCA(3).fit(images).fingerprint() == model.fingerprint() != other.fingerprint()


def test_conditions_are_told_at_both_ends(digits):
    labels = np.arange(len(digits)) % 3
    model = ConditionalVAE(2, hidden=(8,), max_epochs=1, random_state=0).fit(digits, labels)
    data = compress_codes(model, digits, 10, conditions=labels)
    rows = decompress_codes(model, data, conditions=labels)
    np.testing.assert_allclose(rows, model.inverse_transform(open_codes(data).read(), labels), rtol=1e-5)
    with pytest.raises(ValueError, match="conditions"):
        decompress_codes(model, data)


def test_shards_are_compressed_block_by_block(tmp_path, monkeypatch):
    from isthmus.estimators import blocks

    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 6 * 256)
    table = real_table(2000).astype(np.float32)
    model = PCA(3).fit(table)
    shards = Shards([table[:700], table[700:]])
    assert compress_codes(model, shards, 7) == compress_codes(model, table, 7)
    rows = decompress_codes(model, compress_codes(model, shards, 16))
    np.testing.assert_allclose(rows, model.reconstruct(table), atol=1e-3)


def test_without_the_coder_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "constriction", None)
    images = pixel_images()
    with pytest.raises(ValueError, match=r"pip install 'isthmus\[coding\]'"):
        write_codes(tmp_path / "codes.isth", PCA(2).fit(images), images)
    assert list(tmp_path.iterdir()) == []
