"""Fetching a published file: with progress, going on where it broke off, and never taking a damaged one."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

__all__ = ["DownloadError", "PublishedFile", "checksum_of", "download"]

SECONDS = 10.0
"""Without an answer, after which a server counts as out of reach."""

MOST_BYTES = 1 << 30
"""Largest file taken where its size was not published."""

_PIECE = 1 << 16


class PublishedFile(NamedTuple):
    """A file as its authors, or those who keep it, publish it.

    Attributes:
        name: of the file.
        addresses: where it is to be had, tried one after the other.
        size: bytes, or None where not published.
        checksum: such as "md5:..." or "sha256:...", or None where not published.
    """

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    checksum: str | None = None


class DownloadError(ValueError):
    """A file could not be had from any of its addresses, or not whole."""


def checksum_of(path: Path, algorithm: str) -> str:
    """A file's checksum as it is published: the algorithm, a colon, and hexadecimal digits."""
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def download(file: PublishedFile, path: Path, *, show: bool = True) -> None:
    """Put a published file in place, whole and checked, or not at all.

    What came before a connection broke is kept beside it as `.part`, and the next call goes on from there. Several
    processes may ask for the same file: one fetches it, the others wait.

    Args:
        file: which one.
        path: where to put it.
        show: say on standard error what is going on.

    Raises:
        DownloadError: no address has it, the connection broke, or its checksum or size is another.
        OSError: it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, problems = path.with_name(f"{path.name}.part"), []
    with _alone(path.parent):
        if path.is_file():  # another process was quicker
            return
        for address in file.addresses:
            try:
                _receive(address, file, part, show)
                _check(file, part)
            except (URLError, TimeoutError, ConnectionError, http.client.HTTPException, DownloadError) as error:
                problems.append(f"{address}: {_words(error)}")
                continue
            os.replace(part, path)
            return
    raise DownloadError("; ".join(problems))


def _receive(address: str, file: PublishedFile, part: Path, show: bool) -> None:
    """Bring the part up to the whole file."""
    # Without a checksum nothing would tell if the rest belonged to another version.
    done = part.stat().st_size if part.is_file() and file.checksum else 0
    if done and done == file.size:
        return
    with _answer(address, done) as answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if answer.status == 206 and not resumed:
            raise DownloadError("the server sent another range than asked for")
        done = done if resumed else 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        most = file.size or min(total or MOST_BYTES, MOST_BYTES)
        if total is not None and total != most:
            raise DownloadError(f"the server has a file of {total:,} bytes, not of {most:,}")
        with open(part, "ab" if resumed else "wb") as out:
            for piece in _shown(answer, file.name, done, total, show):
                done += len(piece)
                if done > most:
                    break
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
    if done > most:
        part.unlink()
        raise DownloadError(f"the server sends more than {most:,} bytes")
    if total is not None and done < total:
        raise DownloadError(f"broken off after {done:,} of {total:,} bytes; call again to go on from there")


def _answer(address: str, done: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "isthmus", "Accept-Encoding": "identity"}
    try:
        wanted = {"Range": f"bytes={done}-"} if done else {}
        return urlopen(Request(address, headers=headers | wanted), timeout=SECONDS)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # nothing beyond what is here: begin again
            return urlopen(Request(address, headers=headers), timeout=SECONDS)
        raise


def _check(file: PublishedFile, part: Path) -> None:
    """Refuse and remove a file that is not what was published."""
    size = part.stat().st_size
    wrong = f"{size:,} bytes instead of {file.size:,}" if file.size is not None and size != file.size else None
    if wrong is None and file.checksum is not None:
        found = checksum_of(part, file.checksum.partition(":")[0])
        wrong = None if found == file.checksum else f"{found} instead of {file.checksum}"
    if wrong is not None:
        part.unlink()
        raise DownloadError(f"what came is damaged or another file ({wrong}), and was removed")


def _shown(answer: http.client.HTTPResponse, name: str, done: int, total: int | None, show: bool) -> Iterator[bytes]:
    """The pieces of an answer, while a person sees how many came: in place on a terminal, else a line at each end."""
    live, last, of = sys.stderr.isatty(), 0.0, "" if total is None else f" of {total / 1e6:,.1f}"

    def say(text: str, end: str = "\n") -> None:
        if show:
            print(f"\r{text}" if live else text, end=end, file=sys.stderr, flush=True)

    say(f"{name}: downloading{' the rest' if done else ''}{f', {total / 1e6:,.1f} MB' if total else ''}")
    while piece := answer.read(_PIECE):
        done += len(piece)
        yield piece
        if live and time.monotonic() - last > 0.1:
            last = time.monotonic()
            say(f"{name}: {done / 1e6:,.1f}{of} MB", end="")
    say(f"{name}: {done / 1e6:,.1f}{of} MB")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, where the system has such locks: they end with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two at once would find their checksums wrong, and say so
        yield
        return
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _words(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, http.client.IncompleteRead):
        return "broken off; call again to go on from there"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer within {SECONDS:.0f} s"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
