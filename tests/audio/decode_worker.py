"""A process that decodes files and tells what came of each, so that crashes and hangs are seen from outside."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_MEMORY = 4 << 30
"""Bytes of address space."""
ANSWER = "answer:"
"""What answers begin with; all else is chatter."""


class Worker:
    """Decodes one file after another; a new process takes over from one that died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, path: Path, seconds: float = 10.0) -> str:
        """Return `sound`, a reason of AudioError, `hang`, `crash <code>`, `chatter: ...`, or the traceback of a bug.

        Parameters
        ----------
        path
            The file.
        seconds
            How long it may take.
        """
        process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        chatter = ""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], seconds)
            if not ready:
                self.stop()
                return "hang"
            received = process.stdout.readline()
            line = received.decode(errors="replace").strip()
            if line.startswith(ANSWER):
                answer = line.removeprefix(ANSWER).replace("\x1f", "\n")
                return f"chatter: {chatter}" if chatter else answer
            if not received:
                code = process.wait()
                self.stop()
                return f"crash {code} {chatter}"
            chatter += line + "\n"

    def _start(self) -> subprocess.Popen[bytes]:
        code = "from tests.audio.decode_worker import work; work()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            bufsize=0,
        )
        return self._process

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe
                pipe.close()
            self._process.kill()
            self._process.wait()
            self._process = None


def work() -> None:
    """Answer each line of standard input."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        answers.write(ANSWER + outcome(Path(line.rstrip("\n"))).replace("\n", "\x1f") + "\n")
        answers.flush()


def outcome(path: Path) -> str:
    """Decode one file as a rendering does, and return what came of it."""
    from spectro.audio.decode import open_sound, probe
    from spectro.core.errors import AudioError

    try:
        probe(path)
        with open_sound(path) as sound:
            for _ in sound.blocks(22050):
                pass
    except AudioError as error:
        return error.reason if str(path) in str(error) and "\n" not in str(error) else f"bad message: {error}"
    except Exception:
        return traceback.format_exc()
    return "sound"
