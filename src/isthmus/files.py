"""Plain, safe files: written whole or not at all, checked when read. Safetensors and JSON, never pickle."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FORMAT",
    "UnreadableFile",
    "explained",
    "may_write",
    "read_json",
    "read_tensors",
    "reading_only",
    "remove",
    "remove_temporaries",
    "replacing",
    "write_bytes",
    "write_json",
    "write_tensors",
    "write_text",
]

FORMAT = 1
"""Version of the files written here; a file of a newer one is refused, never guessed at."""


TEMPORARY = ".isthmus-tmp"


class UnreadableFile(ValueError):
    """A file that is missing, torn, foreign or of a newer format."""

    def __init__(self, words: str) -> None:  # what a file holds may be of any length
        super().__init__(words if len(words) <= 2_000 else f"{words[:1_500]} ... {words[-400:]}")


_writes = True


@contextmanager
def reading_only() -> Iterator[None]:
    """In here this process writes and removes nothing: another one of the same run does."""
    global _writes
    before, _writes = _writes, False
    try:
        yield
    finally:
        _writes = before


def may_write() -> bool:
    """Whether this process is the one of its run that writes."""
    return _writes


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, or a folder with all files in it, if it is there."""
    path = Path(path)
    if _writes and path.is_dir():
        for part in path.iterdir():
            part.unlink(missing_ok=True)
        path.rmdir()
    elif _writes:
        path.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a file by `data`, whole or not at all."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of another one at the end of the block, whole or not at all.

    Temporary file, fsync, rename, fsync of the folder.
    """
    if not _writes:
        with open(os.devnull, "wb") as nothing:
            yield nothing
        return
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise
    if os.name == "posix":  # the rename itself must survive a power cut
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


_ADVICE = dict.fromkeys(
    (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG),
    "the disk is full or a limit reached; what was there before is whole: make room and go on",
) | dict.fromkeys(
    (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT),
    "use a folder that can be written to",
)


def explained(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """The same error, of the path that was asked for, with what to do about it."""
    advice = _ADVICE.get(error.errno or 0)
    words = f"{error.strerror or error}; {advice}" if advice else error.strerror or str(error)
    return OSError(error.errno, words, str(path))


def remove_temporaries(folder: str | os.PathLike[str]) -> None:
    """Remove what writers that were killed left in a folder. Nobody else may be writing into it."""
    for temporary in Path(folder).glob(f".*{TEMPORARY}"):
        remove(temporary)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file by UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace a file by JSON, whole or not at all. NaN and infinity are a ValueError: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object of this format or an older one.

    Raises:
        UnreadableFile: missing, not JSON, not an object, or of a newer format.
    """
    data = _read_bytes(path)
    try:
        value = _parsed(data)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or an integer of thousands of digits
        raise UnreadableFile(
            f"Expected JSON in {path}, got something else ({error}); the file is torn or foreign."
        ) from error
    if not isinstance(value, dict):
        raise UnreadableFile(f"Expected a JSON object in {path}, got {type(value).__name__}.")
    _check_format(path, value.get("format"))
    return value


def _parsed(text: str | bytes) -> Any:
    """The value of JSON, which has no NaN and no infinity."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"it holds {constant}")

    return json.loads(text, parse_constant=refuse)


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write named tensors and JSON metadata as one safetensors file with a checksum over all of it."""
    import safetensors.torch

    payload = safetensors.torch.save(_apart(tensors))
    (length,) = struct.unpack("<Q", payload[:8])
    header, data = json.loads(payload[8 : 8 + length]), memoryview(payload)[8 + length :]
    header["__metadata__"] = {"isthmus": json.dumps({**metadata, "format": FORMAT}, allow_nan=False)}
    header["__metadata__"]["crc32"] = str(_checksum(header, data))
    text = _compact(header)
    text += b" " * (-len(text) % 8)  # the format wants the data aligned to 8 bytes
    write_bytes(path, b"".join((struct.pack("<Q", len(text)), text, data)))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote: tensors and metadata.

    Raises:
        UnreadableFile: missing, truncated, altered, not written by Isthmus, or of a newer format.
    """
    import safetensors
    import safetensors.torch

    payload = _read_bytes(path)
    try:
        tensors = safetensors.torch.load(payload)
        (length,) = struct.unpack("<Q", payload[:8])
        header = json.loads(payload[8 : 8 + length])
    except (safetensors.SafetensorError, struct.error, ValueError, KeyError, RecursionError) as error:
        raise UnreadableFile(
            f"Expected a safetensors file in {path}, got something torn or foreign ({error})."
        ) from error
    try:
        note = header["__metadata__"]
        metadata, checksum = _parsed(note["isthmus"]), int(note.pop("crc32"))
    except (KeyError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"Expected a file written by Isthmus, got another safetensors file: {path}.") from error
    _check_format(path, metadata.get("format") if isinstance(metadata, dict) else None)
    if _checksum(header, memoryview(payload)[8 + length :]) != checksum:
        raise UnreadableFile(
            f"Expected checksum {checksum} of {path}, got another one; the file was altered or damaged."
        )
    return tensors, metadata


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, and tied weights once for each name, as the format has no two names for one tensor."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return apart


def _compact(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()


def _checksum(header: Mapping[str, Any], data: memoryview) -> int:
    """Over the data and the header without the checksum itself: names, shapes and metadata count as well."""
    return zlib.crc32(data, zlib.crc32(_compact(header)))


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UnreadableFile(f"Expected a readable file at {path}, got: {error.strerror or error}.") from error


def _check_format(path: str | os.PathLike[str], version: Any) -> None:
    if not isinstance(version, int):
        raise UnreadableFile(f"Expected a file written by Isthmus, got one without a format version: {path}.")
    if version > FORMAT:
        raise UnreadableFile(
            f"Expected format {FORMAT} or older, got {version} in {path}; use a newer version of Isthmus."
        )
