"""Stacked LSTMs that read a spectrogram frame by frame: one family, each network a line of settings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.models.heads import dense
from spectro.models.network import NETWORKS, Design, Network, Normalize, Standardize, make_head


class Stack(nn.Module):
    """LSTMs of different widths on top of each other; the result is the last one's state after the last frame."""

    def __init__(self, bands: int, widths: Sequence[int], dropouts: Sequence[float]) -> None:
        super().__init__()
        sizes = itertools.pairwise([bands, *widths])
        self.layers = nn.ModuleList(nn.LSTM(inputs, width, batch_first=True) for inputs, width in sizes)
        self.dropouts = nn.ModuleList(nn.Dropout(share) for share in dropouts)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, width, 1, 1]` of inputs `[batch, 1, bands, frames]`."""
        steps = inputs.squeeze(1).transpose(1, 2)
        for layer, dropout in zip(self.layers, self.dropouts, strict=True):
            steps = dropout(layer(steps)[0])
        return steps[:, -1, :, None, None]


@dataclass(frozen=True, kw_only=True)
class Lstm:
    """LSTM layers, then dense layers on the last step."""

    widths: Sequence[int]
    """Width of each LSTM."""
    dropouts: Sequence[float]
    """Share dropped after each LSTM."""
    dense: Sequence[int]
    """Widths of the dense layers between the last step and the classes."""
    dropout: float
    """Share dropped after each dense layer."""
    standardize: bool = False
    """Whether each band is standardized over the training set; otherwise the input is scaled to about -2..2."""

    def build(self, config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
        """Return the network, with random weights.

        Parameters
        ----------
        config
            Head and dropout.
        classes
            Number of classes.
        shape
            Bands and frames of the input.
        """
        backbone = Stack(shape[0], self.widths, self.dropouts)
        maps = (self.widths[-1], 1, 1)
        head = make_head(config, maps, classes, lambda: dense(maps, classes, self.dense, dropout=self.dropout))
        normalize = Standardize(shape[0]) if self.standardize else Normalize([0.5], [0.25])
        return Network(normalize=normalize, backbone=backbone, head=head, stages=list(backbone.layers))


def _a(widths: Sequence[int], between: float, *dense: int) -> Lstm:
    # Standardized, though no study says so: the first coefficients alone would drive the gates to their ends.
    return Lstm(widths=widths, dropouts=(between,) * len(widths), dense=dense, dropout=0.3, standardize=True)


_MFCC = "MFCC [coefficients, frames]"

VARIANTS: dict[str, tuple[Lstm, str, str]] = {
    "A-lstm": (_a((128, 64, 32), 0.05, 128, 64), _MFCC, "study A, .88: its best"),
    "A-lstm-start": (_a((128, 64), 0.0, 64), _MFCC, "study A's first network"),
    "A-lstm-128-64-32-d64": (_a((128, 64, 32), 0.05, 64), _MFCC, "study A, .86"),
    "A-lstm-128-64-d128": (_a((128, 64), 0.1, 128), _MFCC, "study A, .85"),
    "A-lstm-64-32-d128": (_a((64, 32), 0.2, 128), _MFCC, "study A, .83"),
    "A-lstm-128-64-32-d64-d32": (_a((128, 64, 32), 0.0, 64, 32), _MFCC, "study A, .86"),
    "A-lstm-64-64-d128-d64": (_a((64, 64), 0.0, 128, 64), _MFCC, "study A, .84"),
    "E-lstm": (
        Lstm(widths=(128, 32, 32, 32, 32), dropouts=(0.5, 0.3, 0.3, 0.3, 0.3), dense=(), dropout=0, standardize=True),
        _MFCC,
        "study E, .42",
    ),
}
"""Networks by name: settings, input, source; without dropout between layers where a study states none."""

for _name, (_variant, _input, _source) in VARIANTS.items():
    NETWORKS.add(_name)(Design(build=_variant.build, input=_input, source=_source))
