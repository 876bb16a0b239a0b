"""Reading data: what comes out, and what is refused with which words."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data import DataSet, load_data
from isthmus.data.split import random_split, recorded_split

RNG = np.random.default_rng(0)
X = RNG.standard_normal((10, 3))


def npz(path: Path, **members) -> str:
    np.savez(path, **members)
    return str(path)


def rows(data: DataSet) -> np.ndarray:
    return data.part("all")[0]


def test_digits_are_images_in_the_unit_interval():
    data = load_data("digits")
    assert data.feature_shape == (8, 8)
    assert data.x_train.dtype == np.float32
    assert (rows(data).min(), rows(data).max()) == (0.0, 1.0)
    assert set(data.y_test.tolist()) == set(range(10))
    assert data.split == {
        "validation": "random", "test": "random", "seed": 0, "validation_fraction": 0.1, "test_fraction": 0.2,
    }  # fmt: skip


def test_digits_split_loses_and_repeats_nothing():
    from sklearn.datasets import load_digits

    images = load_digits()["images"] / 16
    data = load_data("digits")
    assert len(data.x_train) + len(data.x_valid) + len(data.x_test) == len(images)
    assert sorted(map(bytes, rows(data))) == sorted(map(bytes, images.astype(np.float32)))


def test_labels_travel_with_their_rows(tmp_path):
    x = np.arange(40.0).reshape(20, 2)
    data = load_data(npz(tmp_path / "a.npz", x=x, y=x[:, 0].astype(int)))
    assert (data.x_train[:, 0] == data.y_train).all()
    assert (data.x_valid[:, 0] == data.y_valid).all()
    assert (data.x_test[:, 0] == data.y_test).all()


fractions = st.sampled_from([0.0, 0.001, 0.1, 0.2, 0.5, 0.99])


@given(st.integers(2, 500), st.integers(0, 2**32), fractions, fractions)
@settings(max_examples=100, deadline=None)
def test_split_is_a_partition_and_a_function_of_its_seed(n, seed, validation, test):
    parts = random_split(n, seed, "x", validation, test)
    assert sorted(np.concatenate(parts)) == list(range(n))
    assert len(parts[0]) > 0
    assert len(parts[2]) == (min(max(1, round(n * test)), n - 1) if test else 0)
    assert validation or len(parts[1]) == 0
    again = random_split(n, seed, "x", validation, test)
    assert all(map(np.array_equal, parts, again))
    assert np.array_equal(parts[2], random_split(n, seed, "x", 0.0, test)[2])  # the test part is the same


def test_a_recorded_split_is_had_again():
    first = load_data("digits", seed=3, validation_fraction=0.3, test_fraction=0.1)
    again = load_data("digits", **recorded_split(first.split))
    assert all(np.array_equal(first.part(part)[0], again.part(part)[0]) for part in ("train", "validation", "test"))
    assert again.split == first.split
    whole = load_data("digits", validation_fraction=0, test_fraction=0)
    assert (whole.split, len(whole.x_train)) == ({"validation": "none", "test": "none"}, 1797)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_fractions_are_fractions(fraction):
    with pytest.raises(ValueError, match=r"validation_fraction in \[0, 1\)"):
        load_data("digits", validation_fraction=fraction)
    with pytest.raises(ValueError, match=r"test_fraction in \[0, 1\)"):
        load_data("digits", test_fraction=fraction)


def test_another_seed_is_another_split():
    first, second = load_data("digits", seed=1), load_data("digits", seed=2)
    assert not np.array_equal(first.x_test, second.x_test)
    assert np.array_equal(first.x_test, load_data("digits", seed=1).x_test)


def test_mnist_keeps_its_pixels_and_its_split():
    folder = Path(os.environ.get("ISTHMUS_DATA", ""))
    if not (folder / "mnist.npz").is_file():
        pytest.skip("needs mnist.npz in $ISTHMUS_DATA")
    data = load_data("mnist", seed=None)
    assert data.x_train.shape == (60_000, 28, 28)
    assert data.x_test.shape == (10_000, 28, 28)
    assert data.x_train.dtype == np.uint8
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert abs(data.x_train.mean() / 255 - 0.13066) < 1e-5
    assert data.split == {"validation": "none", "test": "own"}


def test_npy_round_trip(tmp_path):
    np.save(tmp_path / "a.npy", X)
    data = load_data(str(tmp_path / "a.npy"))
    assert sorted(map(bytes, rows(data))) == sorted(map(bytes, X))
    assert (data.name, data.y_train, data.y_test) == ("a", None, None)


@pytest.mark.parametrize(
    ("given_dtype", "read_dtype"),
    [
        ("u1", "u1"),
        ("?", "f4"),
        ("i2", "f4"),
        ("i8", "f8"),
        ("f2", "f4"),
        ("f4", "f4"),
        ("f8", "f8"),
        (">f4", "f4"),
    ],
)
def test_dtypes_are_kept_or_widened(given_dtype, read_dtype, tmp_path):
    x = np.arange(20).reshape(10, 2).astype(given_dtype)
    np.save(tmp_path / "a.npy", x)
    got = rows(load_data(str(tmp_path / "a.npy")))
    assert got.dtype == np.dtype(read_dtype)
    assert sorted(got[:, 0].tolist()) == sorted(x[:, 0].astype(float).tolist())


@pytest.mark.parametrize("name", ["x", "X", "data", "x_train"])
def test_npz_members_by_any_of_their_names(name, tmp_path):
    data = load_data(npz(tmp_path / "a.npz", **{name: X}))
    assert len(rows(data)) == 10


def test_npz_own_split_is_kept(tmp_path):
    x = np.arange(16.0).reshape(8, 2)
    path = npz(tmp_path / "a.npz", x_train=x[:5], y_train=np.arange(5), x_test=x[5:], y_test=np.arange(3))
    data = load_data(path, validation_fraction=0)
    assert np.array_equal(data.x_train, x[:5])
    assert np.array_equal(data.x_test, x[5:])
    assert data.y_test.tolist() == [0, 1, 2]
    assert data.split["test"] == "own"


NAN = np.where(np.arange(30).reshape(10, 3) == 7, np.nan, X)
INFINITE = np.where(np.arange(30).reshape(10, 3) == 5, np.inf, X)
MESSAGES = [
    ({"counts": X, "genes": X}, r"member x, X, data or x_train .* got counts, genes"),
    ({"x": NAN}, "got nan in row 2, column 1"),
    ({"x": INFINITE}, "got inf in row 1, column 2"),
    ({"x": np.stack((X, NAN, X))[:, :, :, None, None]}, r"got shape \(3, 10, 3, 1, 1\)"),
    ({"x": X[:, 0]}, r"reshape\(-1, 1\)"),
    ({"x": X[:0]}, "at least one example"),
    ({"x": X[:, :0]}, "at least one feature"),
    ({"x": X[:1]}, "at least 2 examples"),
    ({"x": X + 1j}, "got dtype complex128"),
    ({"x": np.array([["a"], ["b"]])}, "got dtype <U1"),
    ({"x": np.array([[None], [1]], dtype=object)}, "pickled Python objects"),
    ({"x": np.zeros((9, 5, 6, 3))}, r"channels last; use x.transpose\(0, 3, 1, 2\)"),
    ({"x": X, "y": np.arange(9)}, r"one label for each of the 10 examples .* got shape \(9,\)"),
    ({"x": X, "y": np.full(10, np.nan)}, "finite labels .* got nan in row 0"),
    ({"x_train": X, "x_test": X[:, :2]}, r"got \(2,\) for \(3,\)"),
    (
        {"x_train": X, "x_test": np.zeros((2, 3), np.uint8)},
        "in the same units as those for training, got uint8 for float64",
    ),
]


@pytest.mark.parametrize(("members", "message"), MESSAGES)
def test_refusals_say_what_is_wrong(members, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_data(npz(tmp_path / "a.npz", **members))


def test_a_column_of_large_numbers_is_not_taken_for_infinite(tmp_path):
    data = load_data(npz(tmp_path / "a.npz", x=np.full((10, 3), 1e308)))
    assert (rows(data) == 1e308).all()


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("keep", [0, 3, 60, 200, -30])
def test_truncated_files_are_refused(suffix, keep, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, X) if suffix == "npy" else np.savez_compressed(buffer, x=X)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(buffer.getvalue()[:keep])
    with pytest.raises(ValueError, match="truncated or foreign"):
        load_data(str(path))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@given(st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_foreign_bytes_are_refused_and_nothing_else_is_raised(tmp_path_factory, suffix, content):
    path = tmp_path_factory.mktemp("foreign") / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Expected"):
        load_data(str(path))


def test_damage_inside_an_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=X)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="member x"):
        load_data(str(path))


def test_the_wrong_suffix_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=X)
    np.save(tmp_path / "b.npy", X)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"rename it to .npz"):
        load_data(str(tmp_path / "a.npy"))
    with pytest.raises(ValueError, match=r"rename it to .npy"):
        load_data(str(tmp_path / "b.npz"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", r"Expected a name \(digits, mnist, .*\), .*or a file ending in \.npy, \.npz, \.csv"),
        ("nowhere.npy", "no such file"),
        ("a.xlsx", "Expected a name"),
    ],
)
def test_unknown_sources_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        load_data(source)


def test_a_label_needs_a_table(tmp_path):
    np.save(tmp_path / "a.npy", X)
    for source in ("digits", str(tmp_path / "a.npy")):
        with pytest.raises(ValueError, match="got label; leave that out"):
            load_data(source, label="y")


def test_options_are_those_of_the_reader():
    with pytest.raises(TypeError, match="no such option for the set digits, got size"):
        load_data("digits", size=3)


def test_arrays_tensors_and_pairs_are_data():
    import torch

    y = np.arange(10)
    for source in (X, X.tolist(), torch.tensor(X), (X, y), (torch.tensor(X), torch.tensor(y))):
        data = load_data(source)
        assert sorted(map(bytes, rows(data))) == sorted(map(bytes, X))
        labels = data.part("all")[1]
        assert labels is None or np.array_equal(np.sort(labels), y)
    assert load_data((X, y), seed=None).y_train.tolist() == y.tolist()
    assert rows(load_data(torch.tensor(X).bfloat16())).dtype == np.float32


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (None, TypeError, "got NoneType"),
        ({"x": [1.0]}, TypeError, "got dict"),
        (3.0, TypeError, "got float"),
        ([[1.0], [1.0, 2.0]], ValueError, "rows of one length"),
        ([["a"], ["b"]], ValueError, "Expected numbers"),
        ((X, [1, 2]), ValueError, "one label for each"),
    ],
)
def test_what_is_no_data_is_refused(source, error, message):
    with pytest.raises(error, match=message):
        load_data(source)


def test_reading_data_needs_no_torch():
    code = "import sys, isthmus.data as d; d.load_data('digits'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
