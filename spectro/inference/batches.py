"""Batches of stored spectrograms or cached features on the device, and the logits of a network."""

from __future__ import annotations

import ctypes
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectro.core.arrays import Floats32, Items

PREFETCHED = 4
"""Batches that the thread prepares ahead."""
ON_DEVICE_SHARE = 0.25
"""Share of a GPU's free memory that the arrays may take to be kept there."""
SMALL = 1 << 20
"""Bytes of a batch below which copying it is faster than handing it over between threads."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of `mallopt` in glibc's malloc.h."""


def to_input(array: NDArray[Any] | Tensor) -> Tensor:
    """Return the input of a network.

    Parameters
    ----------
    array
        8-bit images `[n, bands, frames]`, features of that shape, vectors `[n, values]`, or the 4-dimensional feature
        maps of a frozen backbone.

    Returns
    -------
    Tensor
        float32: images as `[n, 1, bands, frames]` in 0..1, features likewise in their own units, vectors as
        `[n, 1, values, 1]`; feature maps keep their shape.
    """
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(2)
    inputs = tensor.unsqueeze(1).float() if tensor.ndim == 3 else tensor.float()
    return inputs / 255 if tensor.dtype == torch.uint8 else inputs


def keep_memory() -> None:
    """Keep freed memory in this process, because the next training step needs just as much.

    glibc returns large blocks to the system at once, so that every page of the next step's feature maps costs a page
    fault and is zeroed: a third of a training step on a CPU. It changes the allocator of the whole process, so only a
    program calls it, never the library. With other C libraries nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(option, 2**31 - 1)


@dataclass
class Clock:
    """Seconds spent on the batches of an epoch."""

    loading: float = 0.0
    """Preparing them; in parallel with the training where a thread does it."""
    waiting: float = 0.0
    """Time in which the training waited until the next one was on the device."""


class Batches:
    """Batches of one epoch after another, prepared ahead by a thread while the device computes.

    On a GPU with four times their size in free memory, the arrays are kept there and only indexed.

    Parameters
    ----------
    arrays
        `[items, ...]`, may be memory-mapped.
    device
        Where the batches are wanted.
    batch_size
        Largest number of items in a batch.
    augment
        `augment(rows, items, epoch)` returns the rows of a batch changed.
    """

    def __init__(
        self,
        arrays: NDArray[Any],
        device: torch.device,
        batch_size: int,
        augment: Callable[[NDArray[Any], Items, int], NDArray[Any]] | None = None,
    ) -> None:
        self.arrays = arrays
        self.device = device
        self.batch_size = batch_size
        self.augment = augment
        self.resident: Tensor | None = None
        if device.type == "cuda" and augment is None:
            free, _ = torch.cuda.mem_get_info(device)
            if arrays.nbytes < ON_DEVICE_SHARE * free:
                self.resident = torch.from_numpy(np.ascontiguousarray(arrays)).to(device)

    def split(self, items: Items) -> list[Items]:
        """Return batches of nearly equal size, because a last one of one item would break batch normalization."""
        return np.array_split(items, max(1, math.ceil(len(items) / self.batch_size)))

    def __call__(
        self, items: Items, epoch: int = 0, *, clock: Clock | None = None, share: slice = slice(None)
    ) -> Iterator[tuple[Items, Tensor]]:
        """Yield (items of the batch, input tensor on the device) for `items` in the given order.

        Parameters
        ----------
        items
            Indices into the arrays.
        epoch
            Number of the epoch, which augmentation depends on.
        clock
            Adds up the time that the batches take.
        share
            Part of each batch that is wanted: where several processes share the work, each takes its own.
        """
        clock = clock or Clock()
        batches: Iterator[tuple[Items, Tensor]] = (self._make(part[share], epoch, clock) for part in self.split(items))
        small = self.arrays.nbytes * self.batch_size < SMALL * len(self.arrays)
        if self.resident is None and not (small and self.augment is None):
            batches = _prefetched(batches)
        while True:
            began = time.perf_counter()
            try:
                batch, tensor = next(batches)
            except StopIteration:
                return
            ready = to_input(tensor.to(self.device, non_blocking=True))
            clock.waiting += time.perf_counter() - began
            yield batch, ready

    def _make(self, batch: Items, epoch: int, clock: Clock) -> tuple[Items, Tensor]:
        began = time.perf_counter()
        if self.resident is not None:
            tensor = self.resident[torch.from_numpy(batch).to(self.device)]
        else:
            rows = self.arrays[batch]
            if self.augment is not None:
                rows = self.augment(rows, batch, epoch)
            tensor = torch.from_numpy(np.ascontiguousarray(rows))
            tensor = tensor.pin_memory() if self.device.type == "cuda" else tensor
        clock.loading += time.perf_counter() - began
        return batch, tensor


def _prefetched(batches: Iterator[tuple[Items, Tensor]]) -> Iterator[tuple[Items, Tensor]]:
    """Run the iterator in a thread, a few batches ahead; its errors are raised in the consumer."""
    slots: queue.Queue[tuple[Items, Tensor] | BaseException | None] = queue.Queue(PREFETCHED)
    stopped = threading.Event()

    def put(value: tuple[Items, Tensor] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                slots.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # passed on to the consumer, whatever it is
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (value := slots.get()) is not None:
            if isinstance(value, BaseException):
                raise value
            yield value
    finally:
        stopped.set()
        thread.join()


@torch.inference_mode()
def predict_logits(module: nn.Module, batches: Batches, items: Items) -> Floats32:
    """Return the logits `[items, classes]` of `items`; the module is left in evaluation mode."""
    module.eval()
    parts = [module(x).float().cpu().numpy() for _, x in batches(items)]
    return np.concatenate(parts)
