"""Several processes train one model: that of one process, and they start, stop, fail and resume together."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.distributions import Independent, Laplace

from isthmus.cli.main import main
from isthmus.files import read_tensors
from isthmus.model import draw
from isthmus.processes import (
    Part,
    batch_mean,
    batch_normal,
    batch_uniform,
    joined,
    n_processes,
    own_part,
    part_of_batch,
)
from isthmus.training.checkpoint import checkpoints
from processes_starting import MOST, Started, finish, needs_gloo, outputs, start
from training_cases import tree

pytestmark = needs_gloo


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone"), 1)


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def together(tmp_path_factory, request):
    return trained(tmp_path_factory.mktemp("together"), request.param)


def trained(folder: Path, n: int):
    finish(start("equal", folder, n))
    return read_tensors(folder / f"result-{n}")


def test_the_model_is_that_of_one_process(alone, together):
    assert alone[0].keys() == together[0].keys()
    assert len(alone[0]) > 30
    for name, tensor in alone[0].items():
        torch.testing.assert_close(together[0][name], tensor, rtol=0, atol=1e-4, msg=name)


def test_losses_terms_and_measures_are_those_of_one_process(alone, together):
    for name, history in alone[1]["histories"].items():
        for one, other in zip(history, together[1]["histories"][name], strict=True):
            for key in one.keys() - {"seconds", "rows_per_second"}:
                assert other[key] == pytest.approx(one[key], rel=1e-4), (name, key)
    assert_equal_measures(alone[1]["measures"], together[1]["measures"])


def assert_equal_measures(alone: dict, together: dict) -> None:
    assert alone["measures"].keys() == together["measures"].keys()
    for name, measure in alone["measures"].items():
        assert together["measures"][name]["value"] == pytest.approx(measure["value"], rel=1e-3, abs=1e-4), name


def test_training_changed_what_is_compared(alone):
    """Two models of the same kind, trained for other objectives, differ by more than the tolerance."""
    tensors = alone[0]
    key = next(key for key in tensors if key.startswith("variational.encoder.net"))
    other = key.replace("variational", "free bits")
    assert (tensors[key] - tensors[other]).abs().max() > 1e-3
    clean = next(key for key in tensors if key.startswith("plain.encoder.net"))
    assert (tensors[clean] - tensors[clean.replace("plain", "denoising")]).abs().max() > 1e-3


@pytest.mark.slow
def test_a_compiled_step_gives_the_same(tmp_path):
    for n in (1, 2):
        finish(start("compiled", tmp_path, n))
    (alone, _), (together, _) = (read_tensors(tmp_path / f"result-{n}") for n in (1, 2))
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=0, atol=1e-4)


# --- stopping and going on -----------------------------------------------------------------------------


def reached(folder: Path, step: int, processes: list[Started]) -> None:
    """Wait for a checkpoint at that step."""
    end = time.monotonic() + MOST
    while not any(int(path.stem[5:]) >= step for path in checkpoints(folder / "run")):
        assert time.monotonic() < end, outputs(processes)
        assert all(process.poll() is None for process in processes), outputs(processes)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start("long", folder, 1))
    return read_tensors(folder / "result-1")


def assert_goes_on(folder: Path, n: int, undisturbed) -> None:
    """The run resumes in n processes and comes to the end that it would have had."""
    finish(start("long", folder, n))
    tensors, metadata = read_tensors(folder / f"result-{n}")
    assert metadata["losses"] == pytest.approx(undisturbed[1]["losses"], rel=1e-4)
    for name, tensor in undisturbed[0].items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("lost", "then"), [(1, 1), pytest.param(0, 3, marks=pytest.mark.slow)])
def test_a_lost_process_ends_the_run_with_a_message(tmp_path, undisturbed, lost, then):
    processes = start("long", tmp_path, 2, PAUSE="0.005")
    reached(tmp_path, 20, processes)
    processes[lost].send_signal(signal.SIGKILL)
    texts = outputs(processes)
    assert "LostProcess: Lost another process of this run" in texts[1 - lost], texts
    assert "To go on, in any number of processes: fit(" in texts[1 - lost]
    assert ("and saved." if lost else "saved") in texts[1 - lost]  # the first process writes
    assert processes[1 - lost].returncode == 1
    assert_goes_on(tmp_path, then, undisturbed)


def test_a_lost_process_ends_a_sharded_run_with_a_message(tmp_path):
    processes = start("long", tmp_path, 2, PAUSE="0.005", SHARDED="yes")
    reached(tmp_path, 5, processes)
    processes[1].send_signal(signal.SIGKILL)
    texts = outputs(processes)
    assert "LostProcess: Lost another process of this run" in texts[0], texts
    assert "To go on, in any number of processes: fit(" in texts[0]


def test_all_processes_name_the_same_cause(tmp_path):
    texts = outputs(start("diverging", tmp_path, 2))
    # Which one overflows first, a term or a gradient, is a matter of rounding; that both say the same is not.
    causes = {tuple(re.findall(r"got a non-finite value in (.*) at step (\d+)", text)) for text in texts}
    assert len(causes) == 1, texts
    assert len(causes.pop()) == 1, texts


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path, undisturbed, number):
    processes = start("long", tmp_path, 2, PAUSE="0.005")
    reached(tmp_path, 20, processes)
    processes[1].send_signal(number)
    texts = outputs(processes)
    stopped = {text.split("Interrupted: Stopped after step ")[1].split()[0] for text in texts}
    assert len(stopped) == 1, texts
    assert checkpoints(tmp_path / "run")[-1].stem == f"step-{int(stopped.pop()):09d}"
    assert_goes_on(tmp_path, 2, undisturbed)


def test_other_data_in_another_process_is_refused_in_all(tmp_path):
    processes = start("different", tmp_path, 2)
    texts = outputs(processes)
    assert all("Expected the same data, model and settings in all 2 processes" in text for text in texts), texts
    assert not checkpoints(tmp_path / "run")


def test_torchrun_trains_and_evaluates_on_the_command_line(tmp_path, capsys):
    arguments = "train vae --data digits --hidden 16 --max-epochs 2 --random-state 0 --no-report --json --out".split()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "isthmus"]
    done = subprocess.run(
        [*torchrun, *arguments, str(tmp_path / "together")],
        capture_output=True, text=True, timeout=MOST, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout)  # one object: the first process speaks, the other is silent
    assert main([*arguments, str(tmp_path / "alone")]) == 0
    assert_equal_measures(json.loads(capsys.readouterr().out), together)
    assert tree(tmp_path / "alone") == tree(tmp_path / "together")


# --- the parts -----------------------------------------------------------------------------------------


def test_one_process_is_the_first_of_one():
    with joined():
        assert n_processes() == 1
        assert own_part(7) == Part(0, 7, 7)


def test_parts_are_cut_from_the_noise_of_the_whole_batch(monkeypatch):
    monkeypatch.setattr("isthmus.processes.n_processes", lambda: 2)
    x, z = torch.zeros(7, 3), torch.zeros(4, 7, 2)
    torch.manual_seed(0)
    whole = torch.rand(7, 3), torch.normal(z, torch.ones_like(z))
    torch.manual_seed(0)
    with part_of_batch(Part(3, 7, 7, 2)):
        part = batch_uniform(x[3:]), batch_normal(x, (4, 4, 2), dim=1)
    torch.testing.assert_close(part[0], whole[0][3:], rtol=0, atol=0)
    torch.testing.assert_close(part[1], whole[1][:, 3:], rtol=0, atol=0)


def test_posteriors_of_other_kinds_draw_other_noise_in_each_process(monkeypatch):
    q = Independent(Laplace(torch.zeros(3, 2), torch.ones(3, 2)), 1)
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr("isthmus.processes.n_processes", lambda: 2)
        monkeypatch.setattr("isthmus.model.n_processes", lambda: 2)
        monkeypatch.setattr("isthmus.model.rank", lambda rank=rank: rank)
        torch.manual_seed(0)
        with part_of_batch(Part(0, 3, 6, 2)):
            drawn.append(draw(q, 5))
    assert drawn[0].shape == (5, 3, 2)
    assert not torch.equal(*drawn)


def test_the_mean_of_a_batch_in_one_process_is_its_mean():
    values = torch.arange(6.0).reshape(3, 2)
    torch.testing.assert_close(batch_mean(values), values.mean(0), rtol=0, atol=0)
