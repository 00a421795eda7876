"""A Ray cluster on this machine whose raylets and workers can be killed; processes of other clusters are left alone."""

from __future__ import annotations

import os
import random
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

OBJECTS = 150 << 20
"""Bytes of each raylet's object store: lots must not need more."""
ROOT = Path(__file__).parents[2]


class Raylets:
    """A head without cores and two raylets, each counting as a machine; use it in a `with` statement."""

    def __init__(self, cores: int, count: int = 2) -> None:
        self._cores, self._count = cores, count
        self._nodes: list[Any] = []

    def __enter__(self) -> Raylets:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        os.environ.setdefault("RAY_worker_niceness", "0")  # as local workers; else a busy machine prefers those
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of Ray's own code about its future
            from ray.cluster_utils import Cluster

            head = {"num_cpus": 0, "object_store_memory": OBJECTS, "include_dashboard": False}
            self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
            for _ in range(self._count):
                self._add()
        self.address: str = self._cluster.address
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._cluster.shutdown()

    def kill_worker(self, chance: random.Random) -> bool:
        """Kill a process that works on a lot; tell whether there was one."""
        busy = [pid for pid in self._workers() if b"ray::answer" in _command(pid)]
        if not busy:
            return False
        with suppress(ProcessLookupError):
            os.kill(chance.choice(busy), signal.SIGKILL)
        return True

    def kill_raylet(self, chance: random.Random) -> None:
        """Kill one with all of its workers, and start another in its place."""
        node = chance.choice(self._nodes)
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        self._add()

    def _add(self) -> None:
        self._nodes.append(self._cluster.add_node(num_cpus=self._cores, object_store_memory=OBJECTS))

    def _workers(self) -> list[int]:
        """Return the ids of the processes that a raylet of this cluster has started."""
        parents = {info.process.pid for node in self._nodes for info in node.all_processes.get("raylet", [])}
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) in parents]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
