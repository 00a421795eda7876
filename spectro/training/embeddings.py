"""Features of a frozen backbone, computed once for every picture and shared by all runs and folds that need them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from spectro.training.batches import Batches

Features = NDArray[np.float16]


def cache_key(**facts: Any) -> str:
    """Return 16 hexadecimal digits that change with anything the features depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@torch.inference_mode()
def cached_features(
    path: Path,
    extract: Callable[[Tensor], Tensor],
    batches: Batches,
    items: int,
    *,
    epoch: int,
    pooled: bool,
    tick: Callable[[int], None],
) -> Features:
    """Return the features of all `items` pictures, `[items, channels, height, width]`, as a memory-mapped file.

    Parameters
    ----------
    path
        `.npy` file of the cache; used as it is when it exists, for its name holds the key.
    extract
        from pictures `[batch, 1, bands, frames]` to a feature map; in evaluation mode.
    batches
        the pictures; with augmentation, `epoch` numbers the view.
    items
        number of pictures.
    epoch
        view that is made.
    pooled
        keep the mean over height and width only, `[items, channels, 1, 1]`: all that a light head looks at.
    tick
        called with the number of pictures done.
    """
    if path.exists():
        tick(items)
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    features: np.memmap[Any, np.dtype[np.float16]] | None = None
    for batch, x in batches(np.arange(items), epoch):
        maps = extract(x)
        if pooled:
            maps = maps.mean(dim=(2, 3), keepdim=True)
        if features is None:
            features = open_memmap(temporary, mode="w+", dtype=np.float16, shape=(items, *maps.shape[1:]))
        features[batch] = maps.to(torch.float16).cpu().numpy()
        tick(len(batch))
    assert features is not None, "a store has at least one picture"
    features.flush()
    os.replace(temporary, path)
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
