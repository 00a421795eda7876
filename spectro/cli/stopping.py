"""How a command ends early: a signal or an error of the system becomes one line, which promises only what is true."""

from __future__ import annotations

import _thread
import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from spectro.core.files import STORAGE

SIGNALS = {
    getattr(signal, name): word
    for name, word in (("SIGINT", "interrupted"), ("SIGTERM", "terminated"), ("SIGHUP", "terminated"))
    if hasattr(signal, name)
}
"""Signals that end a command, and what it then says of itself."""
AGAIN = 0.01
"""Seconds after which a signal that came where nothing can be raised is raised again."""
RESUMES = "the same command resumes from here"
NOTHING = "nothing was written"
WHOLE = "each file that it wrote is whole; repeat the command for the others"
NO_RESULT = "no result was written"
AFTER_STOP = {
    "render": RESUMES,
    "split": WHOLE,
    "finetune": RESUMES,
    "evaluate": WHOLE,
    "compare": NO_RESULT,
    "ensemble": "no ensemble was written",
    "report": "no report was written",
    "predict": "no predictions were written",
    "explain": WHOLE,
    "seal": RESUMES,
    "serve": "the sounds and answers that it kept are gone",
    "crossval": NO_RESULT,
    "tta": NO_RESULT,
    "data audit": WHOLE,
    "data features": RESUMES,
    "data clean": "what it removed is gone, the other files are whole; repeat the command",
    "plot run": WHOLE,
    "plot map": "no figure was written",
    "plot features": "no figure was written",
    "plot learning-curve": WHOLE,
    "models push": "the upload may not be complete; repeat the command",
    "bench run": RESUMES,
    "bench sweep": RESUMES,
}
"""What is true of a command that was stopped; of those that are not listed, `NOTHING`."""
ADVICE = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file is where a folder should be; choose another path",
    errno.EISDIR: "a folder is in the place of that file: move it away, or name another file",
    errno.EEXIST: "a file is where a folder should be; choose another path",
    errno.ENOMEM: "the memory is full; close other programs, or use fewer --workers",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.ELOOP: "symbolic links lead in a circle; correct them",
    errno.ETXTBSY: "another program is using it; wait for it",
    errno.ETIMEDOUT: "the disk or network does not answer; try again",
    **STORAGE,
}
"""What to do about an error of the system, by its number."""
UNREADABLE = "you may not read it; ask its owner, or change its permissions"
after_stop: ContextVar[str] = ContextVar("after_stop", default="")
"""What is true of the command that is running if it is stopped, where its arguments decide that."""


@dataclass
class Stop:
    """The signal that ended a command, if one did."""

    number: int | None = None
    over: bool = False
    """Whether the command has ended, so that further signals need not end it."""

    def take(self, number: int, _: FrameType | None = None) -> None:
        """Handle a signal: raise KeyboardInterrupt, so that everything on the way out tidies up."""
        if not self.over:
            self.number = number
            raise KeyboardInterrupt

    @property
    def word(self) -> str:
        """What happened."""
        return SIGNALS.get(self.number or signal.SIGINT, "interrupted")

    @property
    def code(self) -> int:
        """The exit code that shells expect: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Let signals end the body by KeyboardInterrupt; those that are ignored (after `nohup`, say) stay ignored."""
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, stop.take)
    hook = sys.unraisablehook

    def raise_again(unraisable: sys.UnraisableHookArgs) -> None:
        """Raise once more, elsewhere, what came while an object was collected and got lost there."""
        if stop.number is not None and isinstance(unraisable.exc_value, KeyboardInterrupt):
            timer = threading.Timer(AGAIN, _thread.interrupt_main, (stop.number,))
            timer.daemon = True
            timer.start()
        else:
            hook(unraisable)

    sys.unraisablehook = raise_again
    try:
        yield stop
    finally:
        stop.over = True
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def system_error(error: OSError | MemoryError) -> str:
    """Return one line about an error of the system: what happened, to which file, and what to do."""
    if isinstance(error, MemoryError):
        return f"no memory is left; {ADVICE[errno.ENOMEM]}"
    name = file_of(error)
    if error.errno is None:  # made by a library
        return f"{error or type(error).__name__}" + (f" ({name})" if name and name not in str(error) else "")
    advice = ADVICE.get(error.errno, "repeat the command")
    if error.errno in (errno.EACCES, errno.EPERM) and os.path.exists(name) and not os.access(name, os.R_OK):
        advice = UNREADABLE
    return f"{error.strerror or os.strerror(error.errno)}: {name or 'standard output'}; {advice}"


def file_of(error: OSError) -> str:
    """Return the file that an error is about; empty where it names none and none was in use where it was raised."""
    for name in (error.filename2, error.filename):
        if isinstance(name, str | bytes):
            return os.fsdecode(name)
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            if isinstance(value, Path):
                return str(value)
            if isinstance(value, io.IOBase) and isinstance(getattr(value, "name", None), str):
                return str(value.name)  # type: ignore[attr-defined]  # asked in the line above
    return ""
