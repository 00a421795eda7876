"""A server as a process of its own, and a client that can stop in the middle of a request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

WAIT = 60.0
"""Seconds after which a test gives up; nothing takes so long on a machine that is not broken."""


@dataclass(frozen=True)
class Answered:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return its JSON values."""
        return json.loads(self.body)


class ServerProcess:
    """`spectro serve` on a free port, with its temporary files in a folder of the test."""

    def __init__(self, runs: Sequence[Path], folder: Path, *options: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spectro", "serve", *map(str, runs), "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder), **environment},
        )
        assert self.process.stderr
        line = self.process.stderr.readline()
        assert line.startswith("serving"), line + self.process.stderr.read()
        self.port = int(line.rsplit(":", 1)[1])
        self.log: list[str] = []
        self._reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,))
        self._reader.start()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answered:
        """Send a request; underscores in names of headers become hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return read(connection)

    def post(self, path: Path, *, later: bool = False, **query: str) -> Answered:
        """Send a file; with `later`, ask for its job."""
        text = urlencode({"name": path.name, **query})
        return self.ask(
            "POST", f"/v1/predictions?{text}", path.read_bytes(), Prefer="respond-async" if later else "wait"
        )

    def until(self, job: str, *states: str) -> Any:
        """Ask for a job until it is in one of some states."""
        for _ in range(int(WAIT * 20)):
            values = self.ask("GET", f"/v1/jobs/{job}").json()
            if values.get("state") in states:
                return values
            threading.Event().wait(0.05)
        raise AssertionError(f"the job never was {states}, but is {values}")

    def worker(self) -> int:
        """Return the process id of its decoder."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        (worker,) = [int(number) for file in children for number in file.read_text().split()]
        return worker

    def stored(self) -> int:
        """Return the bytes in its temporary folder."""
        total = 0
        for here, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):  # it is removing it just now
                    total += os.stat(os.path.join(here, name)).st_size
        return total

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT)
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()
        return code


def read(connection: http.client.HTTPConnection) -> Answered:
    """Return the response to what was sent."""
    with closing(connection):
        response = connection.getresponse()
        return Answered(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )


class Upload:
    """A request that can be sent in parts."""

    def __init__(self, server: ServerProcess, size: int | None, path: str = "/v1/predictions?name=sound.wav") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT)
        self.connection.putrequest("POST", path)
        length = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))
        self.connection.putheader(*length)
        self.connection.endheaders()

    @property
    def socket(self) -> socket.socket:
        """The connection."""
        assert self.connection.sock is not None
        return self.connection.sock  # type: ignore[no-any-return]

    def send(self, part: bytes) -> None:
        """Send a part of the body."""
        self.connection.send(part)

    def close(self) -> None:
        """Hang up."""
        self.connection.close()
