"""Starting several processes, as torchrun would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).parent / "processes_worker.py"
MOST = 120  # seconds: nothing here may hang


needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this build of torch has no gloo")


def start(what: str, folder: Path, n: int, **environment: str) -> list[subprocess.Popen]:
    """n processes as torchrun would start them, without its own two seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder.mkdir(exist_ok=True)
    common = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    if n > 1:
        common |= {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, str(WORKER), what, str(folder)],
            env=common | ({"RANK": str(i), "LOCAL_RANK": str(i)} if n > 1 else {}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(n)
    ]  # fmt: skip


def outputs(processes: list[subprocess.Popen]) -> list[str]:
    try:
        return [process.communicate(timeout=MOST)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def finish(processes: list[subprocess.Popen]) -> None:
    texts = outputs(processes)
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(texts)
