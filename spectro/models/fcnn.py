"""Fully connected networks over a whole picture, or over one vector of features: one family, its members as data."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.models.heads import dense
from spectro.models.network import NETWORKS, Design, Network, Normalize, Standardize, make_head


class Flat(nn.Module):
    """Layers over the picture as one vector, seen from outside as maps of one point."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `[batch, width, 1, 1]` of pictures `[batch, 1, bands, frames]`."""
        values: Tensor = self.layers(pictures.flatten(1))
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
    """Whether each band is standardized over the training set; if not, pictures are scaled to about -2..2."""

    def build(self, config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
        """Return the network for pictures of `shape`; a vector of features is a picture of one frame."""
        made = []
        for inputs, width in itertools.pairwise([shape[0] * shape[1], *self.widths]):
            norm = [nn.BatchNorm1d(width)] if self.batch_norm else []
            drop = [nn.Dropout(self.dropout)] if self.dropout else []
            made.append(nn.Sequential(nn.Linear(inputs, width), *norm, nn.ReLU(), *drop))
        maps = (self.widths[-1], 1, 1)
        head = make_head(config, maps, classes, lambda: dense(maps, classes, (), dropout=0))
        normalize = Standardize(shape[0]) if self.standardize else Normalize([0.5], [0.25])
        return Network(normalize=normalize, backbone=Flat(*made), head=head, stages=made)


_VECTOR = "feature vector [values, 1]"

VARIANTS: dict[str, tuple[Fcnn, str, str]] = {
    "B-fcnn": (Fcnn(widths=(512,) * 5), "dB STFT [bins, frames]", "study B, no figure printed"),
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
"""Members by name: settings, what they eat, where they come from."""

for _name, (_variant, _eats, _source) in VARIANTS.items():
    NETWORKS.add(_name)(Design(build=_variant.build, eats=_eats, source=_source))
