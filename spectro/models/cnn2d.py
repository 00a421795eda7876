"""Convolutional networks over bands and frames, trained from scratch: one family, each a line of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from spectro.core.config import ModelConfig
from spectro.models.heads import HEADS, dense
from spectro.models.network import NETWORKS, Design, Network, Normalize, Standardize, feature_map_shape, make_head

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Cnn2d:
    """Blocks of convolution (same size), ReLU and max-pool, then dense layers."""

    filters: Sequence[int]
    """Filters of each block."""
    kernels: Sequence[Size]
    """Kernel of each block, (bands, frames)."""
    pools: Sequence[Size]
    """Pool of each block, (bands, frames)."""
    dense: Sequence[int] = ()
    """Widths of the dense layers between the flattened map and the classes; none means a global average instead."""
    dropout: float = 0.0
    """Share dropped after each dense layer."""
    conv_dropout: float = 0.0
    """Share dropped after each pool."""
    batch_norm: bool = False
    """Whether each convolution is followed by batch normalization."""
    standardize: bool = False
    """Whether each band is standardized over the training set; otherwise the input is scaled to about -2..2."""

    def build(self, config: ModelConfig, classes: int, shape: Size) -> Network:
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
        channels = [1, *self.filters]
        backbone = nn.Sequential(*(self._block(at, channels[at], channels[at + 1]) for at in range(len(self.filters))))
        maps = feature_map_shape(backbone, 1, shape, config.name)

        def own() -> nn.Module:
            if not self.dense:
                return HEADS["linear"](maps, classes, config)
            return dense(maps, classes, self.dense, dropout=self.dropout)

        normalize = Standardize(shape[0]) if self.standardize else Normalize([0.5], [0.25])
        return Network(normalize=normalize, backbone=backbone, head=make_head(config, maps, classes, own))

    def _block(self, at: int, channels: int, filters: int) -> nn.Sequential:
        (bands, frames), pool = self.kernels[at], self.pools[at]
        # nn.Conv2d(padding="same") copies, and warns, where a kernel is even; the odd one goes to the end, as in Keras
        around = ((frames - 1) // 2, frames // 2, (bands - 1) // 2, bands // 2)
        layers = [nn.ZeroPad2d(around), nn.Conv2d(channels, filters, (bands, frames), bias=not self.batch_norm)]
        if self.batch_norm:
            layers.append(nn.BatchNorm2d(filters))
        layers += [nn.ReLU(), nn.MaxPool2d(pool)]
        return nn.Sequential(*layers, *([nn.Dropout(self.conv_dropout)] if self.conv_dropout else []))


def _a(filters: Sequence[int], *widths: int) -> Cnn2d:
    kernels = ((4, 4), (3, 3), (2, 2))  # the pools too: so 40 coefficients fit and 13 do not, as in the study's table
    return Cnn2d(filters=filters, kernels=kernels, pools=kernels, dense=widths, dropout=0.3, standardize=True)


_MFCC, _STFT, _MEL = "MFCC [coefficients, frames]", "dB STFT [bins, frames]", "mel-spectrogram [bands, frames]"

VARIANTS: dict[str, tuple[Cnn2d, str, str]] = {
    "cnn5": (
        Cnn2d(filters=(16, 32, 64, 128, 256), kernels=((3, 3),) * 5, pools=((2, 2),) * 5, batch_norm=True),
        _MEL,
        "ours: a small strong start; filters double while the map halves",
    ),
    "A-cnn": (_a((128, 64, 32), 128, 64), _MFCC, "study A, .85: its best"),
    "A-cnn-128-64-32-d128": (_a((128, 64, 32), 128), _MFCC, "study A, .80"),
    "A-cnn-128-32-64-d64": (_a((128, 32, 64), 64), _MFCC, "study A, .79"),
    "A-cnn-64-64-32-d128": (_a((64, 64, 32), 128), _MFCC, "study A, .84"),
    "A-cnn-128-64-32-d64-d128": (_a((128, 64, 32), 64, 128), _MFCC, "study A, .84"),
    "B-cnn2d": (
        Cnn2d(filters=(10, 10), kernels=((5, 5),) * 2, pools=((2, 2),) * 2, dense=(512,)),
        _STFT,
        "study B, which prints no accuracy",
    ),
    "C-cnn": (
        Cnn2d(
            filters=(16, 32, 64, 128, 128),
            kernels=((3, 3),) * 5,
            pools=((2, 2),) * 5,
            dense=(256, 128, 64, 32),
        ),
        _MEL,
        "study C, .67: five blocks and five dense layers, the last to the classes; widths ours, L2 by weight decay",
    ),
    "E-cnn": (
        Cnn2d(
            filters=(32,) * 5,
            kernels=((3, 2),) * 5,
            pools=((1, 2),) * 5,
            dense=(128,),
            dropout=0.5,
            conv_dropout=0.25,
            standardize=True,
        ),
        _MFCC,
        "study E, .56: pools ours, over frames only, for 20 coefficients leave no room",
    ),
}
"""Networks by name: settings, input, source."""

for _name, (_variant, _input, _source) in VARIANTS.items():
    NETWORKS.add(_name)(Design(build=_variant.build, input=_input, source=_source))
