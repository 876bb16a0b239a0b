"""Something done in a process of its own that is forked from this one, and so needs no second to start."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["forks", "in_child"]


def forks(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test that forks: skipped where nothing can, and not warned of where the tests run beside threads."""
    test = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")(test)


def in_child(function: Callable[[], Any]) -> Any:
    """What a function returns, anything that JSON holds, in a child; fails where the child does not come to an end."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if not (child := os.fork()):
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(function(), pipe)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        result = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        pytest.fail(f"a child ended with status {status}")
    return json.loads(result)
