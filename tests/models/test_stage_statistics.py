"""Statistics of several stages: bands within their limit, numbers as defined, and a head that reads them."""

from __future__ import annotations

import pytest
import torch

from spectro.core.config import ModelConfig
from spectro.models import build
from spectro.models.stage_statistics import StageStatistics

SHAPES = ((16, 32, 48), (48, 13, 24), (300, 4, 6))
MULTI = ModelConfig(name="test_resnet", head="multi", stages=3)


def maps(items: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(items, *shape, generator=generator) + 3 for shape in SHAPES]


@pytest.mark.parametrize(("values", "bands"), [(1, [1, 1, 1]), (400, [8, 4, 1]), (10_000, [32, 8, 4])])
def test_a_stage_keeps_as_many_bands_as_its_limit_allows(values: int, bands: list[int]) -> None:
    statistics = StageStatistics(SHAPES, ModelConfig(stages=0, stage_values=values))
    assert statistics.bands == bands
    assert statistics(maps()).shape == (2, statistics.size, 1, 1)
    limits = [max(values, 2 * channels) for channels, _, _ in SHAPES]
    assert all(2 * shape[0] * count <= most for shape, count, most in zip(SHAPES, bands, limits, strict=True))


def test_the_statistics_are_mean_and_deviation_of_each_band() -> None:
    config = ModelConfig(stages=2, stage_values=400)
    statistics, stages = StageStatistics(SHAPES, config), maps()
    chosen = statistics.chosen(stages)
    assert [tuple(stage.shape[1:]) for stage in chosen] == list(SHAPES[1:])
    parts = statistics(chosen)[:, :, 0, 0].split([2 * 48 * 4, 2 * 300], dim=1)
    means, deviations = parts[0].unflatten(1, (2, 48, 4)).unbind(dim=1)
    second = chosen[0][:, :, 4:7]  # 13 rows in four bands: 4, 3, 3, 3
    torch.testing.assert_close(means[:, :, 1], second.mean(dim=(2, 3)))
    torch.testing.assert_close(deviations[:, :, 1], second.std(dim=(2, 3), correction=0))
    torch.testing.assert_close(parts[1][:, :300], chosen[1].mean(dim=(2, 3)))


def test_a_constant_map_has_finite_gradients() -> None:
    statistics = StageStatistics(SHAPES[:1], ModelConfig())
    constant = torch.ones(2, *SHAPES[0], requires_grad=True)
    statistics((constant,)).sum().backward()
    assert constant.grad is not None
    assert constant.grad.isfinite().all()


def test_a_network_reads_the_maps_of_its_last_stages() -> None:
    torch.manual_seed(0)
    network = build(MULTI, 4, (64, 96)).eval()
    everything = build(ModelConfig(name="test_resnet", head="multi", stages=0), 4, (64, 96))
    inputs = torch.rand(2, 1, 64, 96)
    with torch.inference_mode():
        stages = network.maps(inputs)
        features = network.features(inputs)
        assert len(stages) == 3
        assert len({stage.shape[2] for stage in stages}) == 3
        torch.testing.assert_close(network.summed_up(stages), features)
        assert len(everything.maps(inputs)) > 3
        wider = network.features(torch.rand(2, 1, 64, 200))  # a longer segment has the same numbers
    assert wider.shape == features.shape
    limit = sum(max(MULTI.stage_values, 2 * stage.shape[1]) for stage in stages)
    assert features.shape[1] <= limit
