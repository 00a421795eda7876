"""The command line: one short function per command, a thin shell over the public functions."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from spectro.cli import data, evaluate, experiments, plots, serving, train
from spectro.cli.app import INTERRUPTED, MISTAKE, command_line, complain
from spectro.cli.app import app as program
from spectro.core.errors import SpectroError

__all__ = ["data", "evaluate", "experiments", "main", "plots", "program", "serving", "train"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 a mistake of the user, 3 some files failed, 130 interrupted.

    A bug keeps its traceback.
    """
    command_line.set(shlex.join(["spectro", *(sys.argv[1:] if arguments is None else arguments)]))
    try:
        code = program(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except SpectroError as error:
        code = complain(str(error), MISTAKE)
    except CycloptsError as error:
        code = complain(f"{error} (--help lists what there is)", MISTAKE)
    except KeyboardInterrupt as stop:
        code = complain(f"interrupted {stop}".strip() + "; the same command resumes from here", INTERRUPTED)
    except BrokenPipeError:  # `spectro ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # no permission, a full disk, a file where a folder should be
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        code = complain(f"{error.strerror}: {error.filename or 'no space is left'}", MISTAKE)
    sys.exit(code)
