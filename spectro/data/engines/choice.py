"""Which engine does the lots, as `--engine` names it: local processes, a share of a job array, or Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.records import Record
from spectro.data.engines.pool import Function, Pool

NAMES = ("local", "shard", "ray")
SHARE = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where lots are done."""

    name: Literal["local", "shard", "ray"]
    address: str = ""
    """Of a Ray cluster; empty for the one that RAY_ADDRESS names, or else one of this machine."""
    share: tuple[int, int] = (0, 1)
    """This job's number, from 0, and how many there are: each does every n-th lot, without knowing of the others."""

    @classmethod
    def parse(cls, text: str) -> Engine:
        """Read `local`, `ray`, `ray:ADDRESS` or `shard:3/64`; raises ConfigError for anything else."""
        name, _, rest = text.partition(":")
        if name == "ray":
            return cls(name="ray", address=rest)
        if name == "shard":
            match = SHARE.fullmatch(rest)
            if match is None or not int(match[1]) < int(match[2]):
                raise ConfigError(f"engine '{text}' names no share; write shard:0/64 to shard:63/64 for 64 jobs")
            return cls(name="shard", share=(int(match[1]), int(match[2])))
        if text != "local":
            hint = did_you_mean(name, NAMES)
            raise ConfigError(f"engine is '{text}', but must be local, shard:I/N, ray or ray:ADDRESS{hint}")
        return cls(name="local")

    def open_pool(self, function: Function, job: Record, workers: int = 0, *, gpus: float = 0.0) -> Pool:
        """Start the workers.

        Parameters
        ----------
        function, job
            What they do.
        workers
            Number of local processes; 0 for one per core. Ray has its own.
        gpus
            Share of a GPU that each Ray task takes.
        """
        if self.name == "ray":
            from spectro.data.engines.ray import RayPool

            return RayPool(function, job, self.address, gpus=gpus)
        from spectro.data.engines.processes import ProcessPool

        return ProcessPool(function, job, workers)
