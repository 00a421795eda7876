"""The task of a decoding process: one uploaded file as the inputs of all models, within limits, as plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio.decode import AudioWarning, most_samples, probe
from spectro.core.errors import AudioError
from spectro.core.records import Record
from spectro.inference.reading import Ending, input_from_json, read_recording

ADVICE = "cut it into shorter files, or start the server with a larger --max-minutes"


@dataclass(frozen=True, kw_only=True)
class DecodeLimits(Record):
    """What a decoding process may take."""

    seconds: float
    """Longest sound, its channels added up, in seconds."""


@dataclass(frozen=True, kw_only=True)
class DecodeTask(Record):
    """One uploaded file."""

    path: str
    """Where it is."""
    name: str
    """What messages call it."""
    inputs: tuple[Mapping[str, Any], ...]
    """What to compute, as `input_to_json` returned it; each goes into a file beside the sound."""


@dataclass(frozen=True, kw_only=True)
class DecodedInput(Record):
    """The segments of one file for some models, in a file of bare numbers."""

    dtype: str
    shape: tuple[int, ...]
    """Of one segment."""
    starts: tuple[float, ...]
    """Start of each segment, in seconds."""


@dataclass(frozen=True, kw_only=True)
class DecodedUpload(Record):
    """A file that could be used."""

    seconds: float
    sample_rate: int
    """In Hz."""
    channels: int
    inputs: tuple[DecodedInput, ...]
    """As the task lists them."""
    warnings: tuple[AudioWarning, ...]


def input_path(folder: Path, number: int) -> Path:
    """Return where the segments of an input of a job are."""
    return folder / f"input-{number}"


def decode_upload(limits: DecodeLimits, task: DecodeTask) -> DecodedUpload:
    """Decode a file once for each input; raises AudioError where it cannot be used or exceeds the limits."""
    path = Path(task.path)
    try:
        info = probe(path)
        if info.seconds * info.channels > limits.seconds:
            channels = "" if info.channels == 1 else f" with {info.channels} channels"
            length = f"{info.seconds / 60:.1f} minutes{channels}"
            raise AudioError("too-long", f"{task.name} lasts {length}, longer than this server takes; {ADVICE}")
    except AudioError as error:
        raise AudioError(error.reason, str(error).replace(task.path, task.name)) from None
    most_samples.set(math.ceil(limits.seconds * info.sample_rate))  # counted while decoding, whatever its header claims
    starts: list[list[float]] = [[] for _ in task.inputs]
    arrays: list[NDArray[Any]] = [np.empty(0)] * len(task.inputs)
    ending: Ending | None = None
    with ExitStack() as stack:
        files = [stack.enter_context(input_path(path.parent, number).open("wb")) for number in range(len(task.inputs))]
        for part in read_recording(path, task.name, tuple(map(input_from_json, task.inputs)), stamped=False):
            if isinstance(part, Ending):
                ending = part
                break
            starts[part.number].append(part.start)
            arrays[part.number] = array = np.ascontiguousarray(part.array)
            files[part.number].write(array.data)
    if ending is None or ending.reason:
        raise AudioError(ending.reason, ending.message) if ending else RuntimeError("a recording without an end")
    return DecodedUpload(
        seconds=info.seconds,
        sample_rate=info.sample_rate,
        channels=info.channels,
        inputs=tuple(
            DecodedInput(dtype=array.dtype.str, shape=array.shape, starts=tuple(own))
            for array, own in zip(arrays, starts, strict=True)
        ),
        warnings=ending.warnings,
    )


def read_input(folder: Path, number: int, decoded: DecodedInput) -> NDArray[Any]:
    """Return the segments of an input, `[segments, ...]`, read from the disk as they are used."""
    shape = (len(decoded.starts), *decoded.shape)
    return np.memmap(input_path(folder, number), decoded.dtype, "r", shape=shape)
