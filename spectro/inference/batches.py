"""From stored pictures or cached features to batches on the device, and from a module back to probabilities."""

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

Items = NDArray[np.int64]
PREFETCHED = 4
ON_DEVICE_SHARE = 0.25
"""Share of a GPU's free memory that the pictures may take to live there."""
SMALL = 1 << 20
"""Bytes of a batch that is taken from memory sooner than a thread can hand it over."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of `mallopt` in glibc's malloc.h."""


def to_input(array: NDArray[Any] | Tensor) -> Tensor:
    """Return what a module eats.

    8-bit pictures `[n, bands, frames]` become `[n, 1, bands, frames]` in 0..1; features of that shape, and vectors
    `[n, values]` as `[n, 1, values, 1]`, keep their units; maps of a frozen backbone only become 32-bit floats.
    """
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(2)
    inputs = tensor.unsqueeze(1).float() if tensor.ndim == 3 else tensor.float()
    return inputs / 255 if tensor.dtype == torch.uint8 else inputs


def keep_memory() -> None:
    """Let the process keep the memory that it frees, for the next step takes just as much.

    glibc hands large blocks back to the system at once, and every page of the next step's feature maps then costs a
    fault and a filling with zeros: a third of a training step on a CPU. With other C libraries nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(option, 2**31 - 1)


@dataclass
class Clock:
    """Seconds spent on the batches of an epoch."""

    loading: float = 0.0
    """Making them: beside the training where a thread does it."""
    waiting: float = 0.0
    """The training standing still until the next one was on the device."""


class Batches:
    """Batches of one epoch after another, made ahead by a thread while the device computes.

    On a GPU whose free memory holds them four times over, the arrays live there and are only indexed.
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
        if device.type == "cpu":
            keep_memory()
        if device.type == "cuda" and augment is None:
            free, _ = torch.cuda.mem_get_info(device)
            if arrays.nbytes < ON_DEVICE_SHARE * free:
                self.resident = torch.from_numpy(np.ascontiguousarray(arrays)).to(device)

    def split(self, items: Items) -> list[Items]:
        """Return batches of nearly equal size, for a last one of one item would break batch normalization."""
        return np.array_split(items, max(1, math.ceil(len(items) / self.batch_size)))

    def __call__(
        self, items: Items, epoch: int = 0, *, clock: Clock | None = None, share: slice = slice(None)
    ) -> Iterator[tuple[Items, Tensor]]:
        """Yield (items of the batch, input tensor on the device) for `items` in the given order.

        Parameters
        ----------
        items
            indices into the arrays.
        epoch
            number that augmentation goes by.
        clock
            adds up what the batches cost.
        share
            part of each batch that is wanted: where several processes share the work, each takes its own.
        """
        clock = clock or Clock()
        made: Iterator[tuple[Items, Tensor]] = (self._make(batch[share], epoch, clock) for batch in self.split(items))
        small = self.arrays.nbytes * self.batch_size < SMALL * len(self.arrays)
        if self.resident is None and not (small and self.augment is None):
            made = _ahead(made)
        while True:
            began = time.perf_counter()
            try:
                batch, tensor = next(made)
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


def _ahead(made: Iterator[tuple[Items, Tensor]]) -> Iterator[tuple[Items, Tensor]]:
    """Run the iterator in a thread, a few batches ahead; its errors are raised where the batch was wanted."""
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
            for batch in made:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # carried to the consumer, whichever it is
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
def predict_logits(module: nn.Module, batches: Batches, items: Items) -> NDArray[np.float32]:
    """Return the logits of `items`, `[items, classes]`, with the module in evaluation mode."""
    module.eval()
    parts = [module(x).float().cpu().numpy() for _, x in batches(items)]
    return np.concatenate(parts)
