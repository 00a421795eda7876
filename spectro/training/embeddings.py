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
from numpy.lib.format import write_array_header_1_0
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
    try:
        with temporary.open("wb") as file:  # written, not mapped: a full disk is then an error instead of a signal
            for batch, x in batches(np.arange(items), epoch):
                maps = extract(x)
                if pooled:
                    maps = maps.mean(dim=(2, 3), keepdim=True)
                if not file.tell():
                    shape = (items, *maps.shape[1:])
                    write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
                file.write(maps.to(torch.float16).cpu().numpy().tobytes())
                tick(len(batch))
        os.replace(temporary, path)
    except BaseException:  # an interruption too leaves nothing behind
        temporary.unlink(missing_ok=True)
        raise
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
