"""What every command shares with a terminal: arguments in, results and words out. Imports neither torch nor models."""

from __future__ import annotations

import json
import sys
from typing import Any, TypeVar

import tyro

__all__ = ["parse", "print_result", "say"]

Options = TypeVar("Options")


def parse(options: type[Options], arguments: list[str], command: str) -> Options:
    """Parse arguments into an options dataclass; exits with code 2 and a suggestion where they don't fit."""
    return tyro.cli(options, args=arguments, prog=f"isthmus {command}", config=(tyro.conf.FlagCreatePairsOff,))


def say(text: str) -> None:
    """Tell a person what is going on, on standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def print_result(result: dict[str, Any], as_json: bool, text: str = "") -> None:
    """The result on standard output: JSON for machines, or the text (else line by line) for people."""
    if as_json:
        print(json.dumps(result, allow_nan=False))
    else:
        print(text or "\n".join(f"{name:<12} {value}" for name, value in result.items()))
