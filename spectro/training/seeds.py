"""Random numbers of torch from a seed, which leaves the generators of the calling program as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside; afterwards the generators continue as before."""
    cuda = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU and restore none
        for number in cuda:
            torch.cuda.default_generators[number].manual_seed(seed)
        if mps is None:
            yield
            return
        torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            torch.mps.set_rng_state(mps)
