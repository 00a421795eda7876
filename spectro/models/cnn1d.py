"""Convolutional networks over frames, with bands as channels: one family, each network a line of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.models.heads import dense
from spectro.models.network import NETWORKS, Design, Network, Normalize, convolutions, feature_map_shape, make_head


class Frames(nn.Module):
    """Layers over `[batch, channels, frames]`, whose result is a map with one row."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, filters, 1, frames']` of inputs `[batch, 1, bands, frames]`."""
        maps: Tensor = self.blocks(inputs.squeeze(1))
        return maps.unsqueeze(2)


@dataclass(frozen=True, kw_only=True)
class Cnn1d:
    """Blocks of one or more convolutions with ReLU and a max-pool, then dense layers."""

    blocks: Sequence[Sequence[int]]
    """Filters of each convolution of each block."""
    kernel: int
    """Length of the kernels, in frames."""
    pool: int
    """Length of the pools, in frames."""
    dropout: float
    """Share dropped after each pool."""
    dense: Sequence[int]
    """Widths of the dense layers between the flattened map and the classes."""

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

        Raises
        ------
        ConfigError
            the pools leave nothing of such an input.
        """
        blocks, channels = [], shape[0]
        for block in self.blocks:
            layers, channels = convolutions(channels, block, self.kernel)
            blocks.append(nn.Sequential(*layers, nn.MaxPool1d(self.pool), nn.Dropout(self.dropout)))
        backbone = Frames(*blocks)
        maps = feature_map_shape(backbone, 1, shape, config.name)
        head = make_head(config, maps, classes, lambda: dense(maps, classes, self.dense, dropout=0))
        return Network(normalize=Normalize([0.5], [0.25]), backbone=backbone, head=head, stages=blocks)


VARIANTS: dict[str, tuple[Cnn1d, str, str]] = {
    "A-cnn-start": (
        Cnn1d(blocks=((32,), (32,)), kernel=8, pool=4, dropout=0, dense=(100,)),
        "MFCC [coefficients, frames]",
        "study A's first network: two convolutions, pools and dense layers; widths of Dieleman & Schrauwen, 2014",
    ),
    "B-cnn1d": (
        Cnn1d(blocks=((16, 16), (32, 32), (64, 64)), kernel=3, pool=2, dropout=0.2, dense=(512, 512)),
        "dB STFT [bins, frames]",
        "study B, which prints no accuracy",
    ),
}
"""Networks by name: settings, input, source."""

for _name, (_variant, _input, _source) in VARIANTS.items():
    NETWORKS.add(_name)(Design(build=_variant.build, input=_input, source=_source))
