"""The music-tagging networks of the package `musicnn`: two of wide and long filters, two of small ones (VGG)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from spectro.core.config import ModelConfig
from spectro.core.errors import WeightsError
from spectro.models.embedders import EMBEDDERS, Embedder, Staged, with_head
from spectro.models.network import Network
from spectro.models.tensorflow_checkpoint import read_checkpoint

BANDS, FRAMES = 96, 187
"""Input that the networks were trained on: 3 s."""
TIMBRAL, TEMPORAL = (38, 67), (128, 64, 32)
"""Height of the filters along bands, whose length is `LENGTH` frames, and length of those of one band."""
LENGTH = 7
WIDTH = 64
"""Filters of each layer behind the first."""
VGG_WIDTH = 128
VGG_POOLS = (((1, 4), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))
"""Bands and frames that each max-pool joins, and its step."""
EPSILON, MOMENTUM = 1e-3, 0.01
"""TensorFlow's defaults for batch normalization; its momentum .99 is the share of the old average."""


class FirstFilters(nn.Module):
    """Convolution, ReLU and batch normalization, and of each filter the loudest band: `[batch, filters, 1, frames]`."""

    def __init__(self, filters: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, eps=EPSILON, momentum=MOMENTUM)
        self.padding = ((kernel[1] - 1) // 2, kernel[1] // 2)  # zeros before and behind, as TensorFlow places them

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the map of inputs `[batch, 1, bands, frames]`."""
        maps: Tensor = self.norm(self.conv(functional.pad(inputs, self.padding)).relu())
        return maps.amax(dim=2, keepdim=True)


class Layer(nn.Module):
    """Convolution along frames, ReLU and batch normalization; in the middle its input is added."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, WIDTH, (1, LENGTH), padding=(0, LENGTH // 2))
        self.norm = nn.BatchNorm2d(WIDTH, eps=EPSILON, momentum=MOMENTUM)
        self.shortcut = shortcut

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the map of maps `[batch, channels, 1, frames]`."""
        maps: Tensor = self.norm(self.conv(inputs).relu())
        return maps + inputs if self.shortcut else maps


class First(nn.Module):
    """Normalization and the filters of all shapes, side by side."""

    def __init__(self) -> None:
        super().__init__()
        kernels = [*((204, (height, LENGTH)) for height in TIMBRAL), *((51, (1, length)) for length in TEMPORAL)]
        self.norm = nn.BatchNorm2d(1, eps=EPSILON, momentum=MOMENTUM)
        self.filters = nn.ModuleList(FirstFilters(count, kernel) for count, kernel in kernels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, 561, 1, frames]` of inputs `[batch, 1, 96, frames]`."""
        scaled = self.norm(inputs)
        return torch.cat([filters(scaled) for filters in self.filters], dim=1)


class Musicnn(Staged):
    """The network up to its pooling along time: of each channel of each layer the maximum and the mean, normalized.

    The original reads 3 s; longer inputs are pooled in as many windows of about that length, so that 3 s give what the
    original gives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = First()
        self.layers = nn.ModuleList([Layer(561, shortcut=False), *(Layer(WIDTH, shortcut=True) for _ in range(2))])
        self.norm = nn.BatchNorm2d(2 * (561 + 3 * WIDTH), eps=EPSILON, momentum=MOMENTUM)

    def stage_maps(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of all layers as one, `[batch, 753, 1, frames]`, and pooled, `[batch, 1506, 1, windows]`."""
        maps = [self.first(_at_least_a_window(inputs))]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        together = torch.cat(maps, dim=1)
        windows = (1, max(1, round(together.shape[3] / FRAMES)))
        most = functional.adaptive_max_pool2d(together, windows)
        mean = functional.adaptive_avg_pool2d(together, windows)
        by_turns = torch.stack([most, mean], dim=2).flatten(1, 2)  # as the original has them
        return together, self.norm(by_turns)

    def stages(self) -> list[nn.Module]:
        """Return the parts from input to output."""
        return [self.first, *self.layers, self.norm]


class Vgg(Staged):
    """Five blocks of a convolution, ReLU, batch normalization and a max-pool."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(1, eps=EPSILON, momentum=MOMENTUM)
        self.blocks = nn.ModuleList()
        for number, (pool, step) in enumerate(VGG_POOLS):
            conv = nn.Conv2d(VGG_WIDTH if number else 1, VGG_WIDTH, 3, padding=1)
            layers = [conv, nn.ReLU(), nn.BatchNorm2d(VGG_WIDTH, eps=EPSILON, momentum=MOMENTUM)]
            self.blocks.append(nn.Sequential(*([] if number else [norm]), *layers, nn.MaxPool2d(pool, step)))

    def stage_maps(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the map of each block, `[batch, 128, bands, frames]`; the last has one band, and 1 frame a second."""
        maps = [self.blocks[0](_at_least_a_window(inputs))]
        for block in self.blocks[1:]:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def stages(self) -> list[nn.Module]:
        """Return the parts from input to output."""
        return list(self.blocks)


Make = Callable[[], Musicnn | Vgg]


def _at_least_a_window(inputs: Tensor) -> Tensor:
    """Repeat inputs that are shorter than those of the training, as the original's training did."""
    frames = inputs.shape[3]
    return inputs if frames >= FRAMES else inputs.repeat(1, 1, 1, math.ceil(FRAMES / frames))[..., :FRAMES]


def build(make: Make, config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Return a network of the backbone that `make` makes, with random weights."""
    return with_head(make(), config, classes, shape)


def read(make: Make, convolutions: Sequence[str], path: Path) -> dict[str, Tensor]:
    """Return the weights in the package under the names of our backbone, without the last layers, which give tags.

    Parameters
    ----------
    make
        Makes the backbone.
    convolutions
        Names of the checkpoint's convolutions, from input to output; its norms are numbered in that order.
    path
        The checkpoint's file of tensors.

    Raises
    ------
    WeightsError
        the file is no checkpoint, or another network's.
    """
    tensors, weights = read_checkpoint(path), {}
    with torch.device("meta"):  # only the names are wanted
        layers = list(make().named_modules())
    norms = [name for name, layer in layers if isinstance(layer, nn.BatchNorm2d)]
    try:
        for (ours, layer), theirs in zip(_convolutions(layers), convolutions, strict=True):
            kernel = torch.from_numpy(tensors[f"{theirs}/kernel"])  # [frames, bands, channels, filters]
            as_bands = kernel.shape[2] != layer.in_channels  # where channels stand in the place of bands
            weights[f"{ours}.weight"] = kernel.permute((3, 1, 2, 0) if as_bands else (3, 2, 1, 0)).contiguous()
            weights[f"{ours}.bias"] = torch.from_numpy(tensors[f"{theirs}/bias"])
        for number, ours in enumerate(norms):
            theirs = f"batch_normalization_{number}" if number else "batch_normalization"
            parts = {part: torch.from_numpy(tensors[f"{theirs}/{name}"]) for part, name in NORM.items()}
            weights |= {f"{ours}.{part}": value for part, value in parts.items()}
            weights[f"{ours}.num_batches_tracked"] = torch.tensor(0)
    except KeyError as error:
        raise WeightsError(f"{path} has no {error}; is it another network's? install its package again") from None
    return weights


def _convolutions(layers: Sequence[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Conv2d]]:
    return ((name, layer) for name, layer in layers if isinstance(layer, nn.Conv2d))


NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
"""Names of the tensors of a batch normalization, ours and TensorFlow's."""
FAMILIES: Mapping[str, tuple[Make, tuple[str, ...], str]] = {
    "musicnn": (Musicnn, ("conv2d", *(f"conv2d_{number}" for number in range(1, 8))), "wide and long filters"),
    "vgg": (Vgg, tuple(f"{number}CNN" for number in range(1, 6)), "five blocks of 3 x 3 filters"),
}
"""Backbone, names of the convolutions in the checkpoint, and title."""
CORPORA = {"msd": "the Million Song Dataset (200,000 songs)", "mtt": "MagnaTagATune (19,000 excerpts)"}
"""What they were trained to tag."""

for _family, (_make, _names, _title) in FAMILIES.items():
    for _corpus, _songs in CORPORA.items():
        _name = f"{_family}_{_corpus}"
        EMBEDDERS.add(_name)(
            Embedder(
                build=partial(build, _make),
                read=partial(read, _make, _names),
                feature="logmel16k",
                shape=(BANDS, FRAMES),
                input="log-mel-spectrogram logmel16k [96, frames]",
                source=f"{_title}, trained to tag {_songs}; Pons & Serra, 2019",
            )
        )
