"""An HTTP proxy before an S3 server that refuses, delays and breaks off requests at random, by a seed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from urllib.parse import urlsplit

SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade")
BROKEN = (ConnectionError, HTTPException, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How often what goes wrong; the shares add up to 1 at most."""

    refused: float = 0.05
    """Share of requests that are answered with 503 SlowDown, and not passed on."""
    lost: float = 0.01
    """Share that is passed on, but the connection ends before the answer: did it happen or not?"""
    cut: float = 0.02
    """Share whose answer ends in the middle of its body."""
    latency: float = 0.02
    """Longest pause before an answer, in seconds; each one is drawn at random."""
    seed: int = 0


class FaultyProxy:
    """A proxy on a free port of this machine; use it in a `with` statement."""

    def __init__(self, server: str, faults: Faults | None = None) -> None:
        self.faults, self.server = faults or Faults(), urlsplit(server).netloc
        self.counts: Counter[str] = Counter()
        """Number of requests by their fate."""
        self.bytes: Counter[str] = Counter()
        """Bytes of bodies that went `in` to the server and `out` of it."""
        self.methods: Counter[str] = Counter()
        self._numbers, self._lock = count(), threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        """What clients use instead of the server's URL."""

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fate(self, method: str) -> tuple[str, float]:
        """Return what happens to the next request, and how long it is delayed."""
        with self._lock:
            chance, faults = random.Random(f"{self.faults.seed} {next(self._numbers)}"), self.faults
            at, fate = chance.random(), "passed"
            for name in ("refused", "lost", "cut"):
                share = getattr(faults, name)
                if at < share:
                    fate = name
                    break
                at -= share
            self.counts[fate] += 1
            self.methods[method] += 1
            return fate, chance.uniform(0, faults.latency)

    def add_bytes(self, direction: str, size: int) -> None:
        """Note the size of a body."""
        with self._lock:
            self.bytes[direction] += size


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultyProxy
    _upstream: HTTPConnection | None = None

    def do_GET(self) -> None:  # the name that http.server calls
        fate, pause = self.owner.fate(self.command)
        body = self._body()
        time.sleep(pause)
        if fate == "refused":
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        try:
            status, headers, data = self._forward(body)
        except BROKEN:
            self.close_connection = True
            return
        self.owner.add_bytes("in", len(body))
        self.owner.add_bytes("out", len(data))
        if fate == "lost":
            self.close_connection = True
        else:
            self._answer(status, headers, data, cut=fate == "cut")

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._upstream is None:
            self._upstream = HTTPConnection(self.owner.server, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["Content-Length"] = str(len(body))
        self._upstream.request(self.command, self.path, body=body, headers=headers)
        answer = self._upstream.getresponse()
        data = answer.read()
        size = answer.headers.get("Content-Length")
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        if self.command == "HEAD" and size is not None:
            kept.append(("Content-Length", size))
        return answer.status, kept, data

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False) -> None:
        try:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if cut else data)
            if cut:
                self.close_connection = True
        except BROKEN:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
