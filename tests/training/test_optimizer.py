"""The optimizer's groups: layers further from the head learn more slowly, and vectors are not decayed."""

from __future__ import annotations

import pytest

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.models import build
from spectro.training.optimizer import make_optimizer


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_each_layer_learns_more_slowly_than_the_next(name: str) -> None:
    network = build(ModelConfig(name=name), 3, (64, 96))
    layers = network.stages()
    optimizer = make_optimizer(
        network, FinetuneConfig(), lr=1e-2, layer_decay=0.5, layers=layers, undecayed=network.undecayed()
    )
    rates = {parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert set(rates) == {parameter for parameter in network.parameters() if parameter.requires_grad}
    assert {rates[parameter] for parameter in network.head.parameters()} == {1e-2}
    for number, layer in enumerate(layers):
        expected = pytest.approx(1e-2 * 0.5 ** (len(layers) - number))
        assert all(rates[parameter] == expected for parameter in layer.parameters() if parameter in rates)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_only_matrices_and_kernels_are_decayed(name: str) -> None:
    network = build(ModelConfig(name=name), 3, (64, 96))
    config = FinetuneConfig(weight_decay=0.1)
    optimizer = make_optimizer(network, config, lr=1e-2, layers=network.stages(), undecayed=network.undecayed())
    decays = {parameter: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    for parameter_name, parameter in network.named_parameters():
        if parameter in decays:
            plain = parameter.ndim <= 1 or parameter_name.endswith(("pos_embed", "cls_token", "reg_token"))
            assert decays[parameter] == (0.0 if plain else 0.1), parameter_name
