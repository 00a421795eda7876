"""Any convolutional backbone of timm, with a head of ours on its feature map in place of its classifier."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, group_modules
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, WeightsError, did_you_mean
from spectro.models.heads import HEADS
from spectro.models.network import Network, Normalize, feature_map_shape


class Backbone(nn.Module):
    """A timm model up to its last feature map, `[batch, in_chans, bands, frames]` -> `[batch, channels, h, w]`.

    `model` keeps timm's own parameter names; layers that only the classifier used are removed from it.
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"  # transformers with windows, mostly

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the feature map."""
        maps: Tensor = self.model.forward_features(inputs)
        return maps.permute(0, 3, 1, 2) if self.channels_last and maps.ndim == 4 else maps


def build(config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Return timm's `config.name`, with random weights.

    Parameters
    ----------
    config
        Name, channels, head and dropout.
    classes
        Number of classes.
    shape
        Bands and frames of the input.

    Raises
    ------
    ConfigError
        the model gives no feature map (a transformer over tokens), or cannot take inputs of that shape.
    """
    facts = known(config.name)
    mean, std, shift = grey(facts.mean, facts.std) if config.in_chans == 1 else (facts.mean, facts.std, False)
    model: Any = timm.create_model(config.name, pretrained=False, num_classes=0, in_chans=config.in_chans)
    if shift:
        for name in first_layers(facts):
            layer = model.get_submodule(name)
            if layer.bias is None:
                layer.bias = nn.Parameter(torch.zeros(layer.weight.shape[0]))
    backbone = Backbone(model, config.name)
    used: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: used.add(module)) for module in model.modules()]
    maps = feature_map_shape(backbone, config.in_chans, shape, config.name)
    for hook in hooks:
        hook.remove()
    for name, child in list(model.named_children()):
        if used.isdisjoint(child.modules()):
            setattr(model, name, nn.Identity())
    head = HEADS["linear" if config.head == "auto" else config.head](maps, classes, config)
    return Network(normalize=Normalize(mean, std), backbone=backbone, head=head, stages=stages_of(model))


def stages_of(model: Any) -> list[nn.Module]:
    """Return timm's own coarse grouping of a model's layers, or its outer parts where timm has none."""
    try:
        groups = group_modules(model, model.group_matcher(coarse=True), True)
    except (AttributeError, AssertionError):
        outer = [[*child] if isinstance(child, nn.Sequential) else [child] for child in model.children()]
        return list(itertools.chain.from_iterable(outer))
    return [nn.ModuleList(modules) for modules in groups.values()]


def known(name: str) -> PretrainedCfg:
    """Return timm's facts about a model: mean, std, first and last layers, where its weights are.

    Raises
    ------
    ConfigError
        timm has no model of that name, or no weights of that tag (the part after the dot).
    """
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:
        family, _, tag = name.partition(".")
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{family}.*")]
        raise ConfigError(
            f"{family} has no weights '{tag}'{did_you_mean(tag, tags)} (have: {', '.join(tags)})"
        ) from None
    if config is None:
        raise ConfigError(f"unknown model '{name}' (`spectro models list` shows them)")
    return config


def first_layers(facts: PretrainedCfg) -> tuple[str, ...]:
    """Return the names of the layers that read the input, from timm's facts about a model."""
    return _names(facts.first_conv)


def _names(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def grey(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[list[float], list[float], bool]:
    """Return mean and std of the one channel that replaces three, and whether the first layer needs a bias for it.

    With `m` and `s` the averages over colours, a layer with weights `w_c` sees the grey image `x` in three channels
    as `sum_c w_c (x - mean_c) / std_c`, which is `w (x - m) / s + b` with `w = sum_c w_c s / std_c` and
    `b = sum_c w_c (m - mean_c) / std_c` summed over the kernel. Inside the image that is exact. At its border the
    zero padding means the grey `m` instead of `mean_c` (0.449 instead of 0.406 to 0.485); models whose colours
    share one mean are exact there too and need no bias.
    """
    m, s = sum(mean) / len(mean), sum(std) / len(std)
    return [m], [s], any(abs(value - m) > 1e-9 for value in mean)


def load(network: Network, weights: Mapping[str, Tensor], source: str) -> None:
    """Load timm-named weights of a three- or one-channel model into the backbone, without those of a classifier.

    Parameters
    ----------
    network
        The network, whose backbone is one of timm's.
    weights
        Tensors by timm's names.
    source
        Where they come from, for messages.

    Raises
    ------
    WeightsError
        a weight is missing, has another shape, or belongs to no layer of the backbone.
    """
    backbone = network.backbone
    assert isinstance(backbone, Backbone)
    facts = known(backbone.name)
    wanted = backbone.model.state_dict()
    given = dict(weights)
    for name in first_layers(facts):
        _adapt(given, wanted, name, facts)
    kept = {name.partition(".")[0] for name in wanted}
    classifiers = _names(facts.classifier)
    extra = [
        key
        for key in given.keys() - wanted.keys()
        if key.partition(".")[0] in kept and not key.startswith(tuple(f"{name}." for name in classifiers))
    ]
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}  # absent from old files, and never read
    missing = [key for key in wanted if key not in given and key not in counters]
    shapes = [key for key in wanted.keys() & given.keys() if wanted[key].shape != given[key].shape]
    for problem, keys in (("lacks", missing), ("has no place in the model for", extra)):
        if keys:
            raise WeightsError(
                f"{source} does not fit '{backbone.name}': it {problem} {_some(keys)}; is it another model's file?"
            )
    if shapes:
        key = min(shapes)
        theirs, ours = tuple(given[key].shape), tuple(wanted[key].shape)
        raise WeightsError(f"{source} does not fit '{backbone.name}': {key} is {theirs} there, but {ours} here")
    backbone.model.load_state_dict({**wanted, **{key: given[key] for key in wanted if key in given}})


def _adapt(given: dict[str, Tensor], wanted: Mapping[str, Tensor], name: str, facts: PretrainedCfg) -> None:
    """Turn a first layer for three colours into one for grey, as `grey` describes."""
    key, bias = f"{name}.weight", f"{name}.bias"
    if key not in given or wanted[key].shape[1] != 1:
        return
    kernels, _, *kernel = wanted[key].shape
    if given[key].shape != (kernels, 3, *kernel) or (bias in given and given[bias].shape != (kernels,)):
        return  # of one channel, or another model's, which is refused by its shapes
    (m,), (s,), shift = grey(facts.mean, facts.std)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (facts.mean, facts.std))
    weight = given[key].float() / std
    given[key] = (weight * s).sum(dim=1, keepdim=True)
    if shift:
        given[bias] = (weight * (m - mean)).sum(dim=(1, 2, 3)) + given.get(bias, torch.zeros(len(weight)))


def _some(keys: list[str]) -> str:
    """Name the first of several keys, and how many more there are."""
    return f"'{min(keys)}'" + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
