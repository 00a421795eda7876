"""Bounds of the numbers that commands take, beside those of the settings in `core.config`: checked before any work."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from spectro.core.config import MAX_EPOCHS, MAX_SECONDS
from spectro.core.errors import ConfigError

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)


def between(low: float, high: float, *, open_end: bool = False) -> Callable[[Any, Any], None]:
    """Return a validator of a number, or of several: from `low` to `high`, or up to it with `open_end`; never nan.

    It raises ValueError, which the command line reports with the option's name.
    """

    def validate(_: object, value: float | Sequence[float] | None) -> None:
        for one in value if isinstance(value, list | tuple) else () if value is None else (value,):
            if not low <= one <= high or (open_end and one == high):
                raise ValueError(f"it must lie from {low:g} {'up to, not including,' if open_end else 'to'} {high:g}")

    return validate


def require_device(_: object, name: str) -> None:
    """Raise ConfigError for a device that no machine has."""
    if not DEVICE.fullmatch(name):
        raise ConfigError(f"device is '{name}', but must be auto, cpu, cuda, cuda:NUMBER or mps")


Workers = Annotated[int, Parameter(validator=between(0, 1024))]
Megabytes = Annotated[float, Parameter(validator=between(0.001, 4000))]
Seed = Annotated[int, Parameter(validator=between(0, 2**32 - 1))]
Seeds = Annotated[int, Parameter(validator=between(1, 1000))]
EpochsCap = Annotated[int, Parameter(validator=between(0, MAX_EPOCHS))]
Classes = Annotated[int, Parameter(validator=between(1, 1_000_000))]
Count = Annotated[int, Parameter(validator=between(0, 1_000_000))]
PerClass = Annotated[int, Parameter(validator=between(1, 1000))]
Overlap = Annotated[float, Parameter(validator=between(0, 1, open_end=True))]
Probability = Annotated[float, Parameter(validator=between(0, 1))]
Start = Annotated[float, Parameter(validator=between(0, 1e6))]
Lengths = Annotated[Sequence[float], Parameter(consume_multiple=True, validator=between(0.01, MAX_SECONDS))]
Device = Annotated[str, Parameter(validator=require_device)]
