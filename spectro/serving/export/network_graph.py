"""Networks as an ONNX graph: the members of a run, their combination and temperature in one torch module, converted."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectro.core.card import Combination
from spectro.core.errors import RunError, first_line
from spectro.inference.batches import to_input
from spectro.inference.combination import FLOOR
from spectro.inference.onnx_file import ExportedModel
from spectro.models import Network
from spectro.serving.export.mel_graph import BATCH

OPSET = 18
"""Version of ONNX's operators: the oldest that both exporters write as it is."""
OUTPUTS = ["probabilities", "logits"]
TRACED = 2
"""Items that are traced: the length 1 would be taken for a constant."""


def _hard(members: Tensor) -> Tensor:
    best = members.argmax(dim=-1, keepdim=True)
    return (best == torch.arange(members.shape[-1], device=members.device)).float().mean(dim=1)


def _log_mean(members: Tensor) -> Tensor:
    return members.clamp(min=1e-12).log().mean(dim=1).softmax(dim=-1)


def _median(members: Tensor) -> Tensor:
    ordered, count = members.sort(dim=1).values, members.shape[1]
    middle = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2 + 1e-12
    return middle / middle.sum(dim=-1, keepdim=True)


def _confident(members: Tensor) -> Tensor:
    weights = members.amax(dim=-1, keepdim=True)
    return (members * weights).sum(dim=1) / weights.sum(dim=1)


TORCH_VOTES: dict[str, Callable[[Tensor], Tensor]] = {
    "soft": lambda members: members.mean(dim=1),
    "hard": _hard,
    "log-mean": _log_mean,
    "median": _median,
    "confident": _confident,
}
"""The rules of `VOTES` for tensors: `[batch, members, classes]` -> `[batch, classes]`."""


def combine(combination: Combination, members: Tensor) -> Tensor:
    """Combine probabilities as `inference.combination.combine` does.

    Parameters
    ----------
    combination
        The rule, weights or stacking coefficients.
    members
        `[batch, members, classes]`.

    Returns
    -------
    Tensor
        `[batch, classes]`.
    """
    if combination.coefficients:
        features = members.clamp(min=FLOOR).log().flatten(1)
        coefficients, intercept = torch.tensor(combination.coefficients), torch.tensor(combination.intercept)
        return (features @ coefficients.T + intercept).softmax(dim=-1)
    if combination.weights:
        weights = torch.tensor(combination.weights)
        mixed = (members * (weights if weights.ndim == 2 else weights[:, None])).sum(dim=1)
        total = mixed.sum(dim=-1, keepdim=True)
        return torch.where(total > 0, mixed / total, torch.full_like(mixed, 1 / members.shape[-1]))
    return TORCH_VOTES[combination.vote](members)


class RunNetwork(nn.Module):
    """The networks of a run: from what they are fed to calibrated probabilities, and each one's logits."""

    def __init__(self, model: ExportedModel, networks: Sequence[Network], fed: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.networks = nn.ModuleList(networks)
        self.fed = tuple(fed)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities `[batch, classes]` and logits `[batch, networks, classes]`."""
        arrays = [to_input(one) for one in inputs]
        logits = torch.stack(
            [network(arrays[number]) for network, number in zip(self.networks, self.fed, strict=True)], dim=1
        )
        probs = self._combined(self.model, logits.softmax(dim=-1))
        temperature = self.model.card.temperature
        if temperature != 1:
            probs = (probs.clamp(min=FLOOR).log() / temperature).softmax(dim=-1)
        return probs, logits

    def _combined(self, model: ExportedModel, probs: Tensor) -> Tensor:
        if model.card.combination is None or model.column >= 0:
            return probs[:, model.column]
        return combine(model.card.combination, torch.stack([self._combined(one, probs) for one in model.members], 1))


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A graph, and what made it."""

    model: onnx.ModelProto
    exporter: str
    """`dynamo` or `torchscript`."""


Exporter = Callable[[RunNetwork, tuple[Tensor, ...], Sequence[str]], onnx.ModelProto]


def by_dynamo(module: RunNetwork, inputs: tuple[Tensor, ...], names: Sequence[str]) -> onnx.ModelProto:
    """Convert by torch's newer exporter, which captures the module as a whole."""
    shapes: Any = {"inputs": tuple({0: BATCH} for _ in inputs)}
    program = torch.onnx.export(
        module,
        inputs,
        dynamo=True,
        input_names=list(names),
        output_names=OUTPUTS,
        dynamic_shapes=shapes,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def by_torchscript(module: RunNetwork, inputs: tuple[Tensor, ...], names: Sequence[str]) -> onnx.ModelProto:
    """Convert by torch's older exporter, which traces the module."""
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        buffer,  # type: ignore[arg-type]  # torch declares paths only, and takes files
        dynamo=False,
        input_names=list(names),
        output_names=OUTPUTS,
        dynamic_axes={name: {0: BATCH} for name in (*names, *OUTPUTS)},
        opset_version=OPSET,
        verbose=False,
    )
    return onnx.load_from_string(buffer.getvalue())


EXPORTERS: dict[str, Exporter] = {"dynamo": by_dynamo, "torchscript": by_torchscript}
"""In the order in which they are tried."""


def convert(module: RunNetwork, inputs: Sequence[NDArray[Any]], names: Sequence[str], exporter: str) -> Converted:
    """Return the graph of a module.

    Parameters
    ----------
    module
        The networks of a run.
    inputs
        One item of each input; two are traced, for a batch of one would stay one.
    names
        Names of the inputs.
    exporter
        A name in `EXPORTERS`.

    Raises
    ------
    RunError
        the exporter does not take one of the networks.
    """
    traced = tuple(torch.from_numpy(one[None].repeat(TRACED, axis=0)) for one in inputs)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # of both exporters, about their own future
            return Converted(model=EXPORTERS[exporter](module.eval(), traced, names), exporter=exporter)
    except Exception as error:  # anything: a network may use what an exporter does not know
        reason = first_line(error)
        raise RunError(f"torch's exporter '{exporter}' cannot convert this model: {reason}") from error
