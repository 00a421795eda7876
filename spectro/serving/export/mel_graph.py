"""Spectrogram images inside an ONNX graph: the computation of `audio.features.mel`, operator by operator."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spectro.audio.features.mel import AMIN, mel_filters
from spectro.audio.stft import hann
from spectro.core.arrays import Floats32
from spectro.core.config import MelConfig

Stft = Literal["conv", "operator"]
"""A fixed convolution with sines and cosines, or ONNX's STFT: smaller, but no kernel for CUDA or WebGPU."""
SAMPLES = "samples"
"""Name of the input, `[batch, samples]`."""
BATCH = "batch"
"""Name of the axis whose length is free."""


class Nodes:
    """Operators and constants of a graph in the making, with names of their own."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        name = f"{self.prefix}{len(self.nodes)}_{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output or name], name=name, **attributes))
        return output or name

    def constant(self, value: NDArray[Any] | float) -> str:
        """Add a constant; numbers are float32."""
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.float32)
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """Add a constant vector of integers."""
        return self.constant(np.array(values, np.int64))


def choose_stft(config: MelConfig, wanted: Literal["auto", "conv", "operator"]) -> Stft:
    """Return how spectra are computed: `auto` is the operator where it has a fast transform, else the convolution.

    Without a power of two the runtime's STFT is both slow and inexact: 1 in 600 cells of an image differed.
    """
    if wanted != "auto":
        return wanted
    return "operator" if config.n_fft & (config.n_fft - 1) == 0 else "conv"


def add_images(graph: onnx.GraphProto, config: MelConfig, samples: int, stft: Stft, output: str) -> None:
    """Put the computation of spectrogram images in front of a graph's operators.

    Parameters
    ----------
    graph
        The graph, which reads the images as `output`; the input `samples` is not added.
    config
        Windows, bands and range.
    samples
        Length of a segment.
    stft
        How spectra are computed.
    output
        Name of the images: uint8 `[batch, n_mels, 1 + samples // hop_length]`, the highest band in row 0.
    """
    nodes = Nodes(f"{output}/")
    mel = (_by_operator if stft == "operator" else _by_convolution)(nodes, config)
    amin = nodes.constant(AMIN)
    peak = nodes.add("ReduceMax", mel, nodes.integers(1, 2), keepdims=1)
    floor = nodes.add("Log", nodes.add("Max", peak, amin))
    log = nodes.add("Sub", nodes.add("Log", nodes.add("Max", mel, amin)), floor)
    db = nodes.add("Mul", log, nodes.constant(10 / math.log(10)))
    kept = nodes.add("Clip", db, nodes.constant(-config.top_db), nodes.constant(0.0))
    levels = nodes.add("Add", nodes.add("Mul", kept, nodes.constant(255 / config.top_db)), nodes.constant(255.5))
    sounding = nodes.add("Greater", peak, amin)
    grey = nodes.add("Where", sounding, levels, nodes.constant(0.0))
    nodes.add("Cast", grey, output=output, to=TensorProto.UINT8)
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes.nodes, *inner])
    graph.initializer.extend(nodes.constants)
    frames = 1 + samples // config.hop_length
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.UINT8, [BATCH, config.n_mels, frames]))


def _by_convolution(nodes: Nodes, config: MelConfig) -> str:
    """Return mel power `[batch, n_mels, frames]`, the highest band first, from a convolution with sines and cosines."""
    half = config.n_fft // 2
    channel = nodes.add("Unsqueeze", SAMPLES, nodes.integers(1))
    kernels = nodes.constant(_kernels(config.n_fft))
    parts = nodes.add("Conv", channel, kernels, strides=[config.hop_length], pads=[half, half])
    filters = nodes.constant(np.tile(_turned_filters(config), 2))  # the squares of both parts are added by the product
    return nodes.add("MatMul", filters, nodes.add("Mul", parts, parts))


def _by_operator(nodes: Nodes, config: MelConfig) -> str:
    """Return mel power `[batch, n_mels, frames]`, the highest band first, from ONNX's STFT."""
    half = config.n_fft // 2
    padded = nodes.add("Pad", SAMPLES, nodes.integers(0, half, 0, half))
    signal = nodes.add("Unsqueeze", padded, nodes.integers(2))
    step, length = (nodes.constant(np.array(value, np.int64)) for value in (config.hop_length, config.n_fft))
    parts = nodes.add("STFT", signal, step, nodes.constant(hann(config.n_fft)), length, onesided=1)
    flat = nodes.add("Reshape", nodes.add("Mul", parts, parts), nodes.integers(0, 0, -1))  # [batch, frames, 2 * bins]
    filters = nodes.constant(np.ascontiguousarray(np.repeat(_turned_filters(config), 2, axis=1).T))
    return nodes.add("Transpose", nodes.add("MatMul", flat, filters), perm=[0, 2, 1])


def _turned_filters(config: MelConfig) -> Floats32:
    """Return the mel filters with the highest band first, as images have it."""
    return mel_filters(config)[::-1]


def _kernels(n_fft: int) -> Floats32:
    """Return `[2 * bins, 1, n_fft]`: windowed cosines, then sines."""
    turns = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft  # exact, where a product would lose digits
    angles = 2 * np.pi * turns / n_fft
    waves = np.concatenate([np.cos(angles), np.sin(angles)]) * hann(n_fft)
    return waves[:, None].astype(np.float32)
