"""Every backbone with every head, and every own network, keeps the one contract that training and serving rely on."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.models import HEADS, NETWORKS, Network, build

CLASSES = 5
BACKBONES = ("test_resnet", "test_efficientnet", "test_convnext", "resnet18", "mobilenetv2_050", "vgg11")
CASES = [
    *(ModelConfig(name=name, head=head) for name, head in itertools.product(BACKBONES[:2], HEADS)),
    *(ModelConfig(name=name) for name in BACKBONES[2:-1]),
    pytest.param(ModelConfig(name="vgg11"), marks=pytest.mark.slow),
    *(ModelConfig(name=name, in_chans=3) for name in BACKBONES[:3]),
    *(ModelConfig(name=name) for name in NETWORKS),
    *(ModelConfig(name=name, head=head) for name in ("cnn5", "A-lstm", "B-crnn", "D-fnn") for head in HEADS),
]


def shape_for(name: str) -> tuple[int, int]:
    if name not in NETWORKS:
        return 64, 96
    return (57, 1) if "vector" in NETWORKS[name].input else (40, 96)


def title(config: ModelConfig) -> str:
    return f"{config.name}-{config.head}-{config.in_chans}"


def network_of(config: ModelConfig) -> Network:
    torch.manual_seed(0)
    return build(config, CLASSES, shape_for(config.name))


def inputs_for(config: ModelConfig, items: int = 3) -> torch.Tensor:
    return torch.rand(items, 1, *shape_for(config.name), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", CASES, ids=title)
def test_contract(config: ModelConfig, tmp_path: Path) -> None:
    network, batch = network_of(config), inputs_for(config)

    logits = network(batch)  # training mode
    assert logits.shape == (3, CLASSES)
    assert logits.dtype == torch.float32
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} learns nothing"
        assert parameter.grad.isfinite().all()

    network.eval()
    with torch.inference_mode():
        logits = network(batch)
        maps = network.features(batch)
        assert maps.ndim == 4
        assert torch.equal(network.head(maps), logits)
        assert torch.equal(network(batch), logits)
        torch.testing.assert_close(network(batch[1:2]), logits[1:2], rtol=1e-3, atol=1e-4)
        if getattr(network.head, "pooled", False):
            mean = maps.mean(dim=(2, 3), keepdim=True)
            torch.testing.assert_close(network.head(mean), logits, rtol=1e-4, atol=1e-5)

    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(99)
    again = build(config, CLASSES, shape_for(config.name))
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    with torch.inference_mode():
        assert torch.equal(again.eval()(batch), logits)


@pytest.mark.parametrize("config", [ModelConfig(name=name) for name in (*BACKBONES, *NETWORKS)], ids=title)
def test_stages_hold_each_parameter_once_in_order(config: ModelConfig) -> None:
    network = network_of(config)
    stages = network.stages()
    held = [parameter for stage in stages for parameter in stage.parameters()]
    assert len(held) == len({id(p) for p in held})
    assert {id(p) for p in held} == {id(p) for p in network.backbone.parameters()}
    assert len(stages) > 1

    order: list[int] = []
    owner = {module: at for at, stage in enumerate(stages) for module in stage.modules() if module is not stage}
    owner |= {stage: at for at, stage in enumerate(stages) if not isinstance(stage, nn.ModuleList)}
    for module, at in owner.items():
        module.register_forward_hook(lambda *_, at=at: order.append(at))
    network.eval()(inputs_for(config))
    first_seen = list(dict.fromkeys(order))
    assert first_seen == sorted(first_seen)


def test_freezing_all_but_the_last_stage_leaves_its_gradients() -> None:
    network = network_of(ModelConfig(name="mobilenetv2_050"))
    *frozen, last = network.stages()
    for stage in frozen:
        stage.requires_grad_(False)
    network(inputs_for(ModelConfig())).sum().backward()
    with_gradient = {id(p) for p in network.backbone.parameters() if p.grad is not None}
    assert with_gradient == {id(p) for p in last.parameters()}


def test_the_study_s_parameter_counts() -> None:
    """D-fnn: 765,258 in all with the running statistics of its batch normalization, 761,290 trainable."""
    for name, trainable, total in (("D-fnn", 761_290, 765_258), ("D-fnn-simple", 178_122, 178_122)):
        network = build(ModelConfig(name=name), 10, (57, 1))
        layers = (network.backbone, network.head)
        learnt = sum(p.numel() for layer in layers for p in layer.parameters())
        kept = sum(b.numel() for layer in layers for n, b in layer.named_buffers() if "running" in n)
        assert (learnt, learnt + kept) == (trainable, total)


def test_40_coefficients_fit_the_a_study_s_cnn_and_13_do_not() -> None:
    """As in its table of feature settings, which has no accuracy of the CNN with 13."""
    build(ModelConfig(name="A-cnn"), 10, (40, 130))
    with pytest.raises(ConfigError, match="'A-cnn' cannot take inputs of 13 bands x 130 frames"):
        build(ModelConfig(name="A-cnn"), 10, (13, 130))


def test_unknown_names_are_one_line_with_a_guess() -> None:
    for config, message in (
        (ModelConfig(name="resnet5O"), "unknown model 'resnet5O'; did you mean 'resnet50'"),
        (ModelConfig(name="cnn6"), "unknown model 'cnn6'; did you mean 'cnn5'"),
        (ModelConfig(name="test_resnet", head="linaer"), "unknown head 'linaer'; did you mean 'linear'"),
        (ModelConfig(name="cnn5", head="gemm"), "unknown head 'gemm'; did you mean 'gem'"),
        (ModelConfig(name="cnn5", in_chans=3), "'cnn5' takes inputs with one channel"),
        (ModelConfig(name="csatv2"), "'csatv2' takes no grey images; set in_chans to 3"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            build(config, CLASSES, (64, 96))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cnn5", "B-cnn1d", "inception_v3"])
def test_inputs_too_small_for_the_pools_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' cannot take inputs of 128 bands x 8 frames"):
        build(ModelConfig(name=name), CLASSES, (128, 8))


def test_inputs_keep_their_orientation() -> None:
    """No flip and no transposition: a loud top band moves the top row of the feature map most."""
    network = network_of(ModelConfig(name="cnn5")).eval()
    quiet = torch.zeros(1, 1, 64, 96)
    loud = quiet.clone()
    loud[:, :, 0, 48] = 1
    assert isinstance(network.backbone, nn.Sequential)
    with torch.inference_mode():
        change = (network.backbone[0](loud) - network.backbone[0](quiet)).abs().sum(dim=1)[0]
    assert divmod(int(change.argmax()), change.shape[1]) == (0, 24)


def test_standardizing_networks_see_each_band_centred() -> None:
    network = network_of(ModelConfig(name="E-cnn"))
    units = torch.logspace(-3, 3, 40).view(1, 1, 40, 1)
    batches = [torch.rand(8, 1, 40, 96, generator=torch.Generator().manual_seed(s)) * units + units for s in range(4)]
    for batch in batches:
        network.normalize(batch)
    seen = network.eval().normalize(torch.cat(batches))
    torch.testing.assert_close(seen.mean(dim=(0, 1, 3)), torch.zeros(40), atol=0.05, rtol=0)
    torch.testing.assert_close(seen.std(dim=(0, 1, 3)), torch.ones(40), atol=0.05, rtol=0)


@pytest.mark.parametrize(("field", "value"), [("name", ""), ("in_chans", 2), ("dropout", 1.0), ("hidden", 0)])
def test_settings_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        ModelConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NETWORKS)
def test_own_networks_learn_to_separate_low_from_high_bands(name: str) -> None:
    bands, frames = shape_for(name)[0], min(shape_for(name)[1], 64)
    torch.manual_seed(0)
    network = build(ModelConfig(name=name), 2, (bands, frames))
    batch = torch.rand(8, 1, bands, frames) * 0.3
    batch[:4, :, : bands // 2] += 0.5
    batch[4:, :, bands // 2 :] += 0.5
    truth = torch.arange(8) // 4
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(60):
        loss = nn.functional.cross_entropy(network.train()(batch), truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.inference_mode():
            seen = nn.functional.cross_entropy(network.eval()(batch), truth)
        if seen < 0.3:
            return
    pytest.fail(f"{name} stays at a cross entropy of {seen:.2f}")
