"""Convolutions over frames followed by a recurrent layer: one family, each network a line of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.models.heads import dense
from spectro.models.network import NETWORKS, Design, Network, Normalize, convolutions, feature_map_shape, make_head


class Recurrent(nn.Module):
    """Convolutions over `[batch, bands, frames]`, then an LSTM, all steps of which are kept."""

    def __init__(self, blocks: Sequence[nn.Module], channels: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.lstm = nn.LSTM(channels, width, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, width, 1, steps]` of inputs `[batch, 1, bands, frames]`."""
        steps: Tensor = self.blocks(inputs.squeeze(1)).transpose(1, 2)
        outputs: Tensor = self.lstm(steps)[0]
        return outputs.transpose(1, 2).unsqueeze(2)


@dataclass(frozen=True, kw_only=True)
class Crnn:
    """Blocks of convolutions with ReLU, a max-pool, batch normalization and dropout; an LSTM; dense layers."""

    blocks: Sequence[Sequence[int]]
    """Filters of each convolution of each block."""
    kernel: int
    """Length of the kernels, in frames."""
    pool: int
    """Length of the pools, in frames."""
    dropout: float
    """Share dropped after each block."""
    lstm: int
    """Width of the LSTM."""
    dense: Sequence[int]
    """Widths of the dense layers between all steps of the LSTM and the classes."""

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
            layers += [nn.MaxPool1d(self.pool), nn.BatchNorm1d(channels), nn.Dropout(self.dropout)]
            blocks.append(nn.Sequential(*layers))
        backbone = Recurrent(blocks, channels, self.lstm)
        maps = feature_map_shape(backbone, 1, shape, config.name)
        head = make_head(config, maps, classes, lambda: dense(maps, classes, self.dense, dropout=0))
        stages = [*blocks, backbone.lstm]
        return Network(normalize=Normalize([0.5], [0.25]), backbone=backbone, head=head, stages=stages)


VARIANTS: dict[str, tuple[Crnn, str, str]] = {
    "B-crnn": (
        Crnn(blocks=((16, 16), (32, 32), (64, 64)), kernel=3, pool=2, dropout=0.2, lstm=96, dense=(64,)),
        "dB STFT [bins, frames]",
        "study B, which prints no accuracy",
    ),
}
"""Networks by name: settings, input, source."""

for _name, (_variant, _input, _source) in VARIANTS.items():
    NETWORKS.add(_name)(Design(build=_variant.build, input=_input, source=_source))
