"""Export a run as one file that gives the run's own answers: what can be wanted, and what that needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spectro.core.config import require
from spectro.core.distribution import require_packages
from spectro.core.runs import Run
from spectro.serving.export.report import GateReport

Front = Literal["audio", "image"]
Format = Literal["onnx", "openvino"]
Stft = Literal["auto", "conv", "operator"]
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}
"""Packages that each format needs."""
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
"""What names of files end in."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What `export` wrote."""

    path: Path
    """The file."""
    report_path: Path
    """The comparison with the run, as JSON."""
    report: GateReport
    """The same."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What kind of file is wanted."""

    front: Front
    format: Format
    int8: bool
    stft: Stft
    allow_loss: bool


def export(
    run: Run | Path | str,
    *,
    out: Path | str,
    front: Front = "image",
    format: Format = "onnx",
    int8: bool = False,
    stft: Stft = "auto",
    data: Path | str | None = None,
    allow_loss: bool = False,
    log: Callable[[str], object] = lambda line: None,
) -> Exported:
    """Write a run of one network, or an ensemble of networks, as one ONNX or OpenVINO file.

    The file gives `probabilities` `[batch, classes]` of single segments, combined and calibrated, and `logits`
    `[batch, models, classes]`; the cards of the run are in its metadata. Before it is written it is compared with the
    run on all of the run's test segments; the comparison is written beside it.

    Parameters
    ----------
    run
        The run or its folder.
    out
        The file.
    front
        `image`: the file takes what the card says the network is fed, 8-bit spectrograms as a rule. `audio`: it takes
        samples `[batch, samples]` at the card's rate, and gives the spectrograms as a third output.
    format
        `onnx`, or `openvino`, which is two files.
    int8
        Compute in 8 bits: smaller and faster, at a loss that is measured and refused above one point of accuracy.
    stft
        How an audio front computes spectra: `operator` is ONNX's STFT, `conv` works on every device.
    data
        The data folder, where it is no longer the one that the card names.
    allow_loss
        Write an 8-bit file whatever it costs.
    log
        Called with lines about progress.

    Raises
    ------
    ConfigError
        a package that is needed is not installed, or the name of the file has another ending than the format.
    RunError
        a member is no network, the run's test segments are gone, no exporter can convert the run, or the file does not
        give the run's answers; then nothing is written.
    """
    run, out = Run.open(run), Path(out)
    suffix = SUFFIXES[format]
    require(out.suffix.lower() == suffix, f"{out} must end in {suffix} to hold a model in the format {format}")
    require_packages("an export", "torch", *NEEDED[format])
    from spectro.serving.export.build import build  # it needs those packages, and torch

    settings = ExportSettings(front=front, format=format, int8=int8, stft=stft, allow_loss=allow_loss)
    return build(run, out, settings, None if data is None else Path(data), log)
