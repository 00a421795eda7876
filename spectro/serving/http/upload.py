"""A request's body on its way to the disk: counted, timed, and never whole in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from spectro.serving.http.jobs import Job, JobStore
from spectro.serving.http.problems import Problem
from spectro.serving.http.settings import ServerConfig

LEAST_RATE = 10_000
"""Bytes a second that a client must send on average, once `stall_seconds` have passed: it holds a place meanwhile."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 8_000_000
"""How long, and how much, a client that is refused may go on sending until it has read why."""


def declared_size(request: Request, config: ServerConfig) -> int:
    """Return the bytes that a body will have by its headers, 0 if unknown.

    Raises
    ------
    Problem
        413 where that is more than is taken, 415 where it is not the bare bytes of a file, 400 where it is empty.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        detail = "Send the bytes of the file as the body, without a form: curl --data-binary @FILE."
        raise Problem(415, "multipart", detail)
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "encoded", "Send the bytes of the file as they are, without a Content-Encoding.")
    text = request.headers.get("content-length")
    if text is None:
        if "transfer-encoding" not in request.headers:
            raise _empty()
        return 0
    size = int(text) if text.isascii() and text.isdigit() else 0
    if size == 0:
        raise _empty()
    if size > config.max_bytes:
        raise too_large(config)
    return size


async def receive(request: Request, job: Job, store: JobStore, config: ServerConfig) -> None:
    """Write a body to the disk as it comes.

    Raises
    ------
    Problem
        413 where it grows too large, 408 where the client falls silent or is too slow, 400 where it is empty, 429
        without room.
    ClientDisconnect
        the client is gone.
    """
    size, begin = 0, time.monotonic()
    with job.sound.open("xb") as file:
        async for chunk in _timed(request, config.stall_seconds):
            size += len(chunk)
            if size > config.max_bytes:
                raise too_large(config)
            if size < LEAST_RATE * (time.monotonic() - begin - config.stall_seconds):
                detail = f"The file comes at less than {LEAST_RATE // 1000} kB/s; send it over a faster line."
                raise Problem(408, "slow-body", detail)
            store.grow(job, size)
            file.write(chunk)
    if size == 0:
        raise _empty()


async def _timed(request: Request, seconds: float) -> AsyncIterator[bytes]:
    """Yield the chunks of a body; raises Problem 408 where none comes for so long."""
    stream = request.stream()
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), seconds)
        except StopAsyncIteration:
            return
        except TimeoutError:
            detail = f"Nothing came for {seconds:g} s in the middle of the file; send it again."
            raise Problem(408, "slow-body", detail) from None


async def linger(request: Request) -> None:
    """Read on for a moment without keeping anything, so that a client that still sends gets to read the answer."""
    begin, size = time.monotonic(), 0
    while (left := begin + LINGER_SECONDS - time.monotonic()) > 0 and size < LINGER_BYTES:
        try:
            message = await asyncio.wait_for(request.receive(), left)
        except (TimeoutError, ClientDisconnect):
            return
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


def too_large(config: ServerConfig) -> Problem:
    """Return the problem of a file that is larger than is taken."""
    detail = f"The file has more than {config.max_megabytes:g} MB; cut it, or start the server with --max-megabytes."
    return Problem(413, "too-large", detail)


def _empty() -> Problem:
    return Problem(400, "empty", "The request has no body; send the bytes of a file: curl --data-binary @FILE.")
