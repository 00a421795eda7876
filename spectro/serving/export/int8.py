"""8-bit weights and activations: static quantization of an ONNX graph, calibrated on training segments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spectro.core.arrays import Items
from spectro.serving.export.segments import RunData

ENOUGH = 256
"""Training segments that ranges are measured on, drawn evenly from all."""
FEWEST = 100
"""Below so many the ranges are poor, which is then noted."""


def calibration_items(data: RunData) -> Items:
    """Return the training segments that ranges are measured on: all, or enough of them, spread over all clips."""
    training = np.asarray(data.training.subsets["train"])
    count = min(ENOUGH, len(training))
    return training[np.linspace(0, len(training) - 1, count).round().astype(np.int64)]


def quantize(model: onnx.ModelProto, data: RunData, items: Items) -> onnx.ModelProto:
    """Return a graph whose networks compute in 8 bits, with a scale for each channel; images and votes stay.

    Weights have 7 bits (`reduce_range`): products of two 8-bit numbers overflow on CPUs without VNNI, where the file
    would give other answers than on the machine that checked it.

    Parameters
    ----------
    model
        The graph, with its front.
    data
        The data of the run.
    items
        The training segments to measure ranges on.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="spectro-") as folder:
        plain, prepared, small = (Path(folder, name) for name in ("plain.onnx", "prepared.onnx", "small.onnx"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True, skip_optimization=True)
        quantize_static(
            prepared,
            small,
            Calibration(model.graph.input[0].name, data, items),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=outside_networks(onnx.load(prepared)),
        )
        return onnx.load(small)


def outside_networks(model: onnx.ModelProto) -> list[str]:
    """Return the names of the operators before the images that a graph computes, and behind its logits."""
    graph = model.graph
    images = {output.name for output in graph.output[2:]}
    before, behind = set(images), {"logits"}
    for node in reversed(graph.node):
        if before & set(node.output):
            before |= set(node.input)
    for node in graph.node:
        if behind & set(node.input):
            behind |= set(node.output)
    outside = before | (behind - {"logits"})
    return [node.name for node in graph.node if outside & set(node.output)]


class Calibration:
    """What `quantize_static` reads: one training segment after another."""

    def __init__(self, name: str, data: RunData, items: Items) -> None:
        self.batches: Iterator[dict[str, NDArray[Any]]] = (
            {name: data.given(items[at : at + 1])} for at in range(len(items))
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next segment; None at the end."""
        return next(self.batches, None)
