"""The catalogue: what is said of each set, where it is looked for, and that each is read from any of its files."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from isthmus.cli.main import main
from isthmus.data import CATALOGUE, cache_folder, check, find, load_data, named
from isthmus.data.catalogue_files import content_checksum
from test_formats import idx

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_set_says_where_it_comes_from(name):
    known = CATALOGUE[name]
    assert (known.name, bool(known.title), bool(known.licence), bool(known.source)) == (name, True, True, True)
    assert "(" in known.citation
    assert known.shapes[0]
    for file in known.files:
        assert all(address.endswith(f"/{file.name}") and address.startswith("http") for address in file.addresses)
        kind, _, digits = (file.checksum or "md5:" + "0" * 32).partition(":")
        assert len(digits) == {"md5": 32, "sha256": 64}[kind]
        assert bytes.fromhex(digits)


def test_sets_that_are_here_are_whole(data_folder):
    """Each set at hand has the numbers that the catalogue says, and those of the data folder are found in it."""
    for name in CATALOGUE:
        if find(name) is not None:
            assert check(name)["state"] == "ok", check(name)


def test_known_numbers_of_the_sets(data_folder):
    for name in ("binarized-mnist", "frey-faces", "old-faithful"):
        if find(name) is None:
            pytest.skip(f"needs {name}")
    binary = load_data("binarized-mnist")
    assert len(binary.x_valid) == 10_000
    assert [round(x.mean() / 255, 6) for x in (binary.x_train, binary.x_valid, binary.x_test)] == [
        0.130562, 0.131127, 0.132512,
    ]  # fmt: skip
    assert set(np.unique(binary.x_train)) == {0, 255}
    assert "static binarisation (as published by Larochelle)" in binary.description
    np.testing.assert_allclose(load_data("old-faithful", seed=None).x_train.mean(axis=0), [3.48778, 70.8971], rtol=1e-5)
    frey = load_data("frey-faces", seed=None).x_train
    assert (frey.min(), frey.max(), frey.shape) == (8, 238, (1965, 28, 20))


# --- each set from the files that were published ----------------------------------------------


def test_mnist_from_idx_is_mnist_from_npz(tmp_path):
    arrays = {
        "x_train": RNG.integers(0, 256, (9, 28, 28), np.uint8), "y_train": RNG.integers(0, 10, 9).astype(np.uint8),
        "x_test": RNG.integers(0, 256, (4, 28, 28), np.uint8), "y_test": RNG.integers(0, 10, 4).astype(np.uint8),
    }  # fmt: skip
    np.savez(tmp_path / "mnist.npz", **arrays)
    paths = [tmp_path / file.name for file in CATALOGUE["mnist"].files]
    for path, array in zip(paths, arrays.values(), strict=True):
        path.write_bytes(gzip.compress(idx(array)))
    for read in (named.mnist, named.fashion_mnist):
        first, second = read(paths), read([tmp_path / "mnist.npz"])
        for part in ("train", "test"):
            for ours, theirs in zip(first.part(part), second.part(part), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        assert content_checksum(first) == content_checksum(second)


def test_binarized_mnist_from_text_is_that_from_bits(tmp_path):
    bits = {part: RNG.integers(0, 2, (n, 784), np.uint8) for part, n in (("train", 5), ("valid", 3), ("test", 2))}
    np.savez(tmp_path / "b.npz", **{part: np.packbits(rows, axis=1) for part, rows in bits.items()})
    paths = [tmp_path / file.name for file in CATALOGUE["binarized-mnist"].files]
    for path, rows in zip(paths, bits.values(), strict=True):
        path.write_bytes(b"".join(" ".join(map(str, row)).encode() + b"\n" for row in rows))
    first, second = named.binarized_mnist(paths), named.binarized_mnist([tmp_path / "b.npz"])
    assert content_checksum(first) == content_checksum(second)
    np.testing.assert_array_equal(first.x_valid.reshape(3, 784), 255 * bits["valid"])
    paths[1].write_bytes(b"0.5 " * 783 + b"1\n")
    with pytest.raises(ValueError, match="only 0 and 1"):
        named.binarized_mnist(paths)


def test_omniglot_s_pixels_run_down_the_columns(tmp_path):
    images = RNG.random((6, 28, 28))
    columns = images.transpose(0, 2, 1).reshape(6, 784).T
    members = {
        "data": columns[:, :4],
        "testdata": columns[:, 4:],
        "targetchar": [[1, 2, 3, 4]],
        "testtargetchar": [[5, 6]],
    }
    scipy.io.savemat(tmp_path / "chardata.mat", members, do_compression=True)
    data = named.omniglot([tmp_path / "chardata.mat"])
    np.testing.assert_allclose(data.x_train, images[:4], rtol=1e-6)
    np.testing.assert_allclose(data.x_test, images[4:], rtol=1e-6)
    assert (data.y_train.tolist(), data.y_test.tolist()) == ([1, 2, 3, 4], [5, 6])
    arrays = {"x_train": data.x_train, "char_train": data.y_train, "x_test": data.x_test, "char_test": data.y_test}
    np.savez(tmp_path / "omniglot.npz", **arrays)
    assert content_checksum(named.omniglot([tmp_path / "omniglot.npz"])) == content_checksum(data)
    scipy.io.savemat(tmp_path / "chardata.mat", {"data": columns})
    with pytest.raises(ValueError, match=r"matrix testdata with 784 rows .* got data \(784, 6\)"):
        named.omniglot([tmp_path / "chardata.mat"])


def test_frey_faces_from_matlab_are_those_from_numpy(data_folder, tmp_path):
    if find("frey-faces") is None:
        pytest.skip("needs frey_faces.npz")
    faces = load_data("frey-faces", seed=None).x_train
    scipy.io.savemat(tmp_path / "frey_rawface.mat", {"ff": faces.reshape(-1, 560).T})
    data = named.frey_faces([tmp_path / "frey_rawface.mat"])
    assert content_checksum(data) == CATALOGUE["frey-faces"].content


def test_old_faithful_from_text_is_that_from_numpy(data_folder, tmp_path):
    if find("old-faithful") is None:
        pytest.skip("needs old_faithful.npy")
    rows = load_data("old-faithful", seed=None).x_train
    lines = [f'"{i + 1}",{x:g},{int(y)}' for i, (x, y) in enumerate(rows)]
    (tmp_path / "faithful.csv").write_text("\n".join(['"rownames","eruptions","waiting"', *lines]))
    data = named.old_faithful([tmp_path / "faithful.csv"])
    assert content_checksum(data) == CATALOGUE["old-faithful"].content
    (tmp_path / "faithful.csv").write_text("<html>\n")
    with pytest.raises(ValueError, match="columns eruptions and waiting"):
        named.old_faithful([tmp_path / "faithful.csv"])


# --- where they are looked for ----------------------------------------------------------------


def test_the_data_folder_comes_before_the_cache(tmp_path, monkeypatch):
    own, cache = tmp_path / "own", tmp_path / "cache"
    monkeypatch.setenv("ISTHMUS_DATA", str(own))
    monkeypatch.setattr("isthmus.data.catalogue_files.cache_folder", lambda: cache)
    assert find("mnist") is None
    paths = [cache / "mnist" / file.name for file in CATALOGUE["mnist"].files]
    for path in paths:
        assert find("mnist") is None  # some of the files are none
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find("mnist") == paths
    own.mkdir()
    for file in CATALOGUE["fashion-mnist"].files:  # of the same names as those of MNIST
        with open(own / file.name, "wb") as out:
            out.truncate(file.size)
    assert find("mnist") == paths
    assert find("fashion-mnist") == [own / file.name for file in CATALOGUE["fashion-mnist"].files]
    np.savez(own / "mnist.npz", x_train=np.eye(3))
    assert find("mnist") == [own / "mnist.npz"]
    with pytest.raises(ValueError, match=r"members y_train, x_test, y_test in .*mnist\.npz, got x_train"):
        load_data("mnist")
    images, labels = np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.uint8)
    np.savez(own / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(ValueError, match=r"training examples of shape \(60000, 28, 28\) in .*, got \(3, 28, 28\)"):
        load_data("mnist")
    assert check("mnist")["state"] == "damaged"
    with pytest.raises(ValueError, match="Expected one of digits, mnist, .* got 'nmist'"):
        find("nmist")


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [
        ("linux", "XDG_CACHE_HOME", ("isthmus",)),
        ("win32", "LOCALAPPDATA", ("isthmus",)),
        ("darwin", None, ("Library", "Caches", "isthmus")),
    ],
)
def test_cache_folder_is_the_platforms(platform, variable, tail, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path))
    assert cache_folder() == tmp_path.joinpath(*tail)


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.setattr("isthmus.data.catalogue_files.cache_folder", lambda: tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_list_and_info_say_what_there_is(capsys):
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed["sets"]) == set(CATALOGUE)
    assert [name for name, known in listed["sets"].items() if known["here"]] == ["digits"]
    assert main(["data", "list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in CATALOGUE)
    for name, known in CATALOGUE.items():
        assert main(["data", "info", name]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert known.licence in told
        assert known.citation in told
        assert all(address in told for file in known.files for address in file.addresses)
        assert main(["data", "info", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["citation"] == known.citation


@pytest.mark.usefixtures("nowhere")
def test_check_and_fetch_end_with_a_code(tmp_path, capsys):
    assert main(["data", "check"]) == 0
    assert main(["data", "fetch", "digits"]) == 0
    assert main(["data", "check", "mnist"]) == 1
    assert "missing" in capsys.readouterr().out
    (tmp_path / "frey-faces").mkdir()
    (tmp_path / "frey-faces" / "frey_rawface.mat").write_bytes(b"torn")
    assert main(["data", "check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["sets"]["frey-faces"]["state"] == "damaged"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "list, info, fetch, check"),
        (["lits"], "did you mean 'list'"),
        (["info", "mnits"], "did you mean 'mnist'"),
        (["fetch"], "there are digits"),
        (["fetch", "digits", "nowhere"], "unknown set 'nowhere'"),
    ],
)
def test_wrong_command_lines_end_with_code_2(arguments, words, capsys):
    assert main(["data", *arguments]) == 2
    assert words in capsys.readouterr().err
