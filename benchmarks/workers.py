"""Contestants in processes of their own, spoken to over pipes, so that each has its own packages, memory and threads.

A worker is a script that answers one JSON line with another. Both ends use only the standard library: a worker may run
in an environment that has no Isthmus.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / ("Scripts" if os.name == "nt" else "bin") / "python"
NO_CACHE = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # a user's first run waits for the whole of compiling


class WorkerError(RuntimeError):
    """A worker could not be started, or failed; the message is its own last words."""


class Worker:
    """The measuring end of the pipe."""

    def __init__(self, script: str, python: str | Path = sys.executable) -> None:
        if not Path(python).exists():
            raise WorkerError(f"{python} is not there; use make peers")
        path = os.pathsep.join([str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")])
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in close()
        self._process = subprocess.Popen(
            [str(python), str(HERE / script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True,
            env=os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"} | NO_CACHE,
        )  # fmt: skip

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The worker's answer to one line."""
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            self._words.seek(0)
            lines = self._words.read().strip().splitlines() or ["it ended without a word"]
            raise WorkerError(f"{command}: {lines[-1]}")
        return json.loads(answer)

    def close(self) -> None:
        """End the worker."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._words.close()


@contextmanager
def workers() -> Iterator[Callable[..., Worker]]:
    """Starts workers, and ends them all in the end, whatever happened."""
    started: list[Worker] = []

    def start(*arguments: Any) -> Worker:
        started.append(Worker(*arguments))
        return started[-1]

    try:
        yield start
    finally:
        for worker in started:
            worker.close()


class Line:
    """The worker's end of the pipe. Whatever its libraries print goes to standard error instead."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def receive(self) -> dict[str, Any]:
        """The next request; ends the process where there is none."""
        request = sys.stdin.readline()
        if not request:
            raise SystemExit
        return json.loads(request)

    def send(self, **answer: Any) -> None:
        """Answer a request."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


class Turns:
    """Holds a trainer at the beginning of each epoch until its turn comes, and tells how long the last one took."""

    def __init__(self, line: Line) -> None:
        self._line, self._began = line, time.perf_counter()

    def next_epoch(self) -> None:
        """To be called wherever the trainer is about to begin an epoch."""
        self.report()
        self._line.receive()
        self._began = time.perf_counter()

    def report(self) -> None:
        """Seconds since the last turn began; at first, since training was asked for."""
        self._line.send(seconds=time.perf_counter() - self._began)


def serve(commands: dict[str, Callable[..., Any]]) -> None:
    """Answer requests until there are no more: each command answers over the line that it gets first."""
    line = Line()
    while True:
        request = line.receive()
        commands[request.pop("command")](line, **request)
