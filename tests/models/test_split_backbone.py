"""Backbones split in two: the halves are the whole in every family, and a split across a shortcut is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.models import build
from spectro.models.split import split_backbone


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv2_100",
        "test_resnet",
        "test_vit",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "vgg11", "densenet121", "convnext_atto")),
    ],
)
@pytest.mark.parametrize("last", [1, 2, 4])
def test_the_halves_are_the_whole_and_share_its_layers(name: str, last: int) -> None:
    torch.manual_seed(0)
    network = build(ModelConfig(name=name), 3, (64, 96)).eval()
    stages, inputs = network.stages(), torch.rand(2, 1, 64, 96)
    front, back = split_backbone(network.backbone, stages[-last:], name, (1, 64, 96))
    with torch.inference_mode():
        assert torch.equal(back(front(network.normalize(inputs))), network.features(inputs))
    trained = {id(parameter) for stage in stages[-last:] for parameter in stage.parameters()}
    assert {id(parameter) for parameter in back.parameters()} == trained
    assert {id(p) for p in network.backbone.parameters()} == trained | {id(p) for p in front.parameters()}


def test_a_shortcut_around_the_split_is_kept_with_the_map() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            sums: Tensor = self.last(torch.relu(x)) + x
            return sums

    around, inputs = Around(), torch.rand(3, 1, 6, 7)
    front, back = split_backbone(around, [around.last], "around", (1, 6, 7))
    kept = front(inputs)
    assert kept.shape == (3, 2 * 4 * 6 * 7, 1, 1)
    assert torch.equal(back(kept), around(inputs))
    assert {id(parameter) for parameter in back.parameters()} == {id(p) for p in around.last.parameters()}


def test_a_backbone_that_cannot_be_traced_is_refused() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(x) if x.sum() > 0 else x

    conditional = Conditional()
    with pytest.raises(ConfigError, match="cannot be traced"):
        split_backbone(conditional, [conditional.last], "conditional", (1, 6, 7))
