"""Torch networks as classifiers, and the device that they run on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Barrier
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectro.core.arrays import Probs, softmax
from spectro.core.card import Card
from spectro.core.errors import ConfigError, RunError, did_you_mean
from spectro.core.runs import Run
from spectro.data.engines.local import cores
from spectro.inference.batches import Batches, predict_logits
from spectro.inference.finite import require_finite
from spectro.inference.network_file import load_network
from spectro.inference.openset import Embedded
from spectro.models.network import Network

BATCH_SIZE = 32
SMALL = 3
"""Items in a call on a CPU: MobileNetV2 takes half of the time that it takes in batches of 32; and a clip of 30 s has
three segments as a rule, so that nothing is filled up where one is asked about by itself."""
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class TorchClassifier:
    """A torch network with its card."""

    card: Card
    network: Network
    device: torch.device

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return self.card.labels

    @property
    def batch_size(self) -> int:
        """Number of items in one call that is fastest: on CPUs few, whose feature maps stay in the cache."""
        return SMALL if self.device.type == "cpu" else 2 * BATCH_SIZE

    @property
    def lanes(self) -> ThreadPoolExecutor | None:
        """Threads that call it side by side, each on a core of its own; None on other devices than CPUs."""
        return _lanes() if self.device.type == "cpu" else None

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of `[items, bands, frames]` or `[items, values]`.

        Raises
        ------
        RunError
            the network gives numbers that are not finite, or does not take inputs of that shape.
        """
        batches = Batches(arrays, self.device, BATCH_SIZE)
        try:
            logits = predict_logits(self.network, batches, np.arange(len(arrays)))
        except (RuntimeError, AssertionError) as error:
            if isinstance(error, torch.OutOfMemoryError) or arrays.shape[1:] in (self.card.input, self._vector):
                raise
            shape = " x ".join(map(str, arrays.shape[1:]))
            raise RunError(f"{self.card.name} does not take inputs of {shape}; its card is of another model") from None
        return require_finite(softmax(logits), self.card.name)

    def predict_embedded(self, arrays: NDArray[Any]) -> Embedded:
        """Return probabilities with the features before the head, averaged over their map, and the logits."""
        batches = Batches(arrays, self.device, BATCH_SIZE)
        both = predict_logits(_WithFeatures(self.network), batches, np.arange(len(arrays)))
        logits, vectors = np.split(both, [len(self.labels)], axis=1)
        return Embedded(require_finite(softmax(logits), self.card.name), vectors, logits)

    @property
    def _vector(self) -> tuple[int, ...] | None:
        """Shape of one input, if that is a vector."""
        return self.card.input[:1] if self.card.input and self.card.input[1] == 1 else None


class _WithFeatures(nn.Module):
    """A network that gives, behind its logits, the mean of the feature map that its head reads."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, classes + channels]`."""
        maps = self.network.features(inputs)
        logits: Tensor = self.network.head(maps)
        return torch.cat([logits.float(), maps.float().mean(dim=(2, 3))], dim=1)


def load(run: Run, device: str = "auto") -> TorchClassifier:
    """Return the network of a run, on a device and in evaluation mode.

    Parameters
    ----------
    run
        A run of one network.
    device
        What `resolve_device` takes.

    Raises
    ------
    RunError
        the card describes no network, or the weights are damaged or do not fit it.
    ConfigError
        there is no such device.
    """
    card, target = run.card, torch.device(resolve_device(device))
    _, shape = card.of_model()
    config = card.model.network if card.model else None
    if config is None:
        raise RunError(f"{run.card_path} does not describe a network (model.network is missing); train it again")
    path = run.checked(run.weights_path)
    try:
        network = load_network(path, config, len(card.labels), shape)
    except ConfigError as error:
        raise RunError(f"{run.card_path} describes a network that cannot be built: {error}") from None
    return TorchClassifier(card, network.to(target).to(memory_format=torch.channels_last).eval(), target)


@cache
def _lanes() -> ThreadPoolExecutor:
    """Return one thread per core, in each of which torch uses that core only; elsewhere it uses as many as before."""
    count, before = cores(), torch.get_num_threads()
    everyone = Barrier(count)
    pool = ThreadPoolExecutor(count, "spectro-lane", initializer=torch.set_num_threads, initargs=(1,))
    list(pool.map(lambda _: everyone.wait(), range(count)))
    torch.set_num_threads(before)  # which is also the number that new threads of others take
    return pool


def resolve_device(name: str) -> str:
    """Return the torch device that a setting means: `auto` is CUDA where there is a GPU, else the CPU.

    Parameters
    ----------
    name
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises
    ------
    ConfigError
        the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in DEVICES[1:] or (":" in name and not (number.isascii() and number.isdecimal())):
        raise ConfigError(f"unknown device '{name}'{did_you_mean(name, DEVICES)} (have: {', '.join(DEVICES)})")
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= available:
        how_many = f" (only {available} of that kind)" if available else ""
        raise ConfigError(f"there is no '{name}' on this machine{how_many}; use --device cpu, or auto for what it has")
    return name
