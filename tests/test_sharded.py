"""Models cut over several processes are those of one process, and their runs go on in another number of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from isthmus import load
from isthmus.files import UnreadableFile, read_tensors
from isthmus.training.checkpoint import checkpoints
from processes_starting import finish, needs_gloo, outputs, start
from training_cases import short_run

pytestmark = needs_gloo


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    finish(start("sharded", folder, 1))
    return read_tensors(folder / "result-1")


def assert_the_whole_model(folder: Path, n: int, whole) -> None:
    tensors, histories = read_tensors(folder / f"result-{n}")
    for name, tensor in whole[0].items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=1e-4, msg=name)
    flags = [value.item() for name, value in tensors.items() if name.endswith(".sharded")]
    assert flags == [1.0] * 4  # all of them wrote sharded checkpoints
    for name, history in histories.items():
        if name != "format":
            losses, expected = ([record["validation"] for record in h] for h in (history, whole[1][name]))
            assert losses == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("then", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_sharded_model_resumed_on_the_way_is_that_of_one_process(tmp_path, whole, then):
    finish(start("sharded", tmp_path, 2, BREAK_AT="2"))
    finish(start("sharded", tmp_path, then))
    assert_the_whole_model(tmp_path, then, whole)
    newest = checkpoints(tmp_path / "run-plain")[-1]
    with pytest.raises(UnreadableFile):  # its metadata is pickled: nothing but its own run reads it
        load(newest)
    with pytest.raises(UnreadableFile, match="resume with sharded=True"):
        short_run(tmp_path / "run-plain")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files there")
def test_a_full_disk_of_one_process_is_said_by_all_and_leaves_nothing(tmp_path):
    texts = outputs(start("full", tmp_path, 2))
    assert all("OSError" in text and "make room and go on" in text for text in texts), texts
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_what_a_killed_run_left_of_a_checkpoint_is_removed(tmp_path):
    short_run(tmp_path)
    rest = tmp_path / "checkpoints" / "step-000000001.sharded"
    rest.mkdir()
    (rest / "__0_0.distcp").write_bytes(b"some shards")
    short_run(tmp_path)
    assert not rest.exists()


def test_sharding_needs_several_processes():
    with pytest.raises(ValueError, match="Expected several processes with sharded=True, got one; start"):
        short_run(sharded=True)
