"""Shards: what is read is what is there, wherever it lies; statistics, parts, and what can't be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.data import Shards, load_data, split_data
from isthmus.data.convert import write_shards
from isthmus.data.dataset import make_data_set
from isthmus.files import reading_only, write_json

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(1003, 3, 4)).astype(np.float32)


class Sliced:
    """A dataset that knows slices and nothing else, as h5py's and zarr's."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.shape, self.dtype = rows, rows.shape, rows.dtype

    def __getitem__(self, index: slice) -> np.ndarray:
        return self.rows[index.start : index.stop]


def in_file(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    return tmp_path / "rows.npy"


def in_folder(rows, tmp_path):
    for i, piece in enumerate(np.array_split(rows, 5)):
        np.save(tmp_path / f"{i:03}.npy", piece)
    return tmp_path


def in_map(rows, tmp_path):
    return np.load(in_file(rows, tmp_path), mmap_mode="r")


def in_all(rows, tmp_path):
    first, second, third = rows[:10], rows[10:700], rows[700:]
    return [first, Sliced(second), in_map(third, tmp_path)]


places = pytest.mark.parametrize(
    "put", [in_file, in_folder, in_map, in_all, lambda rows, _: Sliced(rows), lambda rows, _: rows],
    ids=["file", "folder", "map", "list", "sliced", "array"],
)  # fmt: skip


@places
def test_rows_are_those_that_are_there(put, tmp_path):
    shards = Shards(put(ROWS, tmp_path), buffer_bytes=2**14)
    assert (shards.shape, shards.dtype, shards.ndim, len(shards)) == (ROWS.shape, ROWS.dtype, 3, len(ROWS))
    np.testing.assert_array_equal(np.asarray(shards), ROWS)
    np.testing.assert_array_equal(np.concatenate(list(shards.blocks())), ROWS)
    np.testing.assert_array_equal(np.stack(list(shards)), ROWS)
    chosen = RANDOM.integers(-len(ROWS), len(ROWS), 200)
    mask = RANDOM.random(len(ROWS)) < 0.3
    for index in (
        slice(0, 0),
        slice(9, 11),
        slice(690, 1003),
        slice(-5, None),
        slice(3, 990, 7),
        5,
        -1,
        chosen,
        mask,
        [],
    ):
        np.testing.assert_array_equal(shards[index], ROWS[index])
    assert (shards.min(), shards.max()) == (ROWS.min(), ROWS.max())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool", "float16", "float32", "float64", ">f4", ">f8"])
def test_numbers_are_read_as_those_of_arrays_in_memory(dtype, tmp_path):
    rows = (50 * RANDOM.random((40, 5))).astype(dtype)
    expected = make_data_set("rows", (rows, None)).x_train
    shards = Shards(in_file(rows, tmp_path))
    assert shards.dtype == expected.dtype
    np.testing.assert_array_equal(shards[:], expected)


def test_a_map_to_which_its_owner_wrote_is_read_as_it_is(tmp_path):
    copied = np.load(in_file(ROWS, tmp_path), mmap_mode="c")
    copied[7] = 5.0  # in memory alone: giving its pages back would lose this
    shards = Shards(copied)
    assert shards.max() == 5.0
    assert (shards[7] == 5.0).all()
    assert (copied[7] == 5.0).all()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([ROWS, ROWS[:, :2]], r"Expected rows of shape \(3, 4\) and float32 .* got \(2, 4\)"),
        ([ROWS, ROWS.astype(float)], "got .* and float64 in part 1"),
        ([], "at least one row"),
        (ROWS[:0], "at least one row"),
        (ROWS[:, 0, 0], "Expected examples"),
        (np.array([["a", "b"]]), "Expected numbers"),
        (np.array([[object()]]), "Expected numbers"),
    ],
)
def test_what_are_no_rows_is_refused(parts, words):
    with pytest.raises(ValueError, match=words):
        Shards(parts)


def test_of_several_processes_one_writes_shards(tmp_path):
    with reading_only():
        assert write_shards([ROWS], tmp_path / "rows")["rows"] == 1003
    assert list(tmp_path.iterdir()) == []
    write_shards([ROWS], tmp_path / "rows")
    with reading_only():  # slower than the one that writes
        write_shards([ROWS], tmp_path / "rows")
    assert len(load_data(tmp_path / "rows", seed=None).x_train) == 1003


def test_arrays_of_other_libraries_are_refused_where_numpy_does_not_know_their_numbers():
    with pytest.raises(TypeError, match="use its method numpy"):
        Shards(torch.zeros(3, 2))


@pytest.mark.parametrize("parts", [5, None, {"x": 1}, [3]])
def test_what_is_no_data_is_refused(parts):
    with pytest.raises(TypeError, match="Expected a path or an array"):
        Shards(parts)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected \.npy files"):
        Shards(tmp_path)
    np.save(tmp_path / "columns.npy", np.asfortranarray(ROWS))
    with pytest.raises(ValueError, match="Fortran order"):
        Shards(tmp_path / "columns.npy")
    np.save(tmp_path / "objects.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled Python objects"):
        Shards(tmp_path / "objects.npy")
    path = in_file(ROWS, tmp_path)
    shards, whole = Shards(path), path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="cut short"):
        shards[-1]
    with pytest.raises(ValueError, match="truncated or foreign"):
        Shards(path)


def test_rows_that_are_not_there_are_refused():
    shards = Shards(ROWS)
    for index in (1003, -1004, [0, 1003], "a", 0.5, [[1]], (0, 1)):
        with pytest.raises(IndexError):
            shards[index]


# --- statistics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_are_those_of_all_rows(offset, weighted):
    rows = RANDOM.normal(size=(3000, 6)) * 10.0 ** np.arange(-2, 4) + offset
    rows[:, 0] = 0.1 + offset
    weight = RANDOM.random(3000) * (RANDOM.random(3000) < 0.5) if weighted else None
    found = Shards(rows, buffer_bytes=9000).statistics(weight)
    centred = rows - offset
    mean = np.average(centred, axis=0, weights=weight)
    variance = np.average((centred - mean) ** 2, axis=0, weights=weight)
    np.testing.assert_allclose(found.mean - offset, mean, rtol=1e-12, atol=1e-15 * max(1, offset))
    np.testing.assert_allclose(found.variance[1:], variance[1:], rtol=1e-10)
    assert found.variance[0] == 0  # exactly: such a column has no scale
    assert (found.minimum, found.maximum) == (rows.min(), rows.max())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named(tmp_path, bad):
    rows = ROWS.copy()
    rows[777, 1, 2] = bad
    shards = Shards([ROWS[:100], in_file(rows, tmp_path)], buffer_bytes=2**14)
    with pytest.raises(ValueError, match=rf"got {bad} in row 777 of rows.npy, position \(1, 2\)"):
        shards.statistics()


# --- parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fractions", [(0.2,), (0.2, 0.08), (0.0, 0.5)])
def test_drawn_parts_are_all_rows_once(fractions, tmp_path):
    shards = Shards(in_all(ROWS, tmp_path), buffer_bytes=2**14)
    parts = shards.draw(3, *fractions)
    assert parts == shards.draw(3, *fractions)
    assert parts != shards.draw(4, *fractions)
    numbers = [np.concatenate([[], *(np.arange(*one) for one in ranges)]).astype(int) for ranges in parts]
    assert sorted(np.concatenate(numbers)) == list(range(len(ROWS)))
    for ranges, chosen in zip(parts, numbers, strict=True):
        np.testing.assert_array_equal(np.asarray(shards.part(ranges)), ROWS[chosen])
    for chosen, fraction in zip(numbers, fractions, strict=False):
        assert chosen.size * 48 <= shards.buffer_bytes
        assert abs(chosen.size - min(fraction * 1003, shards.buffer_bytes / 48)) <= 11
    again = shards.part(parts[-1]).part([(5, 90), (200, 333)])
    np.testing.assert_array_equal(again[:], ROWS[numbers[-1]][np.r_[5:90, 200:333]])


def test_a_large_file_is_left_where_it_is_and_divided_by_blocks(tmp_path):
    path = in_file(ROWS, tmp_path)
    data = load_data(path, buffer_bytes=2**14)
    assert isinstance(data.x_train, Shards)
    assert data.split["block_rows"] == 10
    assert {name: data.split[name] for name in ("validation", "test", "seed")} == {
        "validation": "random", "test": "random", "seed": 0,
    }  # fmt: skip
    assert "by blocks, seed 0" in data.description
    parts = [np.asarray(part) for part in (data.x_train, data.x_valid, data.x_test)]
    rows = np.concatenate(parts)
    assert sorted(map(bytes, rows)) == sorted(map(bytes, ROWS))
    for part, again in zip(parts, load_data(path, buffer_bytes=2**14)[1:7:2], strict=True):
        np.testing.assert_array_equal(part, again)
    whole = load_data(path, seed=None, buffer_bytes=2**14)
    np.testing.assert_array_equal(np.asarray(whole.part("all")[0]), ROWS)
    small = load_data(path)
    assert isinstance(small.x_train, np.ndarray)
    assert "block_rows" not in small.split


def test_a_large_array_stored_by_columns_is_read(tmp_path):
    rows = np.asfortranarray(ROWS)
    np.testing.assert_array_equal(load_data(in_file(rows, tmp_path), seed=None, buffer_bytes=2**14).x_train, ROWS)


def test_a_folder_of_files_is_one_set_with_its_labels(tmp_path):
    in_folder(ROWS, tmp_path)
    np.testing.assert_array_equal(load_data(tmp_path, seed=None).x_train, ROWS)
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / "labels.npy", np.arange(len(ROWS)))
    for buffer_bytes in (2**14, 2**20):
        data = load_data(tmp_path, buffer_bytes=buffer_bytes)
        for name in ("train", "validation", "test"):
            x, y = data.part(name)
            np.testing.assert_array_equal(np.asarray(x), ROWS[y])
    write_json(tmp_path / "conversion.json", {"format": 1, "rows": 1004})
    with pytest.raises(ValueError, match="Expected 1004 rows"):
        load_data(tmp_path)


def test_rows_in_memory_may_be_shards():
    shards = Shards(ROWS, buffer_bytes=2**14)
    data = load_data((shards, np.arange(len(ROWS))))
    np.testing.assert_array_equal(np.asarray(data.x_test), ROWS[data.y_test])
    assert split_data(data) is data
    with pytest.raises(ValueError, match="binarisation='dynamic'"):
        load_data(shards, binarise=0)


def test_rows_that_come_block_by_block_are_written_whole_or_not_at_all(tmp_path):
    write_shards((ROWS[i : i + 100] for i in range(0, 1003, 100)), tmp_path / "rows", list(range(1003)))
    data = load_data(tmp_path / "rows", buffer_bytes=2**14, seed=None)
    np.testing.assert_array_equal(np.asarray(data.x_train), ROWS)
    np.testing.assert_array_equal(data.y_train, np.arange(1003))
    not_finite = np.full_like(ROWS, np.nan)
    unlike = ([ROWS, ROWS[:, :2]], "as before"), ([ROWS, not_finite], "finite"), ([], "got none"), ([ROWS], "1003")
    for blocks, words in unlike:
        with pytest.raises(ValueError, match=words):
            write_shards(blocks, tmp_path / "other", np.arange(9))
    with pytest.raises(ValueError, match="a new folder"):
        write_shards([ROWS], tmp_path / "rows")
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
