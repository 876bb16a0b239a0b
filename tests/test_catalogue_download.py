"""Downloads, from a server of our own: whole, broken off and resumed, damaged, refused."""

import dataclasses
import hashlib
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from isthmus.data import CATALOGUE, catalogue_download, load_data
from isthmus.data.catalogue import NamedSet
from isthmus.data.catalogue_download import DownloadError, PublishedFile, checksum_of, download
from isthmus.data.catalogue_files import check, content_checksum, fetch, find
from isthmus.data.formats import read_amat_data

CONTENT = bytes(np.random.default_rng(0).integers(0, 256, 300_000, np.uint8))
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Serves one file as the server says: `content`, `stop_after` so many bytes, `ranges` or not, `status`."""

    def do_GET(self):
        server = self.server
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.asked.append(self.headers.get("Range"))
        start = int(wanted[1]) if wanted and server.ranges else 0
        if server.status != 200 or start >= len(server.content):
            self.send_response(server.status if server.status != 200 else 416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            whole = len(server.content)
            self.send_header("Content-Range", f"bytes {start + server.shift}-{whole - 1}/{whole}")
        body = server.content[start:]
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.stop_after])

    def log_message(self, *arguments):
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.status, server.ranges, server.stop_after = CONTENT, 200, True, None
        server.shift, server.says_length, server.asked = 0, True, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def published(server, checksum=MD5, size=300_000, more=()) -> PublishedFile:
    return PublishedFile("a.bin", (*more, f"http://127.0.0.1:{server.server_port}/a.bin"), size, checksum)


def test_a_file_comes_whole_and_says_so(server, tmp_path, capsys):
    path = tmp_path / "deep" / "a.bin"
    download(published(server), path)
    assert path.read_bytes() == CONTENT
    assert checksum_of(path, "md5") == MD5
    assert "a.bin: 0.3 of 0.3 MB" in capsys.readouterr().err
    assert [p.name for p in path.parent.iterdir() if p.name != ".lock"] == ["a.bin"]
    download(published(server), path)  # it is there: nobody is asked
    assert len(server.asked) == 1
    download(published(server), tmp_path / "b", show=False)
    assert capsys.readouterr().err == ""


def test_a_broken_download_goes_on_where_it_broke_off(server, tmp_path):
    path, server.stop_after = tmp_path / "a.bin", 100_000
    with pytest.raises(DownloadError, match="broken off after 100,000 of 300,000 bytes"):
        download(published(server), path)
    assert not path.exists()
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:100_000]
    server.stop_after = None
    download(published(server), path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("how", ["no ranges", "another range", "nothing left", "no checksum"])
def test_what_can_not_be_resumed_begins_again(how, server, tmp_path):
    path, part = tmp_path / "a.bin", tmp_path / "a.bin.part"
    part.write_bytes(CONTENT[:1000] if how != "nothing left" else CONTENT + b"more")
    file = published(server, checksum=None if how == "no checksum" else MD5)
    server.ranges = how != "no ranges"
    if how == "another range":
        server.shift = 7
        with pytest.raises(DownloadError, match="another range than asked for"):
            download(file, path)
        return
    download(file, path)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] == (None if how in ("no checksum", "nothing left") else "bytes=1000-")


@pytest.mark.parametrize("resumed", [False, True])
def test_a_damaged_file_is_refused_and_removed(resumed, server, tmp_path):
    path, part = tmp_path / "a.bin", tmp_path / "a.bin.part"
    if resumed:
        part.write_bytes(b"\0" * 1000)
    else:
        server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadError, match=r"damaged or another file \(md5:.* instead of md5:.*removed"):
        download(published(server), path)
    assert not path.exists()
    assert not part.exists()


def test_a_file_of_another_size_is_not_taken(server, tmp_path):
    server.content = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="a file of 26 bytes, not of 300,000"):
        download(published(server), tmp_path / "a.bin")
    server.says_length, server.content = False, CONTENT + b"more"
    with pytest.raises(DownloadError, match="more than 300,000 bytes"):
        download(published(server), tmp_path / "a.bin")
    server.content = CONTENT[:-5]
    with pytest.raises(DownloadError, match=r"299,995 bytes instead of 300,000"):
        download(published(server), tmp_path / "a.bin")
    assert list(tmp_path.glob("a.*")) == []


def test_a_server_that_sends_without_end_is_stopped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue_download, "MOST_BYTES", 1000)
    with pytest.raises(DownloadError, match="not of 1,000"):
        download(published(server, None, None), tmp_path / "a.bin")
    server.says_length = False
    with pytest.raises(DownloadError, match="more than 1,000 bytes"):
        download(published(server, None, None), tmp_path / "a.bin")


def test_a_refusal_is_told_and_the_next_address_tried(server, tmp_path):
    server.status = 404
    with pytest.raises(DownloadError, match="the server answers 404 Not Found"):
        download(published(server), tmp_path / "a.bin")
    server.status = 200
    download(published(server, more=("http://127.0.0.1:1/a.bin",)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_no_server_is_told_at_once(tmp_path):
    file = PublishedFile("a.bin", ("http://127.0.0.1:1/a.bin", "http://no-such-host.invalid/a.bin"))
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:1/a\.bin: Connection refused; .*invalid/a\.bin: "):
        download(file, tmp_path / "a.bin")


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    import socket

    monkeypatch.setattr(catalogue_download, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file = PublishedFile("a.bin", (f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin",))
        with pytest.raises(DownloadError, match=r"no answer within|timed out"):
            download(file, tmp_path / "a.bin")


def test_processes_that_want_the_same_file_get_one_download(server, tmp_path):
    code = (
        "from pathlib import Path; from isthmus.data.catalogue_download import *; "
        f"download({published(server)!r}, Path({str(tmp_path / 'a.bin')!r}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(server.asked) == 1


# --- sets of the catalogue --------------------------------------------------------------------------

TEXT = b"0 1\n1 0\n1 1\n0 0\n1 0\n"


def read(paths):
    return read_amat_data(paths[0])


def add_toy(server, monkeypatch, tmp_path, **changes):
    """Put a small set into the catalogue, with this server as its address."""
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.setattr("isthmus.data.catalogue_files.cache_folder", lambda: tmp_path)
    server.content = TEXT
    file = PublishedFile("toy.amat", (f"http://127.0.0.1:{server.server_port}/toy.amat",))
    toy = NamedSet("toy", "a toy", "none", "nobody", ((5, 2), (), ()), read, (file,), source="here")
    monkeypatch.setitem(CATALOGUE, "toy", dataclasses.replace(toy, **changes))


def test_a_set_is_downloaded_once_and_then_found(server, monkeypatch, tmp_path):
    add_toy(server, monkeypatch, tmp_path)
    assert find("toy") is None
    assert check("toy")["state"] == "missing"
    with pytest.raises(ValueError, match=r"got no such files\. It comes from here: put toy\.amat from http://127"):
        load_data("toy", download=False)
    data = load_data("toy", seed=None)
    assert data.x_train.tolist() == [[0, 1], [1, 0], [1, 1], [0, 0], [1, 0]]
    assert fetch("toy") == find("toy") == [tmp_path / "toy" / "toy.amat"]
    load_data("toy")
    assert len(server.asked) == 1
    assert check("toy")["state"] == "ok"


def test_a_set_that_can_not_be_had_says_where_to_put_it(server, monkeypatch, tmp_path):
    add_toy(server, monkeypatch, tmp_path)
    server.status = 404
    where = re.escape(str(tmp_path / "toy"))
    with pytest.raises(
        ValueError, match=rf"404 Not Found\. It comes from here: put toy\.amat from http.* into {where}"
    ):
        load_data("toy")


@pytest.mark.parametrize("changes", [{"shapes": ((6, 2), (), ())}, {"content": "0" * 64}])
def test_a_set_that_is_not_what_it_should_be_is_removed(changes, server, monkeypatch, tmp_path):
    add_toy(server, monkeypatch, tmp_path, **changes)
    with pytest.raises(ValueError, match=r"something else, and was removed: .* put toy\.amat from"):
        fetch("toy")
    assert find("toy") is None
    (tmp_path / "toy" / "toy.amat").write_bytes(TEXT)
    assert check("toy")["state"] == "damaged"


def test_the_numbers_are_checked_whichever_file_they_came_from(server, monkeypatch, tmp_path):
    (tmp_path / "own.amat").write_bytes(TEXT)
    add_toy(server, monkeypatch, tmp_path, content=content_checksum(read([tmp_path / "own.amat"])))
    fetch("toy")
    assert check("toy") == {
        "name": "toy", "state": "ok", "paths": [str(tmp_path / "toy" / "toy.amat")],
        "notes": ["toy.amat: no checksum was published", "numbers as they should be"],
    }  # fmt: skip
