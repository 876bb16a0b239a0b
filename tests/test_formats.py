"""Published formats: what was written comes back; what is torn, altered or made to harm is refused in words."""

import gzip
import io
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isthmus.data import load_data
from isthmus.data.formats import read_amat, read_idx, read_mat
from isthmus.data.formats_mat import read_mat_arrays
from isthmus.data.validation import check_unpacked_size

RNG = np.random.default_rng(0)
IDX_CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
MOST_BYTES = 200 << 20
"""Memory that no small file may make a reader take."""


def idx(array: np.ndarray) -> bytes:
    code = IDX_CODES[array.dtype.newbyteorder("=").str[1:]]
    head = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def mat(members: dict, *, packed: bool = True) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, members, do_compression=packed)
    return buffer.getvalue()


def amat(rows: np.ndarray) -> bytes:
    return b"".join(" ".join(map(repr, row)).encode() + b"\n" for row in rows.tolist())


numeric = st.sampled_from(sorted(IDX_CODES)).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=6))
)


@given(numeric, st.booleans())
@settings(max_examples=60, deadline=None)
def test_idx_comes_back(tmp_path_factory, array, packed):
    path = tmp_path_factory.getbasetemp() / "a.idx.gz"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    read = read_idx(path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@given(arrays.arrays("f8", (4, 3), elements=st.floats(allow_nan=False)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_amat_comes_back(tmp_path_factory, rows, binary):
    path = tmp_path_factory.getbasetemp() / "a.amat"
    rows = (rows > 0).astype(np.uint8) if binary else rows
    path.write_bytes(amat(rows))
    np.testing.assert_array_equal(read_amat(path), rows)


matrices = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6))
)


@given(matrices, st.booleans())
@settings(max_examples=80, deadline=None)
def test_mat_comes_back(array, packed):
    others = {"s": {"a": np.eye(2)}, "text": "words", "z": np.eye(2) * 1j, "c": np.array([[1, "a"]], dtype=object)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = mat({"ff": array} | others, packed=packed)
    read = read_mat_arrays(content)
    assert list(read) == ["ff"]
    assert read["ff"].dtype == array.dtype
    np.testing.assert_array_equal(read["ff"], array)


def test_mat_of_big_endian_machines_and_small_elements():
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    values = struct.pack(">HH4s", 4, 1, b"\1\2\3\4")  # 4 bytes of int8, in the tag
    flags, sizes = element(6, struct.pack(">II", 6, 0)), element(5, struct.pack(">ii", 2, 2))
    matrix = element(14, flags + sizes + struct.pack(">HH4s", 1, 1, b"x\0\0\0") + values)
    read = read_mat_arrays(b" " * 124 + b"\1\0MI" + matrix)
    assert read["x"].tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert read["x"].dtype == np.float64


# --- what is refused ------------------------------------------------------------------------

SMALL = RNG.integers(0, 256, (7, 5, 3), np.uint8)
GOOD = {
    "idx": idx(SMALL),
    "idx.gz": gzip.compress(idx(SMALL), mtime=0),
    "amat": amat(RNG.standard_normal((6, 4))),
    "amat of bits": amat(RNG.integers(0, 2, (6, 4))),
    "mat": mat({"ff": SMALL[0], "other": RNG.standard_normal((3, 4))}, packed=False),
    "packed mat": mat({"ff": SMALL[0], "other": RNG.standard_normal((3, 4))}),
}
READERS = {"idx": read_idx, "amat": read_amat, "mat": read_mat}


def reader(name: str):
    return READERS[name.removeprefix("packed ").partition(".")[0].partition(" ")[0]]


def refused_or_read(name: str, content: bytes, path) -> bool:
    """Read content: True where it was refused in words; nothing else may happen."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        reader(name)(path)
        message = None
    except ValueError as error:
        message = str(error)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < MOST_BYTES
    assert message is None or message.startswith("Expected")
    return message is not None


@pytest.mark.parametrize("name", [name for name in GOOD if not name.startswith("amat")])
def test_every_truncation_is_refused(name, tmp_path):
    content = GOOD[name]
    step = max(1, len(content) // 60)
    lengths = range(0, len(content), step)
    complete = [keep for keep in lengths if not refused_or_read(name, content[:keep], tmp_path / "a")]
    # A mat file has no count of its members: cut between two it is whole.
    assert len(complete) <= (2 if "mat" in name else 0)


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_altered_bytes_are_refused_or_read_and_nothing_else(name, data, tmp_path_factory):
    content = bytearray(GOOD[name])
    places = st.one_of(st.integers(0, len(content) - 1), st.integers(0, min(300, len(content)) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=5)):
        content[place] = value
    refused_or_read(name, bytes(content), tmp_path_factory.getbasetemp() / "altered")


@pytest.mark.parametrize("name", READERS)
@given(content=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_are_refused(name, content, tmp_path_factory):
    if name != "amat":  # a line of digits is a fine table
        assert refused_or_read(name, content, tmp_path_factory.getbasetemp() / "foreign")
    else:
        refused_or_read(name, content, tmp_path_factory.getbasetemp() / "foreign")


def huge_idx(shape) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + b"\0" * 100


def huge_mat(size: int, packed: bool) -> bytes:
    flags = struct.pack("<IIII", 6, 8, 9, 0)
    sizes = struct.pack("<IIii", 5, 8, size, 1)
    matrix = flags + sizes + struct.pack("<HH4s", 1, 1, b"x\0\0\0") + struct.pack("<II", 2, size) + b"\0" * 1000
    element = struct.pack("<II", 14, min(size + 48, 2**32 - 1)) + matrix
    head = b" " * 124 + b"\0\1IM"
    if not packed:
        return head + element
    data = zlib.compress(element)
    return head + struct.pack("<II", 15, len(data)) + data


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("idx", huge_idx((2**32 - 1,))),
        ("idx", huge_idx((2**32 - 1,) * 200)),
        ("idx.gz", gzip.compress(huge_idx((60_000, 28, 28)), mtime=0)),
        ("idx.gz", gzip.compress(huge_idx((2**31, 2**31)), mtime=0)),
        ("idx.gz", gzip.compress(idx(SMALL) + b"\0" * (1 << 20), mtime=0)),
        ("mat", huge_mat(2**31 - 1, packed=False)),
        ("packed mat", huge_mat(2**31 - 1, packed=True)),
        ("packed mat", huge_mat(-1 % 2**31, packed=True)),
    ],
)
def test_hostile_sizes_are_refused_without_memory(name, content, tmp_path):
    assert refused_or_read(name, content, tmp_path / "a")


def test_sizes_that_are_likely():
    check_unpacked_size(47_040_016, 9_912_422, "MNIST")
    for size, packed in ((10**6, 100), (300 << 20, 1 << 20)):
        with pytest.raises(ValueError, match="likely size"):
            check_unpacked_size(size, packed, "a bomb")


def test_what_matlab_calls_7_3_is_told(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF")
    with pytest.raises(ValueError, match="version 7.3, which is HDF5; save it with -v7"):
        load_data(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "rows of numbers"),
        (b"1 2\n3\n", "2 numbers in line 2 .* got 1"),
        (b"1 2\n3 x\n", "numbers in line 2"),
        (b"0 1\n0 1 1 0\n", "2 numbers in line 2"),
    ],
)
def test_bad_tables_of_numbers_are_refused(content, message, tmp_path):
    (tmp_path / "a.amat").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_amat(tmp_path / "a.amat")


# --- as data --------------------------------------------------------------------------------


def test_files_of_one_s_own(tmp_path):
    (tmp_path / "x-images.idx.gz").write_bytes(gzip.compress(idx(SMALL), mtime=0))
    data = load_data(tmp_path / "x-images.idx.gz", seed=None)
    np.testing.assert_array_equal(data.x_train, SMALL)
    assert (data.name, data.feature_shape) == ("x-images", (5, 3))

    rows = np.column_stack((RNG.standard_normal((8, 3)), np.arange(8) % 2))
    (tmp_path / "b.amat").write_bytes(amat(rows))
    data = load_data(tmp_path / "b.amat", seed=None, label="-1")
    np.testing.assert_allclose(data.x_train, rows[:, :3], rtol=1e-6)
    assert data.y_train.tolist() == [0, 1] * 4
    for label in ("4", "name"):
        with pytest.raises(ValueError, match="number of one of 4 columns"):
            load_data(tmp_path / "b.amat", label=label)

    (tmp_path / "c.mat").write_bytes(mat({"ff": SMALL[:, :, 0], "n": 3.0}))
    np.testing.assert_array_equal(load_data(tmp_path / "c.mat", seed=None).x_train, SMALL[:, :, 0])
    data = load_data(tmp_path / "c.mat", variable="ff", transpose=True, seed=None)
    np.testing.assert_array_equal(data.x_train, SMALL[:, :, 0].T)
    with pytest.raises(ValueError, match="it has ff, n: use variable="):
        load_data(tmp_path / "c.mat", variable="gg")


def test_labels_alone_are_no_examples(tmp_path):
    (tmp_path / "y.gz").write_bytes(gzip.compress(idx(np.arange(5, dtype=np.uint8))))
    with pytest.raises(ValueError, match="are these the labels"):
        load_data(tmp_path / "y.gz")
