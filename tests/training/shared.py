"""Small settings and comparisons that the tests of training share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.files import read_csv

QUICK = FinetuneConfig(frozen_epochs=2, epochs=2, batch_size=8, freeze_bn=False, baseline=False, device="cpu")
TINY = ModelConfig(name="test_resnet", dropout=0.1)


def history(run: Path) -> list[dict[str, str]]:
    """Return the lines of `history.csv` without durations, which differ each time."""
    rows = read_csv(run / "history.csv", ("epoch",))
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def differing(one: Path, other: Path) -> dict[str, float]:
    """Return the largest difference in each weight that is not the same to the bit."""
    first, second = (load_file(run / "weights.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    unlike = [name for name in first if not torch.equal(first[name], second[name])]
    return {name: float((first[name].double() - second[name].double()).abs().max()) for name in unlike}
