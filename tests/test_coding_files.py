"""Damaged, foreign and forged files of codes are refused in words, in little memory; never wrong codes."""

from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hostile
from children import forks, in_child
from isthmus import PCA
from isthmus.coding import compress_codes, decompress_codes, entropy, open_codes
from isthmus.coding.container import MAGIC
from isthmus.data.memory import TooLargeError
from isthmus.files import UnreadableFile

ROWS = np.random.default_rng(0).normal(size=(60, 5))
MODEL = PCA(3).fit(ROWS)
WHOLE = compress_codes(MODEL, ROWS, 6)
CODES = open_codes(WHOLE).read()


def outcome(data: bytes) -> str:
    """How reading went: right codes, other ones, or a refusal in words."""
    codes, words = np.empty(0), ""
    try:
        codes = open_codes(data).read()
    except (UnreadableFile, TooLargeError) as error:
        words = str(error)
    if words:
        assert words.startswith("Expected")
        assert len(words) <= 2_000
        return "refused"
    return "read" if codes.shape == CODES.shape and (codes == CODES).all() else "others"


def forged(header: object | None = None, body: bytes | None = None, length: int | None = None) -> bytes:
    """A file of any header and any body, with the right digest over both."""
    (n,) = struct.unpack("<I", WHOLE[8:12])
    text = WHOLE[12 : 12 + n] if header is None else json.dumps(header).encode()
    body = WHOLE[12 + n : -32] if body is None else body
    start = MAGIC + struct.pack("<I", len(text) if length is None else length) + text + body
    return start + hashlib.sha256(start).digest()


def header() -> dict[str, object]:
    (n,) = struct.unpack("<I", WHOLE[8:12])
    return json.loads(WHOLE[12 : 12 + n])


def test_a_whole_file_is_read():
    assert outcome(WHOLE) == outcome(forged()) == "read"
    assert header() == {
        "format": 1, "n_rows": 60, "n_components": 3, "bits": 6, "ranges": "each", "dtype": "float64",
        "model": MODEL.fingerprint(),
    }  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_altered_bytes_are_refused(data):
    start = data.draw(st.integers(0, len(WHOLE)))
    stop = data.draw(st.integers(start, min(len(WHOLE), start + 40)))
    torn = WHOLE[:start] + data.draw(st.binary(max_size=40)) + WHOLE[stop:]
    assert outcome(torn) == ("read" if torn == WHOLE else "refused")


@pytest.mark.parametrize("stop", [*range(0, len(WHOLE), 7), len(WHOLE) - 1])
def test_any_cut_is_refused(stop):
    assert outcome(WHOLE[:stop]) == "refused"


def test_every_flipped_bit_is_refused():
    for place in range(len(WHOLE)):
        flipped = bytearray(WHOLE)
        flipped[place] ^= 1 << place % 8
        assert outcome(bytes(flipped)) == "refused"


@pytest.mark.parametrize("name", ["n_rows", "n_components", "bits", "ranges", "dtype", "model", "format"])
def test_any_value_in_the_header(name):
    """With the right digest: what is read is what was written, or nothing."""
    outcomes = set()
    for value in hostile.VALUES:
        if name == "n_rows" and value == 10**9:
            continue  # is tried below, within limits
        outcomes.add(outcome(forged(hostile.changed(header(), (name,), value))))
    assert "refused" in outcomes
    assert outcomes <= {"refused", "read"}  # a fingerprint may be any text, and some values are what was written


@pytest.mark.parametrize("value", [[], [1], "x", 3, False, {}])
def test_any_header(value):
    assert outcome(forged(value)) == "refused"


def body_of(*parts: bytes) -> bytes:
    return b"".join(parts)


def ranges_of(low: float, high: float) -> bytes:
    return np.full(3, low).tobytes() + np.full(3, high).tobytes()


(_LENGTH,) = struct.unpack("<I", WHOLE[8:12])
RANGES, LEVELS = WHOLE[12 + _LENGTH :][:48], WHOLE[12 + _LENGTH + 48 : -32]
FORGED = {
    "ranges upside down": forged(body=ranges_of(1, -1) + LEVELS),
    "a range that is no number": forged(body=ranges_of(np.nan, 1) + LEVELS),
    "an infinite range": forged(body=ranges_of(0, np.inf) + LEVELS),
    "no levels": forged(body=RANGES),
    "nothing": forged(body=b""),
    "one word less": forged(body=RANGES + LEVELS[:-8] + LEVELS[-4:]),
    "a word more": forged(body=RANGES + LEVELS + b"1234"),
    "another checksum": forged(body=RANGES + LEVELS[:-4] + b"1234"),
    "other words": forged(body=RANGES + LEVELS[:8] + LEVELS[8:-4][::-1] + LEVELS[-4:]),
    "more segments than there are": forged(body=RANGES + struct.pack("<I", 10**6) + LEVELS[4:]),
    "no segments": forged(body=RANGES + struct.pack("<I", 0) + LEVELS[4:]),
    "4 GB of words": forged(body=RANGES + LEVELS[:4] + struct.pack("<I", 2**32 - 1) + LEVELS[8:]),
    "no words": forged(body=RANGES + LEVELS[:4] + struct.pack("<I", 0) + LEVELS[-4:]),
    "a header of 4 GB": forged(length=2**32 - 1),
    "a header of nothing": forged(length=0),
    "rows beyond memory": forged(hostile.changed(header(), ("n_rows",), 10**13)),
    "more rows than there are": forged(hostile.changed(header(), ("n_rows",), 10**5)),
    "columns beyond the file": forged(hostile.changed(header(), ("n_components",), 10**9)),
    "a deep header": forged(body=b"")[:8] + struct.pack("<I", 60_000) + b"[" * 60_000,
    "zeros": bytes(100_000),
    "the start mark alone": MAGIC,
    "empty": b"",
}


@pytest.mark.parametrize("how", FORGED)
def test_forged_files_are_refused(how):
    assert outcome(FORGED[how]) == "refused"


@settings(max_examples=100, deadline=None)
@given(words=st.binary(max_size=400), n_segments=st.integers(0, 40))
def test_any_levels_are_refused(words, n_segments):
    """Random words decode to random levels, whose checksum is another one."""
    words = words[: len(words) // 4 * 4]
    piece = struct.pack("<II", n_segments, len(words) // 4) + words
    assert outcome(forged(body=RANGES + piece + LEVELS[-4:])) == "refused"


@forks
@pytest.mark.parametrize("n_rows", [10**9, 10**12, 2**47])
def test_forged_sizes_take_no_memory(n_rows):
    resource = pytest.importorskip("resource")
    data = forged(hostile.changed(header(), ("n_rows",), n_rows))

    def limited():
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc").is_dir() else 0
        limit = pages * resource.getpagesize() + 2**28 if pages else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        return outcome(data)

    assert in_child(limited) == "refused"


def test_a_piece_too_long_to_be_one_is_not_read(monkeypatch):
    """Nobody writes such pieces; all of one is in memory at a time."""
    monkeypatch.setattr(entropy, "PIECE_WORDS", 10)
    monkeypatch.setattr(entropy, "SEGMENT_LEVELS", 20)
    data = forged(body=RANGES + struct.pack("<II", 1, 100) + bytes(400) + LEVELS[-4:])
    with pytest.raises(UnreadableFile, match="Expected a piece of some MB, got 100 words"):
        open_codes(data).read()


def test_a_newer_format_asks_for_a_newer_version():
    with pytest.raises(UnreadableFile, match="use a newer Isthmus"):
        open_codes(forged(hostile.changed(header(), ("format",), 2)))


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.isth", tmp_path):
        with pytest.raises(UnreadableFile, match="Expected a readable file"):
            open_codes(path)


def test_a_file_changed_after_it_was_opened_gives_no_wrong_codes(tmp_path):
    path = tmp_path / "codes.isth"
    path.write_bytes(WHOLE)
    opened = open_codes(path)
    path.write_bytes(WHOLE[:-60] + bytes(28) + WHOLE[-32:])
    with pytest.raises(UnreadableFile):
        opened.read()


def test_rows_beyond_memory_are_found_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr("isthmus.data.memory.available_memory", lambda: 2**20)
    monkeypatch.setattr("isthmus.data.memory.SMALL", 100)
    with pytest.raises(TooLargeError, match="isthmus decode"):
        decompress_codes(MODEL, forged(hostile.changed(header(), ("n_rows",), 10**6)))


def test_decoding_takes_little_more_memory_than_its_rows(monkeypatch):
    monkeypatch.setattr("isthmus.estimators.blocks.BLOCK_BYTES", 2**16)
    table = np.random.default_rng(0).normal(size=(3000, 200))
    model = PCA(2).fit(table)
    data = compress_codes(model, table, 4)
    tracemalloc.start()
    try:
        rows = decompress_codes(model, data)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * rows.nbytes
    finally:
        tracemalloc.stop()
