"""Files are whole or not there, and a file that is not what it was is refused."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.files import (
    FORMAT,
    UnreadableFile,
    read_json,
    read_tensors,
    remove_temporaries,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7), "c": torch.tensor([True, False])}
METADATA = {"kind": "test", "steps": [1, 2], "text": "µ"}


@pytest.fixture
def file(tmp_path):
    write_tensors(tmp_path / "file.safetensors", TENSORS, METADATA)
    return tmp_path / "file.safetensors"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- whole or not at all ---------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, function, error):
    write_text(tmp_path / "file", "old")

    def fail(*_):
        assert len(names(tmp_path)) == 2  # the temporary file is what it fails on
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(type(error)):
            write_text(tmp_path / "file", "new")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_write_makes_its_folder_and_replaces(tmp_path):
    for text in ("one", "two, which is longer", ""):
        write_text(tmp_path / "deep" / "er" / "file", text)
        assert (tmp_path / "deep" / "er" / "file").read_text() == text
    assert names(tmp_path / "deep" / "er") == ["file"]


KILLED_WHILE_WRITING = """
import os, signal, sys
from isthmus import files
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.write_text(sys.argv[1], "new")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_what_a_killed_writer_left_is_harmless_and_removed(tmp_path):
    write_text(tmp_path / "file", "old")
    (tmp_path / "notes.tmp").write_text("of the user")
    (tmp_path / ".hidden").write_text("of the user")
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, tmp_path / "file"], check=False)
    assert done.returncode == -9
    assert len(names(tmp_path)) == 4
    assert (tmp_path / "file").read_text() == "old"
    remove_temporaries(tmp_path)
    assert names(tmp_path) == [".hidden", "file", "notes.tmp"]


def test_removing_temporaries_of_no_folder_is_nothing(tmp_path):
    remove_temporaries(tmp_path / "missing")


# --- JSON ------------------------------------------------------------------------------------------


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), json_values))
def test_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "file.json"
    write_json(path, value | {"format": FORMAT})
    assert read_json(path) == value | {"format": FORMAT}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_nan(tmp_path, number):
    write_json(tmp_path / "file.json", {"format": FORMAT})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"x": number})
    assert read_json(tmp_path / "file.json") == {"format": FORMAT}


def test_json_torn_at_any_byte_is_refused(tmp_path):
    write_json(tmp_path / "file.json", {"format": FORMAT, "x": [1.5, "µ"]})
    whole = (tmp_path / "file.json").read_bytes()
    for length in range(len(whole.rstrip())):
        (tmp_path / "file.json").write_bytes(whole[:length])
        with pytest.raises(UnreadableFile, match=r"file\.json"):
            read_json(tmp_path / "file.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1, 2]", "JSON object"),
        (b'{"x": 1}', "without a format version"),
        (b'{"format": "1"}', "without a format version"),
        (b'{"format": 99}', "newer version of Isthmus"),
        (b'{"format": ' + b"1" * 5000 + b"}", "foreign"),
        (b"[" * 100_000, "foreign"),
        (b"\xff\xfe", "foreign"),
        (b"", "foreign"),
    ],
)
def test_foreign_json_is_refused_in_words(tmp_path, content, words):
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(UnreadableFile, match=words):
        read_json(tmp_path / "file.json")


def test_a_missing_file_and_a_folder_are_refused_in_words(tmp_path):
    for read in (read_json, read_tensors):
        with pytest.raises(UnreadableFile, match="No such file"):
            read(tmp_path / "missing")
        with pytest.raises(UnreadableFile, match=r"directory|denied"):
            read(tmp_path)


# --- tensors ---------------------------------------------------------------------------------------


def test_tensors_and_metadata_come_back(file):
    tensors, metadata = read_tensors(file)
    assert metadata == METADATA | {"format": FORMAT}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(0, 3),
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(6.0)[::2],
        torch.ones(1).expand(4),
        torch.full((2,), 1 / 3, dtype=torch.float64),
        torch.ones(2, dtype=torch.bfloat16),
        torch.nn.Parameter(torch.ones(2)),
        torch.tensor([float("nan"), float("inf")]),
        torch.tensor([2**62], dtype=torch.int64),
    ],
)
def test_any_tensor_comes_back(tmp_path, tensor):
    write_tensors(tmp_path / "file", {"x": tensor}, {})
    (back, _) = read_tensors(tmp_path / "file")
    torch.testing.assert_close(back["x"], tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_tied_weights_come_back_under_both_names(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "file", {"encoder": weight, "decoder": weight.T, "row": weight[1]}, {})
    (back, _) = read_tensors(tmp_path / "file")
    assert torch.equal(back["encoder"], weight)
    assert torch.equal(back["decoder"], weight.T)
    assert torch.equal(back["row"], weight[1])


def test_tensors_torn_at_any_byte_are_refused(file):
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UnreadableFile, match=r"file\.safetensors"):
            read_tensors(file)
    file.write_bytes(whole + b"\0")
    with pytest.raises(UnreadableFile, match=r"file\.safetensors"):
        read_tensors(file)


def test_any_flipped_bit_is_refused(file):
    """In the data, in names and shapes, in the metadata, in the checksum itself."""
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            with pytest.raises(UnreadableFile, match=r"file\.safetensors"):
                read_tensors(file)


def test_a_foreign_safetensors_file_is_refused_in_words(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "plain")
    safetensors.torch.save_file(TENSORS, tmp_path / "noted", metadata={"isthmus": "[1", "crc32": "0"})
    safetensors.torch.save_file(TENSORS, tmp_path / "listed", metadata={"isthmus": "[1]", "crc32": "0"})
    for name in ("plain", "noted", "listed"):
        with pytest.raises(UnreadableFile, match="written by Isthmus"):
            read_tensors(tmp_path / name)
    write_bytes(tmp_path / "pickle", b"\x80\x04\x95" + b"x" * 100)
    with pytest.raises(UnreadableFile, match="foreign"):
        read_tensors(tmp_path / "pickle")


def test_a_newer_format_is_refused_in_words(file):
    """Also where its checksum is another one: who has to update should be told so."""
    whole = file.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["isthmus"] = json.dumps(METADATA | {"format": FORMAT + 1})
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    with pytest.raises(UnreadableFile, match="newer version of Isthmus"):
        read_tensors(file)


def test_metadata_with_nan_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_tensors(tmp_path / "file", TENSORS, {"loss": float("nan")})
    assert names(tmp_path) == []
