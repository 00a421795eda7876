"""The process behind the API: it listens, loads models, sweeps old jobs, and on a signal finishes what is under way."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from spectro.core.errors import ConfigError, SpectroError
from spectro.serving.http.api import Api, on_http_error, on_problem
from spectro.serving.http.engine import Engine
from spectro.serving.http.guard import Guard
from spectro.serving.http.jobs import JobStore
from spectro.serving.http.metrics import Counts
from spectro.serving.http.problems import Problem
from spectro.serving.http.served_run import ServedRun
from spectro.serving.http.settings import ServerConfig

SWEEP_SECONDS = 2.0
"""Pause between two looks for jobs that are too old."""
GRACE_SECONDS = 60
"""Time that requests under way get when the server is about to end."""
MOST_CONNECTIONS = 256
HEAD_BYTES = 32_768
"""Longest head of a request."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Connection(H11Protocol):
    """A connection that is closed when the head of a request does not come soon: it takes the place of another."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, or stop waiting."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """A server for which a signal is a wish to end, not an error."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on a signal, without raising it again afterwards; a second one ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_server(
    runs: Mapping[str, ServedRun], config: ServerConfig, *, token: str, log: Callable[[str], object]
) -> None:
    """Serve until a signal comes; raises SpectroError where a run cannot be loaded or the port is taken."""
    failures: list[SpectroError] = []
    with listening(config) as listener:
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{host}:{listener.getsockname()[1]}"

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            def fail(error: SpectroError) -> None:
                failures.append(error)
                server.should_exit = True

            engine.start(on_failure=fail, on_ready=lambda: log(f"serving {', '.join(runs)} at {address}"))
            sweeper = asyncio.create_task(_sweep(store))
            try:
                yield
            finally:
                sweeper.cancel()
                await asyncio.to_thread(engine.close)

        store = JobStore(config)
        try:
            engine = Engine(config, runs, store)
            api = Api(config, runs, store, engine, draining=lambda: server.should_exit)
            application = Starlette(
                routes=api.routes(),
                lifespan=lifespan,
                exception_handlers={Problem: on_problem, HTTPException: on_http_error},
            )
            api.guard = guard = Guard(_quiet(application), config, token)
            server = Server(_settings(_counted(guard, api.counts), config))
            server.run(sockets=[listener])
        finally:
            store.close()
    if failures:
        raise failures[0]


def _settings(application: ASGIApp, config: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=math.ceil(config.stall_seconds),
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


@contextmanager
def listening(config: ServerConfig) -> Iterator[socket.socket]:
    """Open the port; raises ConfigError where that is not possible."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.host, config.port))
        except OSError as error:
            advice = "choose another --port, or 0 for any free one"
            raise ConfigError(f"cannot listen on {config.host}:{config.port}: {error.strerror}; {advice}") from None
        yield listener


async def _sweep(store: JobStore) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        store.expire()


def _quiet(application: ASGIApp) -> ASGIApp:
    """Return an application that ends silently where its client is gone."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await application(scope, receive, send)

    return answer


def _counted(application: ASGIApp, counts: Counts) -> ASGIApp:
    """Return an application whose responses are counted by status."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts.requests[message["status"]] += 1
            await send(message)

        await application(scope, receive, send_counted if scope["type"] == "http" else send)

    return answer
