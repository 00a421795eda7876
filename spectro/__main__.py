"""The entry of the program: it can be stopped without a traceback from its first moment on, before anything loads."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def main() -> None:
    """Run the command line.

    What is ignored (after `nohup`, say) stays ignored. While the program loads, a signal ends it at once, since
    there is nothing to tidy up; `spectro.cli` then takes over, and when it is done a signal ends the process silently.
    """
    wanted = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    for number in wanted:
        signal.signal(number, _leave)
    from spectro.cli import main as run

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold what no text may
    try:
        run()
    finally:
        for number in wanted:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, _: FrameType | None) -> None:
    os.write(2, b"spectro: interrupted before it began; nothing was written\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
