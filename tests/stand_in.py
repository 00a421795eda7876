"""A server on this machine that stands in for a service, for tests of code that talks to one."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers requests; a service adds its own `do_GET` and so on."""

    def reply(self, code: int, content: bytes, headers: dict[str, str], *, body: bool = True) -> None:
        """Send a whole answer, or only its head."""
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


class StandIn:
    """Serves until it is stopped."""

    def __init__(self, handler: type[Handler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self) -> None:
        """Hang up; whoever asks now is refused."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
