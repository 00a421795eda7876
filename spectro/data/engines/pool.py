"""What an engine offers to a driver of lots: places to work, and the outcomes of what was submitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from spectro.core.records import Record
from spectro.data.engines import Done, Failed

Function = Callable[[Any, Any], Record]
"""A function of a module, by which workers find it: `function(job, task) -> result`, all three of them Records."""
LOST = "crashed"
"""Reason of a task whose process died, or its machine."""
FAULT = "storage"
"""Reason of a task that the storage let down."""

Outcome = Done[Any] | Failed


class Pool(Protocol):
    """Workers that do tasks, each on one core."""

    def slots(self) -> int:
        """Return how many tasks run at once, as far as the engine knows now."""

    def room(self) -> int:
        """Return how many tasks may be in flight, those that only wait for a worker among them."""

    def submit(self, task: Record) -> None:
        """Have a task done; no two that run are equal."""

    def wait(self, seconds: float) -> list[tuple[Record, Outcome]]:
        """Return the tasks that have ended, waiting for the first one no longer than that.

        Raises
        ------
        SpectroError
            the function raised one that is neither of a sound nor of the storage.
        RuntimeError
            it raised anything else; its traceback is in the message.
        """

    def cancel(self, task: Record) -> None:
        """End a task; it may still be returned, with any outcome."""

    def close(self) -> None:
        """End all workers."""
