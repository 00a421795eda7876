"""Weights of timm's models, for the size and number of channels that a backbone was built with."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor

from spectro.core.errors import WeightsError
from spectro.models.network import Network, first_of
from spectro.models.timm_backbone import Backbone, first_layers, grey, known, names_of


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
    given = _fitted(backbone, weights)
    for name in first_layers(facts):
        _adapt(given, wanted, name, facts)
    kept = {name.partition(".")[0] for name in wanted}
    classifiers = names_of(facts.classifier)
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
                f"{source} does not fit '{backbone.name}': it {problem} {first_of(keys)}; is it another model's file?"
            )
    if shapes:
        key = min(shapes)
        theirs, ours = tuple(given[key].shape), tuple(wanted[key].shape)
        remedy = "; set in_chans to 3" if key.startswith(_stem(facts)) else ""
        raise WeightsError(f"{source} does not fit '{backbone.name}': {key} is {theirs} there, but {ours} here{remedy}")
    backbone.model.load_state_dict({**wanted, **{key: given[key] for key in wanted if key in given}})


def _stem(facts: PretrainedCfg) -> tuple[str, ...]:
    """Return how the names of weights begin that belong to the layers which read the input."""
    return tuple(f"{name}." for name in first_layers(facts))


def _fitted(backbone: Backbone, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names that timm has today, resampled where they belong to another size of input.

    timm's own function for that guesses the size that they belong to. So only those of timm's size are resampled: of
    another size, position embeddings could be taken for a square's.
    """
    wanted = backbone.model.state_dict()
    given = dict(weights)
    convert = _conversion(backbone)
    stem = _stem(known(backbone.name))  # whose channels may differ
    others = [key for key in wanted if not key.startswith(stem)]
    if convert is None or all(key in given and given[key].shape == wanted[key].shape for key in others):
        return given
    with torch.device("meta"):
        published = timm.create_model(backbone.name, pretrained=False).state_dict()
    known_size = (key for key in others if key in given and key in published)
    if any(given[key].shape != published[key].shape for key in known_size):
        return given
    try:
        return convert(dict(given), backbone.model)
    except Exception:  # of a file of another model, which is refused by its names or shapes
        return given


def _conversion(backbone: Backbone) -> Callable[[dict[str, Tensor], Any], dict[str, Tensor]] | None:
    """Return timm's function from the published weights of a model to those that fit it, where there is one."""
    for name in (timm.models.model_entrypoint(backbone.name).__module__, type(backbone.model).__module__):
        function = getattr(sys.modules[name], "checkpoint_filter_fn", None)
        if function is not None:
            options = {"adapt_layer_scale"} & inspect.signature(function).parameters.keys()
            return partial(function, **dict.fromkeys(options, True))
    return None


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
