"""A pool of Ray tasks on one machine or a cluster: one core each, JSON in, a small answer out, nothing to spill."""

from __future__ import annotations

import os
import re
import socket
import time
import warnings
from importlib import import_module
from typing import Any, get_type_hints

from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError, first_line
from spectro.core.records import Record
from spectro.data import worker
from spectro.data.engines import Failed
from spectro.data.engines.local import cores
from spectro.data.engines.pool import Function, Outcome
from spectro.data.engines.processes import outcome_of

OBJECTS = 150 << 20
"""Bytes of Ray's object store where it is started here: tasks and answers are far smaller."""
MEMORY = 512 << 20
"""Bytes that Ray counts for a task, so that it does not put more of them on a machine than that has memory for."""
REFRESH = 10.0
"""Seconds for which the number of cores of a cluster is taken as known: machines come and go."""
AHEAD = 2
"""Tasks in flight for each core."""
PATIENCE = 10.0
"""Longest time to wait for a cluster to answer, in seconds."""
HOST = re.compile(r"(?:ray://)?\[?([^\]/]+?)\]?:(\d{1,5})", re.ASCII)
GONE = "the process or the machine that worked on it was lost"


class RayPool:
    """Ray Core tasks. A task that dies is not tried again by Ray, for the driver counts the deaths of each lot."""

    def __init__(self, function: Function, job: Record, address: str = "", *, gpus: float = 0.0) -> None:
        require_packages("--engine ray", "ray")
        self._ray = _connected(address)
        self._names = function.__module__, function.__name__
        self._job = job.to_dict()
        self._returned = get_type_hints(function)["return"]
        options: dict[str, Any] = {"num_cpus": 1, "memory": MEMORY, "max_retries": 0, "num_gpus": gpus or None}
        self._remote = self._ray.remote(**options)(answer)
        self._gpus = gpus
        self._running: dict[Any, Record] = {}
        self._slots, self._known = 0, -REFRESH

    def slots(self) -> int:
        """Return the number of cores of the cluster, or as many as its GPUs allow."""
        if time.monotonic() - self._known >= REFRESH:
            self._known = time.monotonic()
            resources = self._ray.cluster_resources()
            count = resources.get("GPU", 0) / self._gpus if self._gpus else resources.get("CPU", 0)
            self._slots = max(1, int(count))
        return self._slots

    def room(self) -> int:
        """Return twice as many, so that no core waits for the driver, and no more, so that nothing piles up in Ray."""
        return AHEAD * self.slots()

    def submit(self, task: Record) -> None:
        """Have a task done."""
        self._running[self._remote.remote(*self._names, self._job, task.to_dict())] = task

    def wait(self, seconds: float) -> list[tuple[Record, Outcome]]:
        """Return the tasks that have ended."""
        if not self._running:
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        if ended:
            ended, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [(self._running.pop(one), self._outcome(one)) for one in ended]

    def cancel(self, task: Record) -> None:
        """Kill the process that does a task."""
        for reference, own in list(self._running.items()):
            if own == task:
                self._ray.cancel(reference, force=True)

    def close(self) -> None:
        """End what still runs; a cluster that was there stays."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return outcome_of(self._ray.get(reference), self._returned)
        except errors.RayTaskError as error:  # not even our own function could be run
            if isinstance(error.cause, ImportError) or "ModuleNotFoundError" in str(error):
                raise ConfigError("workers of the cluster lack spectro; install the same version on each") from None
            raise
        except (errors.RayError, errors.TaskCancelledError) as error:
            return Failed(worker.CRASHED.reason, f"{GONE} ({type(error).__name__}: {first_line(error)})")


def answer(module: str, function: str, job: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Be a worker: do one task, and return the answer as local workers send it."""
    call = getattr(import_module(module), function)
    job_type, task_type = list(get_type_hints(call).values())[:2]
    try:
        return {"value": call(job_type.from_dict(job), task_type.from_dict(task)).to_dict()}
    except Exception as error:
        return worker.from_exception(error)


def _connected(address: str) -> Any:
    """Return the module `ray`, connected to the cluster of an address, or to one that is started here without one."""
    there = address or os.environ.get("RAY_ADDRESS", "")
    _require_listener(there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Ray's own code about its future
        import ray

        if ray.is_initialized():
            return ray
        own: dict[str, Any] = {"num_cpus": cores(), "object_store_memory": OBJECTS, "include_dashboard": False}
        try:
            ray.init(
                **({"address": there} if there else own),
                runtime_env={"env_vars": worker.ENVIRONMENT},
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            where = there or "this machine"
            raise ConfigError(
                f"there is no Ray cluster at {where}: {first_line(error)}; start one: ray start"
            ) from None
    return ray


def _require_listener(address: str) -> None:
    """Raise ConfigError where nothing listens at `HOST:PORT`: Ray itself would look for it for minutes."""
    match = HOST.fullmatch(address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=PATIENCE).close()
    except OSError as error:
        raise ConfigError(
            f"there is no Ray cluster at {address} ({error.strerror or error}); start one: ray start --head"
        ) from None
