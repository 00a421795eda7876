"""Formats of an exported file: each from the bytes of an ONNX model to answers, and to files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from spectro.core.errors import RunError
from spectro.core.files import write_bytes
from spectro.core.registry import Registry
from spectro.inference.onnx_classifier import open_session


class Product(Protocol):
    """A file that is not written yet."""

    @property
    def digest(self) -> str:
        """Its xxh3-128 checksum."""
        ...

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    def answer(self, batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Return its outputs by name for one batch of inputs."""
        ...

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        ...


PRODUCTS: Registry[Callable[[bytes], Product]] = Registry("export format")
"""Formats by name."""


@PRODUCTS.add("onnx")
class OnnxProduct:
    """An ONNX file, as onnxruntime reads it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.session = open_session(content, "the export")

    @property
    def digest(self) -> str:
        """Its xxh3-128 checksum."""
        return xxhash.xxh3_128(self.content).hexdigest()

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content)

    def answer(self, batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Return its outputs by name for one batch of inputs."""
        names = [output.name for output in self.session.get_outputs()]
        outputs = self.session.run(names, {self.session.get_inputs()[0].name: batch})
        return dict(zip(names, outputs, strict=True))

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_bytes(path, self.content)


@PRODUCTS.add("openvino")
class OpenvinoProduct:
    """A graph in OpenVINO's format: `.xml`, and the weights in `.bin` beside it."""

    def __init__(self, content: bytes) -> None:
        import openvino

        with tempfile.TemporaryDirectory(prefix="spectro-") as folder:
            core = openvino.Core()
            source, graph = Path(folder, "model.onnx"), Path(folder, "model.xml")
            source.write_bytes(content)
            try:
                openvino.save_model(core.read_model(source), graph, compress_to_fp16=False)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[-200:]
                raise RunError(f"OpenVINO cannot convert this graph: {reason}") from None
            self.graph, self.weights = graph.read_bytes(), graph.with_suffix(".bin").read_bytes()
            exact = {"INFERENCE_PRECISION_HINT": "f32"}
            self.compiled = core.compile_model(core.read_model(graph), "CPU", exact)

    @property
    def digest(self) -> str:
        """Its xxh3-128 checksum, of graph and weights."""
        return xxhash.xxh3_128(self.graph + self.weights).hexdigest()

    @property
    def size(self) -> int:
        """Its bytes, of graph and weights."""
        return len(self.graph) + len(self.weights)

    def answer(self, batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Return its outputs by name for one batch of inputs."""
        outputs = self.compiled([np.ascontiguousarray(batch)])
        return {port.get_any_name(): np.asarray(outputs[port]) for port in self.compiled.outputs}

    def write(self, path: Path) -> None:
        """Write it; the weights come first, so that a graph is never without them."""
        write_bytes(path.with_suffix(".bin"), self.weights)
        write_bytes(path, self.graph)
