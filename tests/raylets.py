"""A Ray cluster of several raylets on this machine, for tests of what a cluster does."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

NODE = {"num_cpus": 1, "object_store_memory": 150 << 20}
"""One core; lots must not need more memory for objects."""
ROOT = Path(__file__).parent.parent


class Raylets:
    """A cluster, to which machines are added and that loses them."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.address = str(cluster.address)

    def add(self) -> Any:
        """Add a machine of one core; return it."""
        return self._cluster.add_node(**NODE)

    def kill(self, machine: Any) -> None:
        """Lose a machine, as in a power cut."""
        self._cluster.remove_node(machine, allow_graceful=False)


@contextmanager
def two_raylets() -> Iterator[Raylets]:
    """Give a cluster of two machines with one core each; its workers can import the tests."""
    with warnings.catch_warnings(), mock.patch.dict(os.environ, {"PYTHONPATH": str(ROOT)}):
        warnings.simplefilter("ignore")  # those of Ray's own code about its future
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        raylets = Raylets(cluster)
        raylets.add()
        try:
            yield raylets
        finally:
            ray.shutdown()
            cluster.shutdown()
