"""The command line: one short function per command, a thin shell over the public functions."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from spectro.cli import (
    data,
    evaluate,
    exchange,
    experiments,
    installation,
    openset,
    plots,
    predicting,
    rendering,
    review,
    serve,
    serving,
    similar,
    train,
)
from spectro.cli.app import MISTAKE, command_line, complain
from spectro.cli.app import app as program
from spectro.cli.stopping import AFTER_STOP, NOTHING, Stop, after_stop, stoppable, system_error
from spectro.core.distribution import of_missing_package
from spectro.core.errors import ConfigError, SpectroError

__all__ = [
    "data",
    "evaluate",
    "exchange",
    "experiments",
    "installation",
    "lots",
    "main",
    "openset",
    "plots",
    "predicting",
    "program",
    "rendering",
    "review",
    "serve",
    "serving",
    "similar",
    "train",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 a mistake of the user, 3 some files failed, 130 interrupted, 143 terminated.

    A bug keeps its traceback.
    """
    words = sys.argv[1:] if arguments is None else arguments
    command_line.set(shlex.join(["spectro", *words]))
    after_stop.set("")
    with stoppable() as stop:
        try:
            code = _run(words, stop)
        except KeyboardInterrupt as interruption:
            stop.over = True
            promise = after_stop.get() or AFTER_STOP.get(" ".join(program.parse_commands(words)[0]), NOTHING)
            code = complain(f"{stop.word} {interruption}".strip() + f"; {promise}", stop.code)
    sys.exit(code)


def _require_text(words: Sequence[str]) -> None:
    """Raise ConfigError for a name that is no text, which nothing that is written could hold; `predict` reads any."""
    wrong = next((word for word in words if any("\ud800" <= sign <= "\udfff" for sign in word)), None)
    if wrong is not None and words[0] != "predict":
        raise ConfigError(f"the name {wrong!a} is not UTF-8 text; rename that file or folder")


def _run(words: Sequence[str], stop: Stop) -> int | None:
    """Run one command; return its exit code."""
    try:
        _require_text(words)
        code: int | None = program(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()  # here, so that a full disk behind it is noticed
        return code
    except BrokenPipeError:  # `spectro ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if stop.number is not None:  # it came while a module was imported, which made another error of it
            raise KeyboardInterrupt from None
        if isinstance(error, ModuleNotFoundError):
            error = of_missing_package(error) or error
        if isinstance(error, SpectroError):
            return complain(str(error), MISTAKE)
        if isinstance(error, CycloptsError):
            return complain(f"{error} (--help lists what there is)", MISTAKE)
        if isinstance(error, OSError | MemoryError):
            return complain(system_error(error), MISTAKE)
        raise
