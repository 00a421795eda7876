"""The music-tagging networks give what the original code gives under TensorFlow, for inputs of any length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from spectro.core.arrays import Floats32
from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, WeightsError
from spectro.models import EMBEDDERS, Network, build, build_pretrained
from spectro.models.embedders.musicnn import Musicnn
from spectro.models.pretrained import SHIPPED, find_shipped
from spectro.models.tensorflow_checkpoint import read_checkpoint

NAMES = ("musicnn_msd", "musicnn_mtt", "vgg_msd", "vgg_mtt")
SHAPE = (96, 187)
GOLDEN = json.loads(Path(__file__).with_name("tensorflow_logits.json").read_text())
"""Written once by the package's own code under TensorFlow; the file says which, and how the input is made."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    if find_shipped(request.param) is None:
        pytest.skip("THE WEIGHTS ARE NOT TESTED: the package musicnn is not installed; scripts/install does")
    return str(request.param)


def tensorflow_input() -> Tensor:
    items = np.random.default_rng(0).random((3, 187, 96)) * np.linspace(4, 1, 96)
    return torch.from_numpy(items.astype(np.float32)).transpose(1, 2)[:, None].contiguous()


def tag_logits(network: Network, maps: Tensor, tensors: Mapping[str, Floats32]) -> Tensor:
    """The original's last layers, which our backbone leaves out, on its map of one window."""

    def dense(values: Tensor, layer: str) -> Tensor:
        return values @ torch.from_numpy(tensors[f"{layer}/kernel"]) + torch.from_numpy(tensors[f"{layer}/bias"])

    if not isinstance(network.backbone, Musicnn):
        return dense(maps.transpose(1, 3).flatten(1), "dense")
    hidden = dense(maps.flatten(1), "dense").relu()
    parts = ("moving_mean", "moving_variance", "gamma", "beta")
    mean, variance, scale, shift = (torch.from_numpy(tensors[f"batch_normalization_10/{part}"]) for part in parts)
    return dense((hidden - mean) / (variance + 1e-3).sqrt() * scale + shift, "dense_1")


def test_the_tags_are_those_of_the_original_under_tensorflow(name: str) -> None:
    network, info = build_pretrained(ModelConfig(name=name, head="linear"), 4, SHAPE)
    assert info.path is not None
    with torch.inference_mode():
        logits = tag_logits(network, network.eval().features(tensorflow_input()), read_checkpoint(info.path))
    assert logits.numpy() == pytest.approx(np.array(GOLDEN["logits"][name]), abs=1e-4)  # of up to 16; seen: 8e-6


def test_the_card_records_package_licence_and_citation(name: str) -> None:
    facts = build_pretrained(ModelConfig(name=name), 4, SHAPE)[1].facts()
    assert facts.origin == "package musicnn 0.1.0"
    assert (facts.licence, facts.sha256) == ("isc", SHIPPED[name].sha256)
    assert "Pons and Serra" in facts.citation


def test_a_run_s_weights_and_the_package_s_file_are_first_weights_too(name: str, tmp_path: Path) -> None:
    network, info = build_pretrained(ModelConfig(name=name), 4, SHAPE)
    save_file(network.state_dict(), tmp_path / "run.safetensors")
    for path in (tmp_path / "run.safetensors", info.path):
        again, given = build_pretrained(ModelConfig(name=name), 7, SHAPE, str(path))
        assert given.origin == "file"
        theirs = again.backbone.state_dict()
        assert all(torch.equal(theirs[key], value) for key, value in network.backbone.state_dict().items())


def test_the_file_of_another_network_is_one_line(tmp_path: Path) -> None:
    vgg = build(ModelConfig(name="vgg_msd"), 4, SHAPE)
    save_file(vgg.state_dict(), tmp_path / "vgg.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit: it lacks 'first\..*is it another model's") as caught:
        build_pretrained(ModelConfig(name="musicnn_msd"), 4, SHAPE, str(tmp_path / "vgg.safetensors"))
    assert "\n" not in str(caught.value)


def test_without_the_package_there_are_three_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "vgg_mtt", replace(SHIPPED["vgg_mtt"], module="no_such_module"))
    with pytest.raises(WeightsError, match=r"pip install --no-deps musicnn.*--weights FILE.*--weights none"):
        build_pretrained(ModelConfig(name="vgg_mtt"), 4, SHAPE)
    assert build_pretrained(ModelConfig(name="vgg_mtt"), 4, SHAPE, "none")[1].origin == "random"


@pytest.mark.parametrize("head", ["auto", "linear"])
@pytest.mark.parametrize("name", ["musicnn_msd", "vgg_msd"], scope="function")
def test_segments_of_any_length_are_taken_and_short_ones_repeated(name: str, head: str) -> None:
    torch.manual_seed(0)
    short = torch.rand(2, 1, 96, 61)
    for frames, windows in ((61, 1), (187, 1), (313, 2), (626, 3)):
        network = build(ModelConfig(name=name, head=head), 5, (96, frames)).eval()
        with torch.inference_mode():
            inputs = torch.rand(2, 1, 96, frames)
            assert network(inputs).shape == (2, 5)
            if (name, head) == ("musicnn_msd", "linear"):
                assert network.features(inputs).shape == (2, 1506, 1, windows)
            if frames == 187:
                repeated = torch.cat([short] * 4, dim=3)[..., :187]
                assert torch.equal(network(short), network(repeated))


def test_another_number_of_bands_names_the_feature() -> None:
    with pytest.raises(ConfigError, match="takes the feature logmel16k, 96 bands, not 128; set the feature to logm"):
        build(ModelConfig(name="musicnn_mtt"), 4, (128, 431))


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_every_embedder_s_stages_hold_each_parameter_once(embedder: str) -> None:
    network = build(ModelConfig(name=embedder), 4, EMBEDDERS[embedder].shape)
    held = [parameter for stage in network.stages() for parameter in stage.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == set(network.backbone.parameters())
    batch = torch.rand(3, 1, *EMBEDDERS[embedder].shape)
    nn.functional.cross_entropy(network(batch), torch.tensor([0, 1, 2])).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
