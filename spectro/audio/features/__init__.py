"""Features: what can be computed from a segment's samples, one file each, filed in `FEATURES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spectro.core.config import Config
from spectro.core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One way to turn the mono samples `[n]` of a segment into numbers."""

    name: str
    """Name in `FEATURES`, in run cards and on the command line."""
    kind: Literal["frames", "vector"]
    """Shape of the result: `frames` is `[bands, frames]`, `vector` is `[values]`."""
    function: Callable[[NDArray[np.float32], Any], NDArray[np.float32]]
    """`function(samples, config)` -> the feature, float32."""
    config: type[Config]
    """Class of its settings."""


FEATURES: Registry[Feature] = Registry("feature")
"""Every feature by name."""

for _module in iter_modules(__path__):  # a new file in this folder is a new feature; nothing else needs to know it
    import_module(f"{__name__}.{_module.name}")
