"""The entry point: finds the command and turns errors into messages and exit codes. Imports nothing slow."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module

from .. import __version__

__all__ = ["COMMANDS", "main"]

# What each command does; its module, of the same name, is imported when it is called.
COMMANDS = {
    "demo": "train PCA, an autoencoder and a VAE, measure them side by side, write a report",
    "train": "train a model on data and write a run folder",
    "evaluate": "measure a trained model on held-out data",
    "encode": "write the codes of data, plain or compressed",
    "decode": "write the rows that codes stand for",
    "predict": "write the classes or clusters of data, or the numbers a regressor expects, and how sure it is",
    "impute": "fill the missing values of data by what a trained model expects there",
    "reconstruct": "encode data and decode them again",
    "sample": "write new data drawn from a trained model",
    "plot": "draw a picture of a trained model: rows, codes, filters, samples, its network",
    "posterior": "fit a posterior to a log-density of your own, and say how far to trust it",
    "reproduce": "run a published table again: what was published beside what was measured",
    "data": "list, describe, fetch and check the sets that have a name",
}

USAGE = """Autoencoders and the latent-variable models around them: trained fast, measured in exact nats.

usage: isthmus COMMAND [options]          options of a command: isthmus COMMAND --help

{commands}

Data are a file of your own or a named set, as isthmus data list says; models, as isthmus train --help says.
Start with: isthmus demo

exit codes: 0 done; 1 data or files can't be used; 2 the command line is wrong; 3 training failed; 130 interrupted
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        lines = "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items())
        print(USAGE.format(commands=lines), end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"isthmus {__version__}")
        return 0
    command, *rest = arguments
    if command not in COMMANDS:
        return _usage_error(f"unknown command {command!r}{did_you_mean(command, COMMANDS)}")
    return _run(command, rest)


def _run(command: str, arguments: list[str]) -> int:
    try:
        with _one_of_several():
            import_module(f".{command}", __package__).run(arguments)
    except SystemExit as stop:  # the parser's own: 0 after --help, 2 for a wrong option
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt as stop:
        return _failed(command, str(stop) or "interrupted", 130)
    except UsageError as error:
        return _usage_error(str(error))
    except ArithmeticError as error:  # NonFiniteError, without importing torch for it
        return _failed(command, str(error), 3)
    except BrokenPipeError:  # whoever reads the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be flushed at the end
    except ConnectionError as error:  # LostProcess
        return _failed(command, str(error), 3)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return _failed(command, str(error), 1)
    return 0


@contextmanager
def _one_of_several() -> Iterator[None]:
    """Under torchrun all processes run the command together, and the first of them speaks."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    from ..processes import is_first, joined

    with joined(), open(os.devnull, "w") as nowhere, ExitStack() as silence:
        if not is_first():
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        yield


class UsageError(Exception):
    """A command line that makes no sense."""


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A suggestion for a misspelt word, or all that there is."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def _usage_error(message: str) -> int:
    print(f"isthmus: {message}\nSee: isthmus --help", file=sys.stderr)
    return 2


def _failed(command: str, message: str, code: int) -> int:
    number = int(os.environ.get("RANK", "0"))
    if number and code == 130:  # all were stopped; the first one says so
        return code
    process = f" (process {number})" if number else ""
    print(f"isthmus {command}{process}: {message}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
