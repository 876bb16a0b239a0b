"""A disk that is full, at any write of a run: what was there stays whole, the error says so, the run goes on later."""

from __future__ import annotations

import builtins
import ctypes
import errno
import json
import os
import re
from pathlib import Path

import pytest

import isthmus
from children import forks, in_child
from isthmus import VAE, files
from isthmus.cli.main import main
from isthmus.files import UnreadableFile, read_tensors
from isthmus.training import folder as folders
from isthmus.training.checkpoint import checkpoints
from isthmus.training.folder import LOCK
from isthmus.training.step import Step
from training_cases import ROWS, assert_same, tree
from training_cases import short_run as run

FULL = "the disk is full or a limit reached; what was there before is whole: make room and go on"


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Half:
    """A file that takes half of what is written to it."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        no_space()


def fill(patched: pytest.MonkeyPatch, how: str, after: int) -> list[str]:
    """Let every write fail but the first so many; returns a list that grows with each."""
    seen: list[str] = []

    def opened(path, mode, original=builtins.open):
        seen.append(str(path))
        return Half(original(path, mode)) if len(seen) > after and how == "write" else original(path, mode)

    def late(original):
        return lambda *arguments: no_space() if len(seen) > after else original(*arguments)

    patched.setattr(files, "open", opened, raising=False)
    if how != "write":
        patched.setattr(os, how, late(getattr(os, how)))
    return seen


def whole(folder: Path) -> int:
    """Read all files of a run, which must be whole; returns how many there are."""
    for path in checkpoints(folder):
        assert read_tensors(path)[1]["kind"] == "checkpoint"
    for line in (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else ():
        assert json.loads(line)["loss"]
    assert [name for name in tree(folder) if Path(name).name.startswith(".")] == []
    return len(tree(folder))


@pytest.mark.parametrize("how", ["write", "fsync", "replace"])
def test_a_full_disk_at_any_write_harms_nothing_and_the_run_goes_on(tmp_path, monkeypatch, how):
    with monkeypatch.context() as patched:
        seen = fill(patched, how, after=1000)
        expected, expected_history = run(tmp_path / "undisturbed")
        n_writes = len(seen)
    assert n_writes > 5
    for after in range(n_writes):
        folder = tmp_path / str(after)
        with monkeypatch.context() as patched:
            seen = fill(patched, how, after)
            with pytest.raises(OSError, match=rf"No space left on device; {FULL}: ") as full:
                run(folder)
        assert len(seen) == after + 1  # nothing is tried again and again
        assert full.value.errno == errno.ENOSPC
        assert str(folder) in full.value.filename
        assert re.search("metrics.jsonl$|step-.*safetensors$", full.value.filename)  # and no temporary name
        assert whole(folder) >= min(after, 2)
        result, history = run(folder)
        assert history == expected_history
        assert_same(result, expected)


def test_a_full_disk_is_found_before_training(tmp_path, monkeypatch):
    class Full(folders.FileIO):
        def write(self, _):
            no_space()

    monkeypatch.setattr(folders, "FileIO", Full)
    monkeypatch.setattr(Step, "__call__", lambda *_: pytest.fail("training began"))
    with pytest.raises(OSError, match=f"{FULL}: .*/run"):
        run(tmp_path / "run")
    assert LOCK not in tree(tmp_path / "run")


def test_a_saved_model_outlives_a_full_disk(tmp_path, monkeypatch):
    X = ROWS.numpy()
    model = VAE(2, hidden=(4,), max_epochs=1, random_state=0).fit(X)
    other = VAE(3, hidden=(4,), max_epochs=1, random_state=1).fit(X)
    model.save(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in tree(tmp_path)}
    for how in ("write", "fsync", "replace"):
        with monkeypatch.context() as patched:
            fill(patched, how, after=0)
            with pytest.raises(OSError, match=f"{FULL}: .*/model.safetensors"):
                other.save(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in tree(tmp_path)} == before
    assert (isthmus.load(tmp_path).transform(X) == model.transform(X)).all()


def test_the_command_says_it_in_one_sentence_and_goes_on_afterwards(tmp_path, monkeypatch, capsys):
    command = ["train", "vae", "--max-epochs", "2", "--hidden", "4", "--no-report", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    reference = read_tensors(tmp_path / "run" / "model.safetensors")
    capsys.readouterr()
    for after in range(1, 4):  # config.json is there; then checkpoint, metrics, model
        out = tmp_path / str(after)
        with monkeypatch.context() as patched:
            fill(patched, "write", after)
            assert main([*command[:-1], str(out)]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert re.fullmatch(rf"isthmus train: \[Errno {errno.ENOSPC}\] No space left on device; {FULL}: '.*'", last)
        assert str(out) in last
        with pytest.raises(UnreadableFile, match="No such file"):
            isthmus.load(out)
        assert main(["train", "--resume", "--no-report", "--out", str(out)]) == 0
        capsys.readouterr()
        assert_same(read_tensors(out / "model.safetensors")[0], reference[0])


# --- a system that really has no room ------------------------------------------------------------------


@forks
def test_a_limit_on_the_size_of_files(tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "run").mkdir()

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
        with pytest.raises(OSError, match="use|limit") as full:
            run(tmp_path / "run")
        return str(full.value)

    message = in_child(limited)
    assert FULL in message
    assert "step-000000003.safetensors" in message
    assert whole(tmp_path / "run") == 0
    assert_same(run(tmp_path / "run")[0], run()[0])


def mount(folder: Path, size: int) -> None:
    """A file system of so many bytes that this process alone sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, private, recursive = 0x20000, 1 << 18, 1 << 14
    if (
        libc.unshare(new_namespace)
        or libc.mount(None, b"/", None, private | recursive, None)
        or libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode())
    ):
        raise PermissionError(ctypes.get_errno(), "no mount")


@forks
@pytest.mark.skipif(not os.path.exists("/proc/self/ns/mnt"), reason="needs Linux")
def test_a_disk_that_fills_up(tmp_path):
    expected, expected_history = run()

    def filling():
        try:
            mount(tmp_path, 128 * 1024)
        except PermissionError:
            return "no mount"
        ballast, folder = tmp_path / "ballast", tmp_path / "run"
        run(folder, max_epochs=1)
        size = checkpoints(folder)[-1].stat().st_size
        ballast.write_bytes(bytes(os.statvfs(tmp_path).f_bavail * 4096 - size // 2))  # less than one more needs
        with pytest.raises(OSError, match="No space left") as full:
            run(folder, checkpoint_steps=1)
        assert whole(folder) > 1
        ballast.unlink()
        result, history = run(folder, checkpoint_steps=1)
        assert history == expected_history
        assert_same(result, expected)
        return str(full.value)

    if (message := in_child(filling)) == "no mount":
        pytest.skip("this system lets nobody mount a small disk")
    assert FULL in message
