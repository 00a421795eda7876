"""What is known of a model wherever it runs: input, parameters, cost, and where its weights are published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["own", "embedder", "classical", "timm"]

SHAPE = (128, 431)
"""Bands and frames that networks are measured with: a spectrogram of 10 s under the default settings."""
VECTOR = (57, 1)
"""What networks of feature vectors are measured with: the set D57."""
SPECTROGRAM_INPUT, VECTOR_INPUT = "mel-spectrogram [bands, frames]", "feature vector [values]"


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """What is known of a model wherever it runs."""

    name: str
    kind: Kind
    input: str
    shape: tuple[int, int] | None
    parameters: int | None
    multiply_adds: int | None
    repository: str
    """Repository of pretrained weights on the hub; empty for none."""
    url: str
    """Where torch would download pretrained weights from; empty for none."""
    note: str
