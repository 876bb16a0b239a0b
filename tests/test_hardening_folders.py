"""A run folder belongs to one run, and is found to be unusable before training begins, not when it is to be saved."""

from __future__ import annotations

import errno
import os
import platform
import re
import signal
import threading
from pathlib import Path

import pytest

from isthmus import PCA, VAE
from isthmus.cli.main import main
from isthmus.files import explained, reading_only, write_text
from isthmus.training import folder as folders
from isthmus.training.folder import LOCK, own_folder
from isthmus.training.step import Step
from training_cases import ROWS, assert_same, at_step, died_in_step_8, dying_at, tree
from training_cases import short_run as run

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # where the tests themselves run in a worker
IN_USE = rf"no other run is using, got .*, where process {os.getpid()} on .* is training; wait for it, stop it, or use"


@pytest.fixture
def never_a_step(monkeypatch):
    """No step may be made."""
    monkeypatch.setattr(Step, "__call__", lambda *_: pytest.fail("training began"))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree(folder)}


# --- two runs in one folder --------------------------------------------------------------------------


def elsewhere(action) -> BaseException | None:
    """What an action raises in another thread, which holds nothing that this one does."""
    raised: list[BaseException] = []

    def act():
        try:
            action()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    return raised[0] if raised else None


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_is_refused_and_the_first_is_unharmed(tmp_path, monkeypatch, resume):
    seen = []

    def second():
        before = contents(tmp_path)
        error = elsewhere(lambda: run(tmp_path, resume=resume))
        assert isinstance(error, ValueError)
        assert re.search(IN_USE, str(error))
        assert contents(tmp_path) == before
        seen.extend(before)

    expected, expected_history = run()
    at_step(monkeypatch, 7, second)
    result, history = run(tmp_path)
    assert LOCK in seen
    assert len(seen) > 2
    assert history == expected_history
    assert_same(result, expected)
    assert run(tmp_path)[1] == expected_history  # and now the folder is free


@posix
@forks
def test_another_process_is_refused_with_the_id_of_the_first(tmp_path):
    with own_folder(tmp_path):
        reading, writing = os.pipe()
        if not (child := os.fork()):
            folders._held.set(frozenset())
            try:
                run(tmp_path)
            except ValueError as error:
                os.write(writing, str(error).encode())
            os._exit(0)
        os.close(writing)
        assert os.waitpid(child, 0)[1] == 0
        message = os.read(reading, 10_000).decode()
        os.close(reading)
        assert f"process {os.getpid()} on {platform.node()}" in message
        assert str(tmp_path) in message
    run(tmp_path)


@posix
@forks
def test_what_a_killed_run_leaves_keeps_nobody_out(tmp_path):
    expected, _ = run()
    if not (child := os.fork()):
        with own_folder(tmp_path):
            Step.__call__ = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            run(tmp_path)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert tree(tmp_path) == [LOCK]
    assert f"process {child} on" in (tmp_path / LOCK).read_text()
    assert_same(run(tmp_path)[0], expected)
    assert LOCK not in tree(tmp_path)


def test_the_folder_is_free_after_any_end(tmp_path):
    with dying_at(3):
        run(tmp_path)
    with pytest.raises(KeyError), own_folder(tmp_path):
        raise KeyError
    assert not (tmp_path / LOCK).exists()
    with own_folder(tmp_path), own_folder(f"{tmp_path}/../{tmp_path.name}/"):  # the same, entered again
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


@posix
def test_a_lock_removed_while_one_waits_for_it_is_not_taken(tmp_path, monkeypatch):
    """The run before removes its file between our opening and our locking it: two would then hold 'the' lock."""
    import fcntl

    first, opened = folders._acquire(tmp_path), []

    def flock(file, operation, original=fcntl.flock):
        opened.append(file)
        if len(opened) == 1:
            folders._release(first, tmp_path / LOCK)
        original(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with own_folder(tmp_path):
        assert len(opened) == 2
        assert opened[0].closed
        assert os.path.samestat(os.fstat(opened[1].fileno()), (tmp_path / LOCK).stat())


@posix
def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
    import fcntl

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(RuntimeWarning, match=r"without locks \(No locks available\): see to it that only one run"):
        run(tmp_path)


def test_a_process_that_only_reads_takes_no_lock(tmp_path):
    """Several processes of one run have one folder, and one of them writes."""
    with own_folder(tmp_path), reading_only():
        assert elsewhere(lambda: run(tmp_path)) is None  # though it is held
    with reading_only(), own_folder(tmp_path / "other"):
        assert not (tmp_path / "other").exists()


# --- a folder that can't be written to ---------------------------------------------------------------


def test_a_file_in_the_way_is_found_before_training(tmp_path, never_a_step):
    write_text(tmp_path / "file", "of the user")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "file" / "deep" / "run"):
        with pytest.raises(OSError, match="use a folder that can be written to") as refused:
            run(folder, resume=False)
        assert str(folder) in str(refused.value)
    write_text(tmp_path / "run" / "checkpoints", "a file where the folder should be")
    with pytest.raises(OSError, match="use a folder that can be written to"):
        run(tmp_path / "run")
    assert (tmp_path / "file").read_text() == "of the user"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a system with /proc")
def test_a_system_s_folder_is_found_before_training(never_a_step):
    for folder in ("/proc/run", "/proc/self"):
        with pytest.raises(OSError, match="use a folder that can be written to: '/proc/"):
            run(Path(folder))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_read_only_folder_is_found_before_training(tmp_path, monkeypatch, never_a_step, number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    died = died_in_step_8_before(tmp_path / "run", monkeypatch)
    before = contents(died)
    with monkeypatch.context() as patched:
        patched.setattr(folders, "FileIO", refused)
        with pytest.raises(OSError, match=rf"{os.strerror(number)}; use a folder that can be written to: .*run"):
            run(died)
    with monkeypatch.context() as patched:  # only the folder inside
        patched.setattr(folders.tempfile, "TemporaryFile", refused)
        with pytest.raises(OSError, match=os.strerror(number)):
            run(died)
    assert contents(died) == before


def died_in_step_8_before(folder: Path, monkeypatch) -> Path:
    """A run that left checkpoints, made while steps may be."""
    refusing = Step.__call__
    monkeypatch.undo()
    died_in_step_8(folder)
    monkeypatch.setattr(Step, "__call__", refusing)
    return folder


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_found_before_training(tmp_path, never_a_step):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="use a folder that can be written to"):
        run(tmp_path / "run")


def test_an_estimator_stays_as_it_was_where_its_folder_is_refused(tmp_path):
    write_text(tmp_path / "file", "")
    X = ROWS.numpy()
    model = VAE(2, hidden=(4,), max_epochs=1, random_state=0)
    with pytest.raises(OSError, match="can be written to"):
        model.fit(X, folder=tmp_path / "file")
    assert not hasattr(model, "model_")
    with pytest.raises(OSError, match="can be written to"):
        PCA(2).fit(X).save(tmp_path / "file")


def test_errors_keep_their_number_and_kind():
    full = explained(OSError(errno.ENOSPC, "No space left on device"), "runs/x")
    assert (full.errno, full.filename) == (errno.ENOSPC, "runs/x")
    assert isinstance(explained(OSError(errno.EACCES, "Permission denied"), "x"), PermissionError)
    assert str(explained(OSError("odd"), "x")) == "[Errno None] odd: 'x'"


def test_a_second_command_is_refused_before_it_replaces_anything(tmp_path, capsys):
    """`--overwrite` removes the model and writes config.json: not those of a run that is going on."""
    command = ["train", "vae", "--hidden", "4", "--max-epochs", "1", "--no-report", "--out", str(tmp_path)]
    assert main(command) == 0
    capsys.readouterr()
    with own_folder(tmp_path):
        before = contents(tmp_path)
        codes: list[int] = []
        for more in (["--overwrite"], ["--resume"]):
            assert elsewhere(lambda more=more: codes.append(main([*command, *more]))) is None
            assert re.search(IN_USE, capsys.readouterr().err)
        assert codes == [1, 1]
        assert contents(tmp_path) == before
