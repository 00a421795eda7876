"""Statistics of the feature maps of several stages: time is summed up, a few frequency bands are kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig

STATISTICS = 2
"""Numbers that are kept of each channel in each band: mean and standard deviation."""


class StageStatistics(nn.Module):
    """Mean and deviation of each channel in a few frequency bands, for the last stages of a backbone.

    The last map of a network trained on photographs suits spectrograms least, and averaging over frequency loses what
    most distinguishes sounds. A stage of many channels keeps fewer bands, so that none gives more than `stage_values`
    numbers (or one band's, where a single one has more).

    Parameters
    ----------
    shapes
        Channels, height (frequency) and width (time) of the map of every stage, from input to output.
    config
        Its `stages` and `stage_values` are used.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], config: ModelConfig) -> None:
        super().__init__()
        self.first = max(0, len(shapes) - config.stages) if config.stages else 0
        self.bands = [_bands(channels, rows, config.stage_values) for channels, rows, _ in shapes[self.first :]]
        self.size = sum(
            STATISTICS * channels * bands
            for (channels, *_), bands in zip(shapes[self.first :], self.bands, strict=True)
        )

    def chosen(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return those of the maps of all stages that are read."""
        return tuple(maps[self.first :])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the statistics of the chosen maps `[batch, channels, h, w]` as one map `[batch, size, 1, 1]`."""
        parts = [_statistics(stage, bands) for stage, bands in zip(maps, self.bands, strict=True)]
        return torch.cat(parts, dim=1)[:, :, None, None]


def _bands(channels: int, rows: int, values: int) -> int:
    """Return the number of bands of a stage: a power of two that its rows and the limit of its values allow."""
    most = min(rows, max(1, values // (STATISTICS * channels)))
    return 1 << (most.bit_length() - 1)


def _statistics(maps: Tensor, bands: int) -> Tensor:
    """Return mean and deviation over time and the rows of each band, `[batch, 2 * channels * bands]`, as float32."""
    parts = [torch.var_mean(part, dim=(2, 3), correction=0) for part in torch.tensor_split(maps.float(), bands, dim=2)]
    means = torch.stack([mean for _, mean in parts], dim=2)
    deviations = torch.stack([variance for variance, _ in parts], dim=2).clamp(min=1e-10).sqrt()
    return torch.cat([means.flatten(1), deviations.flatten(1)], dim=1)
