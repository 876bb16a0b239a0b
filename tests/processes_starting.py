"""Starting several processes, as torchrun would, without the seconds that each would need to import what it works with.

They are forked from a server that has imported it and done nothing else, so that each begins as a new one would.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

__all__ = ["MOST", "Started", "finish", "needs_gloo", "outputs", "run_script", "start"]

MOST = 120  # seconds: nothing here may hang

SERVER = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
SERVER.set_forkserver_preload(["isthmus.estimators", "isthmus.evaluation", "isthmus.training.sharded"])

needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this build of torch has no gloo")


class Started:
    """A process that calls a function of a module of the tests: as much of `subprocess.Popen` as they need.

    Args:
        module, function: their names.
        arguments: of the function.
        environment: variables of the process, besides those of this one.
    """

    def __init__(self, module: str, function: str, *arguments: object, **environment: str) -> None:
        file, name = tempfile.mkstemp(prefix="isthmus-")
        os.close(file)
        self._says = Path(name)
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
        self._process = SERVER.Process(target=_call, args=(name, environment, module, function, arguments), daemon=True)
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("OMP_NUM_THREADS", "1")  # the server reads it when it starts, for all that it forks
            self._process.start()

    @property
    def returncode(self) -> int | None:
        """What the process ended with, the negative number of the signal that ended it, or None."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def output(self, timeout: float = MOST) -> str:
        """All that the process wrote, once it has ended; one that does not is killed."""
        try:
            self._process.join(timeout)
            if self._process.exitcode is None:
                raise TimeoutError(f"no end after {timeout} seconds: {self._says.read_text()}")
            return self._says.read_text()
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process, if it runs, and forget what it wrote."""
        self._process.kill()
        self._process.join()
        self._says.unlink(missing_ok=True)


def _call(says: str, environment: dict[str, str], module: str, function: str, arguments: tuple[object, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(says, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in a shell's background, which ignores it
    getattr(importlib.import_module(module), function)(*arguments)


def run_script(path: Path, *arguments: str) -> None:
    """What `python PATH ARGUMENTS` does."""
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def start(what: str, folder: Path, n: int, **environment: str) -> list[Started]:
    """n processes as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder.mkdir(exist_ok=True)
    if n > 1:
        environment |= {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [{"RANK": str(i), "LOCAL_RANK": str(i)} if n > 1 else {} for i in range(n)]
    return [Started("processes_worker", what, folder, **environment, **rank) for rank in ranks]


def outputs(processes: list[Started]) -> list[str]:
    """What each of them wrote, once all have ended, in time."""
    end = time.monotonic() + MOST
    try:
        return [process.output(max(end - time.monotonic(), 0)) for process in processes]
    finally:
        for process in processes:
            process.kill()


def finish(processes: list[Started]) -> None:
    texts = outputs(processes)
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(texts)
