"""Checkpoints with a right checksum and any content: refused in words, or a run that ends; the model is left alone."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hostile
from cases import vae
from children import forks, in_child
from isthmus import files
from isthmus.files import UnreadableFile, read_tensors
from isthmus.training import NonFiniteError
from isthmus.training.checkpoint import checkpoints
from training_cases import assert_same, died_in_step_8, weights
from training_cases import short_run as run


def untrained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return vae()


def write_anything(path: Path, tensors: dict[str, torch.Tensor], metadata: Any) -> None:
    """As `write_tensors`, but NaN and infinity may stand in the metadata."""
    with pytest.MonkeyPatch.context() as patched:

        def dumps(value, original=json.dumps, **options):
            return original(value, **options | {"allow_nan": True})

        patched.setattr(files.json, "dumps", dumps)
        files.write_tensors(path, tensors, metadata)


class Stopped:
    """A run that died: its folder, its only checkpoint, and what that holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = died_in_step_8(folder)
        older, self.checkpoint = checkpoints(folder)
        older.unlink()
        self.whole = self.checkpoint.read_bytes()
        self.tensors, self.metadata = read_tensors(self.checkpoint)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return Stopped(tmp_path_factory.mktemp("run"))


def resumed(folder: Path) -> str:
    """Resume from the first checkpoint; returns how it ended. A refusal must leave the model as it was."""
    for path in checkpoints(folder)[1:]:  # of an earlier try that went on
        path.unlink()
    model, words = untrained(), ""
    before = weights(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of another environment
            run(folder, model=model)
    except UnreadableFile as error:
        words = str(error)
    except (NonFiniteError, ValueError) as error:  # found by the first step, and said in words
        return "failed" if str(error).startswith("Expected") else f"{error}"
    if not words:
        return "went on"
    assert str(folder) in words
    assert len(words) <= 2_000
    assert_same(weights(model), before)
    return "refused"


def outcome(stopped: Stopped, tensors: dict[str, torch.Tensor], metadata: Any) -> str:
    stopped.checkpoint.unlink(missing_ok=True)
    write_anything(stopped.checkpoint, tensors, metadata)
    return resumed(stopped.folder)


def test_what_was_written_goes_on(stopped):
    assert outcome(stopped, stopped.tensors, stopped.metadata) == "went on"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 999), value=st.integers(0, len(hostile.VALUES) - 1))
def test_any_value_anywhere_in_the_metadata(stopped, place, value):
    paths = list(hostile.paths(stopped.metadata))
    outcome(
        stopped, stopped.tensors, hostile.changed(stopped.metadata, paths[place % len(paths)], hostile.VALUES[value])
    )


@pytest.mark.slow
def test_every_value_everywhere_in_the_metadata(stopped):
    outcomes = []
    for path in hostile.paths(stopped.metadata):
        for value in hostile.VALUES:
            outcomes.append(outcome(stopped, stopped.tensors, hostile.changed(stopped.metadata, path, value)))
    assert set(outcomes) == {"refused", "went on", "failed"}
    assert outcomes.count("refused") > len(outcomes) / 2


TENSORS = {
    "shorter": lambda t: t[..., :-1] if t.dim() else t.reshape(1),
    "with another axis": lambda t: t[None],
    "none": lambda t: t.new_zeros(0),
    "whole numbers": lambda t: t.to(torch.int64),
    "of double precision": lambda t: t.double(),
    "of half precision": lambda t: t.half(),
    "NaN": lambda t: torch.full_like(t, torch.nan),
    "infinite": lambda t: torch.full_like(t, torch.inf),
    "huge": lambda t: torch.full_like(t, 1e38),
    "complex": lambda t: t.to(torch.complex64),
}


@pytest.mark.parametrize("how", [*TENSORS, "gone"])
def test_any_tensor_of_another_kind(stopped, how):
    outcomes = []
    kinds = {name.rstrip("0123456789").split(".encoder")[0].split(".decoder")[0]: name for name in stopped.tensors}
    assert sorted(kinds) == ["adam.committed", "adam.mean.", "adam.square.", "average.", "best", "model", "sums"]
    for name in kinds.values():
        changed = {
            n: t if n != name else TENSORS[how](t) for n, t in stopped.tensors.items() if n != name or how != "gone"
        }
        outcomes.append(outcome(stopped, changed, stopped.metadata))
    if how in ("shorter", "with another axis", "none", "whole numbers", "complex"):
        assert set(outcomes) == {"refused"}
    assert set(outcomes) <= {"refused", "went on", "failed"}
    assert how == "huge" or "refused" in outcomes


# --- bytes --------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes(stopped, data):
    """Flipped, cut, repeated or foreign: without the right checksum none of it goes on."""
    whole = stopped.whole
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start, min(len(whole), start + 64)))
    torn = whole[:start] + data.draw(st.binary(max_size=64)) + whole[stop:]
    stopped.checkpoint.write_bytes(torn)
    if torn != whole:
        assert resumed(stopped.folder) == "refused"


def header(content: bytes | dict[str, Any], length: int | None = None) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def entry(shape: list[int], end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


BOMBS = {
    "a header of exabytes": header(b"{}", 2**63 - 1),
    "a header beyond all": header(b"{}", 2**64 - 1),
    "a header of 100 MB that is not there": header(b"{}", 10**8),
    "a tensor of terabytes": header(entry([10**12], 4 * 10**12)),
    "a size that overflows": header(entry([2**62, 2**62], 16)),
    "a size of more than 64 bits": header(entry([10**30], 16)),
    "a negative size": header(entry([-4], 16)) + bytes(16),
    "deep lists": header(b"[" * 1_000_000),
    "deep objects": header(b'{"a":' * 200_000),
    "many names": header({f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}),
    "a number of a million digits": header(b'{"x":' + b"1" * 1_000_000 + b"}"),
    "deep metadata": header({"__metadata__": {"isthmus": "[" * 1_000_000, "crc32": "0"}}),
    "metadata of digits": header({"__metadata__": {"isthmus": "1" * 1_000_000, "crc32": "1" * 1_000_000}}),
    "zeros": bytes(1_000_000),
    "nothing": b"",
}
MEGABYTES = 256
"""More than any of these may take: the largest file here has 6 MB, and is read and parsed a few times over."""


@forks
@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_sizes_are_refused_in_little_memory_and_time(stopped, bomb):
    resource = pytest.importorskip("resource")
    stopped.checkpoint.write_bytes(BOMBS[bomb])

    def limited():
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc").is_dir() else 0
        limit = pages * resource.getpagesize() + MEGABYTES * 2**20 if pages else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        return resumed(stopped.folder)

    assert in_child(limited) == "refused"
