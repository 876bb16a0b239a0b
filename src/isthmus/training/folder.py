"""A run folder while a run is in it: nobody else's, and one that can be written to."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import FileIO
from pathlib import Path

from ..files import explained, may_write

__all__ = ["own_folder"]

LOCK = ".isthmus-lock"

_held: ContextVar[frozenset[Path]] = ContextVar("_held", default=frozenset())


@contextmanager
def own_folder(folder: str | Path | None) -> Iterator[None]:
    """Keep other runs out of a folder while the block lasts, and find out at its beginning that it can be written to.

    The operating system holds the lock and lets go of it when the process ends, however it ends: what a killed run
    leaves keeps nobody out. Inside the block, entering the same folder again does nothing; so does a process that only
    reads, as another one of its run writes.

    Args:
        folder: of the run, made if it is not there; None does nothing.

    Raises:
        ValueError: another run is in the folder.
        OSError: the folder cannot be made or written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, own_folder(folder), own_folder(folder):
        ...     print("ours")
        ours
    """
    path = None if folder is None or not may_write() else Path(folder).resolve()
    if path is None or path in _held.get():
        yield
        return
    try:
        lock = _acquire(path)
    except OSError as error:
        raise explained(error, path) from error
    entered = _held.set(_held.get() | {path})
    try:
        yield
    finally:
        _held.reset(entered)
        _release(lock, path / LOCK)


def _acquire(folder: Path) -> FileIO:
    """An open file that holds the lock of a folder, with a note in it on who that is."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        lock = FileIO(folder / LOCK, "a+")
        try:
            _lock(lock, folder)
        except BaseException:
            lock.close()
            raise
        if _is(lock, folder / LOCK):
            break
        lock.close()  # of a run that ended, and removed its file, while we were waiting for it
    try:
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}, {time.strftime('%Y-%m-%d %H:%M')}".encode())
        if (folder / "checkpoints").exists():  # what cannot be written to should not be found after a minute
            tempfile.TemporaryFile(dir=folder / "checkpoints").close()
    except BaseException:
        _release(lock, folder / LOCK)
        raise
    return lock


def _lock(lock: FileIO, folder: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            lock.seek(2**30)  # what is locked cannot be read there, so not the note itself
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise ValueError(
                f"Expected a folder that no other run is using, got {folder}, where {_owner(folder)} is training; wait "
                "for it, stop it, or use another folder."
            ) from None
        warnings.warn(
            f"{folder} is on a file system without locks ({error.strerror}): see to it that only one run uses it.",
            RuntimeWarning,
            stacklevel=6,
        )


def _owner(folder: Path) -> str:
    try:
        note = (folder / LOCK).read_bytes()[:200].decode(errors="replace")
    except OSError:
        note = ""
    return "".join(filter(str.isprintable, note)) or "another process"


def _is(lock: FileIO, path: Path) -> bool:
    """Whether the open file is still the one at that place."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _release(lock: FileIO, path: Path) -> None:
    """Remove the file while the lock is still ours; Windows removes no open file."""
    if sys.platform == "win32":
        lock.close()
    with suppress(OSError):
        path.unlink()
    lock.close()
