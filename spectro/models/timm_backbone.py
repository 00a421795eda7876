"""Any backbone of timm, of convolutions or tokens, with a head of ours on its map in place of its classifier."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, group_parameters
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, did_you_mean, first_line
from spectro.models.heads import HEADS, MapShape
from spectro.models.network import Network, Normalize
from spectro.models.stage_statistics import StageStatistics
from spectro.models.timm_input import COLOURED, UNSUPPORTED, InputFit, family_of, input_fits, require_whole_patches

BLOCKS = 4
"""Blocks of one shape of map that `Backbone.stage_maps` chooses from a row of them."""


class Backbone(nn.Module):
    """A timm model up to its last feature map, `[batch, in_chans, bands, frames]` -> `[batch, channels, h, w]`.

    `model` keeps timm's own parameter names; layers that only the classifier used are removed from it. Of models that
    give tokens, the patches are the map, without the class token and its like.
    """

    def __init__(self, model: Any, name: str, fit: InputFit) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.fit = fit
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"  # transformers with windows, mostly
        self.tokens: dict[str, Any] = {}
        self.statistics: StageStatistics | None = None
        parameters = inspect.signature(model.forward_intermediates).parameters
        # All blocks of an EfficientNet, not one per resolution.
        self.options = {"extra_blocks": True} if "extra_blocks" in parameters else {}

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the feature map, or the statistics of several, `[batch, size, 1, 1]`."""
        if self.statistics is not None:
            return self.statistics(self.statistics.chosen(self.stage_maps(inputs)))  # type: ignore[no-any-return]
        inputs = self.fit(inputs)
        if self.tokens:
            last: list[Tensor] = self.model.forward_intermediates(inputs, **self.tokens)
            return last[-1]
        maps: Tensor = self.model.forward_features(inputs)
        return maps.permute(0, 3, 1, 2) if self.channels_last and _is_map(maps) else maps

    def stage_maps(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the map of every stage from input to output, each `[batch, channels, h, w]`.

        Of the blocks that give maps of one shape one after the other, `BLOCKS` are chosen, evenly spaced, the last
        included: a vision transformer has a dozen and more.
        """
        maps: list[Tensor] = self.model.forward_intermediates(
            self.fit(inputs), output_fmt="NCHW", intermediates_only=True, **self.options
        )
        chosen: list[Tensor] = []
        for _, group in itertools.groupby(maps, lambda one: one.shape[1:]):
            run = list(group)
            count = min(BLOCKS, len(run))
            chosen += [run[(number + 1) * len(run) // count - 1] for number in range(count)]
        return tuple(chosen)

    def undecayed(self) -> frozenset[nn.Parameter]:
        """Return the parameters that timm trains without weight decay: position embeddings, class tokens."""
        names: set[str] = getattr(self.model, "no_weight_decay", set)()
        return frozenset(parameter for name, parameter in self.model.named_parameters() if name in names)

    def settle(self, inputs: Tensor) -> None:
        """Find out by a first input whether the model gives tokens: those of the last block are the map then."""
        self.tokens = {}
        if _is_map(self(inputs)):
            return
        self.tokens = {"indices": 1, "output_fmt": "NCHW", "intermediates_only": True, "norm": True}
        try:
            self(inputs)
        except AssertionError:  # "normalization of features not supported"
            self.tokens["norm"] = False


def _is_map(maps: object) -> bool:
    return getattr(maps, "ndim", 0) == 4


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
        the model cannot take inputs of that shape or of one channel, or cannot be used at all.
    """
    facts = known(config.name)
    family = family_of(config.name)
    if family in UNSUPPORTED:
        raise ConfigError(f"'{config.name}' cannot be used: {UNSUPPORTED[family]}; choose another model")
    if family in COLOURED and config.in_chans == 1:
        raise ConfigError(f"'{config.name}' takes no grey images; set in_chans to 3")
    mean, std, shift = grey(facts.mean, facts.std) if config.in_chans == 1 else (facts.mean, facts.std, False)
    backbone, maps = _fitting(config, input_fits(shape, facts, family), shape)
    if shift:
        for name in first_layers(facts):
            layer = backbone.model.get_submodule(name)
            if layer.bias is None:
                layer.bias = nn.Parameter(torch.zeros(layer.weight.shape[0]))
    head = HEADS["linear" if config.head == "auto" else config.head](maps, classes, config)
    return Network(normalize=Normalize(mean, std), backbone=backbone, head=head, stages=stages_of(backbone.model))


def _fitting(config: ModelConfig, fits: Iterable[InputFit], shape: tuple[int, int]) -> tuple[Backbone, MapShape]:
    """Return the backbone and the shape of its map, with the first fit of the input that the model can take."""
    reason = ""
    for fit in fits:
        try:
            if fit.sized:
                with torch.device("meta"):  # without memory and time for the weights
                    require_whole_patches(fit.create(config.name, config.in_chans), fit.size)
            if not fit.likely:
                with torch.device("meta"):
                    _attempt(config, fit)
            return _attempt(config, fit)
        except ConfigError:
            raise
        except Exception as error:  # what a model does with a size it was not written for can be anything
            if fit.size == shape:
                reason = first_line(error)
    bands, frames = shape
    raise ConfigError(f"'{config.name}' cannot take inputs of {bands} bands x {frames} frames: {reason}")


def _attempt(config: ModelConfig, fit: InputFit) -> tuple[Backbone, MapShape]:
    """Return the backbone without the layers that only a classifier uses, and the shape of its map."""
    model = fit.create(config.name, config.in_chans)
    backbone, inputs = Backbone(model, config.name, fit).eval(), torch.zeros(1, config.in_chans, *fit.shape)
    with torch.no_grad():
        backbone.settle(inputs)
        if config.head == "multi":
            backbone.statistics = StageStatistics([maps.shape[1:] for maps in backbone.stage_maps(inputs)], config)
        maps = _without_unused(backbone, inputs)
    if backbone.tokens or backbone.statistics is not None:
        _freeze_unused(backbone, inputs)
    return backbone.train(), tuple(maps.shape[1:])


def _without_unused(backbone: Backbone, inputs: Tensor) -> Tensor:
    """Remove the layers that the map does not need, and return the map."""
    model: nn.Module = backbone.model
    used: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: used.add(module)) for module in model.modules()]
    maps: Tensor = backbone(inputs)
    for hook in hooks:
        hook.remove()
    for name, child in list(model.named_children()):
        if used.isdisjoint(child.modules()) and any(True for _ in child.parameters()):
            setattr(model, name, nn.Identity())
            try:
                backbone(inputs)
            except Exception:  # a position embedding of which only methods are called, a list that is counted
                setattr(model, name, child)
    return maps


def _freeze_unused(backbone: Backbone, inputs: Tensor) -> None:
    """Freeze what has no effect on the map: a class token that only reads the others, stages after the last used."""
    backbone.train().eval()  # some keep the biases of their attention from the last forward pass while evaluating
    parameters = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        gradients = torch.autograd.grad(backbone(inputs).sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def stages_of(model: Any) -> list[nn.Module]:
    """Return timm's own coarse grouping of a model's layers, or its outer parts where timm has none.

    A part holds whole layers, and parameters that belong to none of them (position embeddings).
    """
    try:
        groups: Mapping[int, list[str]] = group_parameters(model, model.group_matcher(coarse=True))
    except (AttributeError, AssertionError):
        own = [nn.ParameterList(model.parameters(recurse=False))]
        outer = [[*child] if isinstance(child, nn.Sequential) else [child] for child in model.children()]
        return [*own, *itertools.chain.from_iterable(outer)]
    named = dict(model.named_parameters())
    stage_of = {named[name]: number for number, names in groups.items() for name in names}
    stages: dict[int, dict[nn.Module | nn.Parameter, None]] = {number: {} for number in groups}

    def place(module: nn.Module) -> None:
        numbers = {stage_of[parameter] for parameter in module.parameters()}
        if len(numbers) == 1:
            stages[numbers.pop()][module] = None
        elif numbers:
            for parameter in module.parameters(recurse=False):
                stages[stage_of[parameter]][parameter] = None
            for child in module.children():
                place(child)

    place(model)
    return [
        nn.ModuleList([part if isinstance(part, nn.Module) else nn.ParameterList([part]) for part in parts])
        for parts in stages.values()
    ]


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
    return names_of(facts.first_conv)


def names_of(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return a field of timm's facts as a tuple: it holds no name, one, or several."""
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
