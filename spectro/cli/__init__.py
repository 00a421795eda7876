"""The command line: one short function per command, a thin shell over the public function of the same name."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from spectro.cli import checks, data, evaluate, plots, serving, train
from spectro.cli.app import INTERRUPTED, MISTAKE, complain
from spectro.cli.app import app as program
from spectro.core.errors import SpectroError

__all__ = ["checks", "data", "evaluate", "main", "plots", "program", "serving", "train"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 a mistake that the user can mend, 3 some files failed, 130 interrupted.

    A fault of the program keeps its traceback.
    """
    try:
        code = program(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except SpectroError as error:
        code = complain(str(error), MISTAKE)
    except CycloptsError as error:
        code = complain(f"{error} (--help says what there is)", MISTAKE)
    except KeyboardInterrupt as stop:
        code = complain(f"interrupted {stop}".strip() + "; the same command goes on from here", INTERRUPTED)
    except BrokenPipeError:  # `spectro ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # no permission, a full disk, a file where a folder should be: the user's to mend
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        code = complain(f"{error.strerror}: {error.filename or 'no place is left'}", MISTAKE)
    sys.exit(code)
