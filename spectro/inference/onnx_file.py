"""An exported model as one file: an ONNX graph with the run's cards in its metadata, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import xxhash

from spectro.core.card import Card
from spectro.core.config import require
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import ESCAPED
from spectro.core.records import Record

SUFFIX = ".onnx"
MOST_BYTES = 2**31 - 1
"""Largest file: protobuf allows no larger message."""
MOST_FACTS = 64 << 20
"""Most bytes of the cards."""
DEEPEST = 32
"""Graphs in graphs, and ensembles in ensembles, are followed this far."""
KEY, DIGEST_KEY = "spectro", "spectro_digest"
"""Names in the metadata: the cards as JSON, and a checksum over them and the graph."""
REMEDY = "export the run again with `spectro export`"
CONTROL = frozenset({b"Loop", b"Scan", b"If"})
"""Operators that no exported model has: with them a small file could compute for ever."""

METADATA = 14
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Messages of `onnx.proto`, each with the numbers of those of its fields that may lead to a tensor or an operator."""
OPERATOR, EXTERNAL_DATA, DATA_LOCATION = ("node", 4), ("tensor", 13), ("tensor", 14)
FIXED = {1: 8, 5: 4}
"""Bytes of a field by its wire type, where that fixes them."""


@dataclass(frozen=True, kw_only=True)
class ExportedModel(Record):
    """A run inside a file: one model, or an ensemble with its members."""

    card: Card
    """The run's card, as it was."""
    column: int
    """Which of the `logits` are its own; -1 for an ensemble."""
    members: tuple[ExportedModel, ...] = ()

    def __post_init__(self) -> None:
        require(self.card.is_ensemble == (self.column < 0), "column must be -1 for an ensemble, and only for one")
        require(
            len(self.members) == len(self.card.members), "members are not as many as the card of the ensemble lists"
        )

    def columns(self, depth: int = 0) -> tuple[int, ...]:
        """Return the columns of the models in it; raises ConfigError where ensembles are nested too deeply."""
        require(depth < DEEPEST, "ensembles are nested too deeply")
        own = (self.column,) if self.column >= 0 else ()
        return (*own, *(column for member in self.members for column in member.columns(depth + 1)))


@dataclass(frozen=True, kw_only=True)
class ExportFacts(Record):
    """What a file says of itself, beside its graph."""

    front: Literal["audio", "image"]
    """What it takes: samples, or what the run's card says the network is fed."""
    model: ExportedModel
    stft: Literal["", "conv", "operator"]
    """How the graph computes spectra, if it takes samples."""
    int8: bool
    """Whether weights and activations are 8-bit."""
    exporter: str
    """Which of torch's exporters made the graph."""
    environment: Mapping[str, str]
    """Versions of the packages that made it."""

    def __post_init__(self) -> None:
        columns = self.model.columns()
        require(set(columns) == set(range(len(set(columns)))), "the columns of the models are not 0, 1, 2, ...")


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A file that was read and checked."""

    path: Path
    facts: ExportFacts
    content: bytes
    """The whole file: what a runtime is given, so that it can open no other file."""


def is_model_file(path: object) -> bool:
    """Tell whether something is the path of an exported model, by its name."""
    return isinstance(path, str | Path) and Path(path).suffix.lower() == SUFFIX and not Path(path).is_dir()


def stamped(graph: bytes, facts: ExportFacts) -> bytes:
    """Return a serialized ONNX model with the facts, and a checksum over both, as its only metadata."""
    data = memoryview(graph)
    fields = [data[begin:end] for number, _, begin, end in _fields(data) if number != METADATA]
    text = json.dumps(facts.to_dict(), ensure_ascii=False, allow_nan=False).encode(errors=ESCAPED)
    entries = ((KEY, text), (DIGEST_KEY, _digest(fields, text).encode()))
    return b"".join(
        [*fields, *(_field(METADATA, _field(1, key.encode()) + _field(2, value)) for key, value in entries)]
    )


def read_onnx(path: Path | str) -> OnnxFile:
    """Read an exported model; nothing is computed, and no other file is opened.

    Raises
    ------
    RunError
        the file is missing, too large, damaged, not an export of spectro, or has what no export has: weights outside
        the file, or loops.
    """
    path = Path(path)
    content = _content(path)
    try:
        fields, metadata = _parts(memoryview(content))
        text = metadata.get(KEY)
        if text is None:
            raise RunError(f"{path} is no model that spectro exported: its metadata has no card; {REMEDY}")
        if len(text) > MOST_FACTS or metadata.get(DIGEST_KEY) != _digest(fields, text).encode():
            raise RunError(f"{path} is damaged, or was changed after it was exported (its checksum differs); {REMEDY}")
        _require_plain(memoryview(content), "model", 0)
        facts = ExportFacts.from_dict(json.loads(text), "the card")
    except (ValueError, RecursionError, ConfigError) as error:
        raise RunError(f"{path} is damaged, or no exported model: {error}; {REMEDY}") from None
    return OnnxFile(path, facts, content)


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise RunError(f"there is no file {path}; make one with `spectro export RUN --out {path.name}`")
        if path.stat().st_size > MOST_BYTES:
            raise RunError(f"{path} is larger than an ONNX file can be (2 GB); {REMEDY}")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from None


def _parts(data: memoryview) -> tuple[list[memoryview], dict[str, bytes]]:
    """Return the fields of a model but its metadata, and the metadata; raises ValueError where it is damaged."""
    fields: list[memoryview] = []
    metadata: dict[str, bytes] = {}
    for number, value, begin, end in _fields(data):
        if number != METADATA:
            fields.append(data[begin:end])
        elif not isinstance(value, int):
            entry = {key: bytes(part) for key, part, *_ in _fields(value) if not isinstance(part, int)}
            metadata[entry.get(1, b"").decode(errors="replace")] = entry.get(2, b"")
    return fields, metadata


def _digest(fields: list[memoryview], facts: bytes) -> str:
    hasher = xxhash.xxh3_128(facts)
    for field in fields:
        hasher.update(field)
    return hasher.hexdigest()


def _require_plain(data: memoryview, kind: str, depth: int) -> None:
    """Raise ValueError where a message holds tensors outside the file, or operators that repeat a graph."""
    if depth > DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    for number, value, *_ in _fields(data):
        if (kind, number) == EXTERNAL_DATA or ((kind, number) == DATA_LOCATION and value != 0):
            raise ValueError("it keeps weights in another file, which could be any file of this machine")
        if isinstance(value, int):
            continue
        if (kind, number) == OPERATOR and bytes(value) in CONTROL:
            raise ValueError(f"it has the operator {bytes(value).decode()}, which no export of spectro has")
        if inner := MESSAGES.get(kind, {}).get(number):
            _require_plain(value, inner, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int, int, int]]:
    """Yield each field of a protobuf message: its number, its bytes or integer, and where it begins and ends."""
    at, size = 0, len(data)
    while at < size:
        begin = at
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: memoryview | int = 0
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif wire in FIXED:
            at += FIXED[wire]
        else:
            raise ValueError(f"it has a field of the unknown type {wire}")
        if at > size or number == 0:
            raise ValueError("it ends within a field")
        yield number, value, begin, at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it has a number of more than ten bytes")


def _field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
