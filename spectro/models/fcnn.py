"""Fully connected networks over a whole spectrogram or a feature vector: one family, each a line of settings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.models.heads import dense
from spectro.models.network import NETWORKS, Design, Network, Normalize, Standardize, make_head


class Flat(nn.Module):
    """Layers over the input as one vector, whose result is a map of one point."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, width, 1, 1]` of inputs `[batch, 1, bands, frames]`."""
        values: Tensor = self.layers(inputs.flatten(1))
        return values[:, :, None, None]


@dataclass(frozen=True, kw_only=True)
class Fcnn:
    """Dense layers with ReLU."""

    widths: Sequence[int]
    """Width of each hidden layer."""
    dropout: float = 0.0
    """Share dropped after each hidden layer."""
    batch_norm: bool = False
    """Whether each hidden layer is followed by batch normalization."""
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
            Bands and frames of the input; a feature vector has one frame.
        """
        layers = []
        for inputs, width in itertools.pairwise([shape[0] * shape[1], *self.widths]):
            norm = [nn.BatchNorm1d(width)] if self.batch_norm else []
            drop = [nn.Dropout(self.dropout)] if self.dropout else []
            layers.append(nn.Sequential(nn.Linear(inputs, width), *norm, nn.ReLU(), *drop))
        maps = (self.widths[-1], 1, 1)
        head = make_head(config, maps, classes, lambda: dense(maps, classes, (), dropout=0))
        normalize = Standardize(shape[0]) if self.standardize else Normalize([0.5], [0.25])
        return Network(normalize=normalize, backbone=Flat(*layers), head=head, stages=layers)


_VECTOR = "feature vector [values]"

VARIANTS: dict[str, tuple[Fcnn, str, str]] = {
    "B-fcnn": (Fcnn(widths=(512,) * 5), "dB STFT [bins, frames]", "study B, which prints no accuracy"),
    "D-fnn": (
        Fcnn(widths=(1024, 512, 256, 128, 64), dropout=0.2, batch_norm=True, standardize=True),
        _VECTOR,
        "study D, .76: 765,258 numbers on 57 features, of which 761,290 trainable",
    ),
    "D-fnn-simple": (
        Fcnn(widths=(512, 256, 64), dropout=0.2, standardize=True),
        _VECTOR,
        "study D, .78: 178,122 parameters on 57 features",
    ),
}
"""Networks by name: settings, input, source."""

for _name, (_variant, _input, _source) in VARIANTS.items():
    NETWORKS.add(_name)(Design(build=_variant.build, input=_input, source=_source))
