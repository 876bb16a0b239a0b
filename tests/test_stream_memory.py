"""Memory: what it grows by on files several times as large as it may take, and what cannot fit is found before."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isthmus import VAE, Autoencoder
from isthmus.data import Shards, load_data, memory
from isthmus.data.memory import available_memory, check_fits
from isthmus.estimators.blocks import shards_of
from isthmus.files import read_tensors
from isthmus.training.checkpoint import checkpoints
from isthmus.training.stream import Stream, checked_data
from processes_starting import Started
from training_cases import assert_same

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")

SIZES = [
    pytest.param(160_000, id="160 MB"),
    pytest.param(4_000_000, id="4 GB", marks=pytest.mark.slow),
]


@pytest.fixture
def large(request, tmp_path):
    """A file of random rows, of 1 KB each."""
    path, random = tmp_path / "large.npy", np.random.default_rng(0)
    rows = np.lib.format.open_memmap(path, "w+", np.float64, (request.param, 128))
    for start in range(0, len(rows), 10_000):
        rows[start : start + 10_000] = random.random((10_000, 128))
    del rows
    yield path
    path.unlink()


def started(what: str, file: Path, folder: Path) -> Started:
    folder.mkdir(exist_ok=True)
    return Started("stream_process", "growth", what, file, folder)


def growth(what: str, file: Path, folder: Path) -> int:
    process = started(what, file, folder)
    text = process.output(timeout=3000)
    assert process.returncode == 0, text
    return json.loads(text)["growth"]


def reached(folder: Path) -> int:
    found = checkpoints(folder)
    return int(found[-1].stem.removeprefix("step-")) if found else 0


@linux
@pytest.mark.parametrize("large", SIZES, indirect=True)
def test_training_killed_in_mid_epoch_is_training_that_was_not_and_takes_two_buffers(large, tmp_path):
    """Two buffers of 8 MB, and little besides."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    most = growth("fit", large, whole)
    n_steps = -(-(large.stat().st_size // 1024) // 512)
    child = started("fit", large, killed)
    while reached(killed) < 1.4 * n_steps:
        assert child.poll() is None, child.output()
        time.sleep(0.002)
    child.kill()
    assert n_steps < reached(killed) < 2 * n_steps
    assert not (killed / "result").exists()
    most = max(most, growth("fit", large, killed))
    assert_same(read_tensors(killed / "result")[0], read_tensors(whole / "result")[0])
    assert most < 40 * 2**20, f"grew by {most / 2**20:.0f} MB"


@linux
@pytest.mark.parametrize("large", SIZES, indirect=True)
def test_estimators_take_a_buffer_and_a_block(large, tmp_path):
    """Held-out rows, two buffers and blocks; and codes, 16 bytes a row."""
    most = growth("estimate", large, tmp_path)
    assert most < 60 * 2**20 + large.stat().st_size // 32, f"grew by {most / 2**20:.0f} MB"


# --- what does not fit -------------------------------------------------------------------------------


def test_the_least_of_all_limits_counts(monkeypatch):
    assert available_memory() > 2**20
    monkeypatch.setattr(memory, "_machine", lambda: [5])
    monkeypatch.setattr(memory, "_containers", lambda: [7, 3])
    monkeypatch.setattr(memory, "_limits", lambda: [])
    assert available_memory() == 3
    monkeypatch.setattr(memory, "_limits", lambda: [-8])
    assert available_memory() == 0
    for name in ("_machine", "_containers", "_limits"):
        monkeypatch.setattr(memory, name, list)
    assert available_memory() is None
    check_fits(10**15, "anything", "hope")  # unknown: it is tried


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_containers_are_found(tmp_path, version):
    base = tmp_path / "memory" if version == 1 else tmp_path
    limit, usage = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    )
    groups = {"": 2**62 if version == 1 else "max", "slice": 1000, "slice/job": 800}
    for group, most in groups.items():
        (base / group).mkdir(parents=True, exist_ok=True)
        (base / group / limit).write_text(f"{most}\n")
        (base / group / usage).write_text("700\n" if group == "slice" else "100\n")
        (base / group / "memory.stat").write_text("anon 5\ninactive_file 50\nactive_file 7\n")
    membership = tmp_path / "cgroup"
    membership.write_text("5:memory:/slice/job\n1:cpu:/other\n" if version == 1 else "0::/slice/job\n")
    assert sorted(memory._containers(tmp_path, membership)) == [350, 750]  # of the group, and of the one around it
    assert list(memory._containers(tmp_path, tmp_path / "none")) == []


@linux
def test_the_limit_of_a_shell_is_found():
    code = "from isthmus.data.memory import available_memory as a; print(a())"
    limited = f"ulimit -v 3000000; exec {sys.executable} -c '{code}'"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=True)
    assert 2**29 < int(done.stdout) < 3_000_000 * 1024


@pytest.fixture
def little(monkeypatch):
    """1 MB of memory, and nothing is too small to be looked at."""
    monkeypatch.setattr(memory, "available_memory", lambda: 2**20)
    monkeypatch.setattr(memory, "SMALL", 0)


def test_archives_that_do_not_fit_are_found_before_they_are_read(little, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((40_000, 8)))
    assert (tmp_path / "x.npz").stat().st_size < 2**14
    with pytest.raises(ValueError, match=r"what x.npz holds to fit in memory, got 2 MB .* 1 MB .* as \.npy"):
        load_data(tmp_path / "x.npz")


def test_all_rows_of_shards_that_do_not_fit_are_not_read(little):
    shards = Shards(np.broadcast_to(1.0, (40_000, 8)), name="big.npy")
    with pytest.raises(ValueError, match=r"all 40,000 rows of big.npy to fit in memory.*blocks\(\)"):
        np.asarray(shards)
    with pytest.raises(ValueError, match="to fit in memory"):
        VAE().fit(np.zeros((9, 8)), validation=shards)


def test_rows_that_do_not_fit_in_double_precision_are_found_before(little):
    with pytest.raises(ValueError, match=r"the rows, int8 now, .* got 2 MB .*use X.astype\('float32'\)"):
        VAE().fit(np.zeros((40_000, 8), np.int8))


def test_results_that_do_not_fit_are_found_after_the_first_block(little, monkeypatch):
    rows = Shards(np.ones((300_000, 4)), buffer_bytes=2**16)
    model = Autoencoder(4, hidden=(), max_epochs=1, batch_size=100_000).fit(np.random.rand(50, 4))
    monkeypatch.setattr("isthmus.estimators.blocks.BLOCK_BYTES", 2**16)
    with pytest.raises(ValueError, match=re.escape("the results of 300,000 rows to fit in memory, got 5 MB")):
        model.transform(rows)


@pytest.mark.skipif(os.name != "posix", reason="maps elsewhere")
def test_pages_of_a_map_are_given_back(tmp_path):
    path = tmp_path / "map.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.uint8, (64, 2**20))
    rows[:] = 3
    del rows
    mapped = np.load(path, mmap_mode="r")
    shards = Shards(mapped)
    assert shards.statistics().maximum == 3
    if Path("/proc/self/smaps").exists():
        assert resident(path) < 2**21
        assert mapped.max() == 3
        assert resident(path) > 2**25


def resident(path: Path) -> int:
    """Bytes of a mapped file that count as this process's own."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith(str(path)))
    return 1024 * int(next(line for line in lines[start:] if line.startswith("Rss:")).split()[1])


def test_maps_larger_than_a_buffer_are_streamed(tmp_path):
    """Of a file with nothing in it, which takes no room on the disk."""
    path = tmp_path / "empty.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (80_000, 4, 1024))
    mapped = np.load(path, mmap_mode="r")
    data = checked_data(mapped, "data")
    assert isinstance(data, Stream)
    assert (data.n_rows, data.n_features) == (80_000, 4096)
    assert len(data.groups(0, 0)) == 2
    assert shards_of(mapped) is not None
    assert shards_of(mapped[:100]) is None
    assert isinstance(load_data(path).x_train, Shards)
    assert isinstance(load_data(mapped).x_train, Shards)
    rows = next(data.batches(0, 0, 10, 7999))[0]
    assert rows.x.shape == (10, 4096)
