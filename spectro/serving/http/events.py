"""A job's states as server-sent events [HTML Living Standard, 9.2], so that nobody has to ask again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from spectro.serving.http.jobs import ENDED, Job

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 0.2
"""Pause between two looks at a job whose threads work elsewhere; its end is noticed at once."""
QUIET_SECONDS = 15.0
"""Longest silence, so that no proxy takes the connection for dead."""


async def job_events(job: Job, describe: Callable[[Job], dict[str, Any]]) -> AsyncIterator[bytes]:
    """Yield an event `state` for each change of a job, the last one when it has ended.

    Parameters
    ----------
    job
        The job.
    describe
        Returns it as JSON values.
    """
    before, quiet = b"", 0.0
    while True:
        ended = job.state in ENDED
        event = f"event: state\ndata: {json.dumps(describe(job))}\n\n".encode()
        if event != before:
            before, quiet = event, 0.0
            yield event
        elif quiet >= QUIET_SECONDS:
            quiet = 0.0
            yield b":\n\n"
        if ended:
            return
        quiet += LOOK_SECONDS
        with suppress(TimeoutError):
            await asyncio.wait_for(job.ended.wait(), LOOK_SECONDS)
