"""Commands that use a finished run beside predict: explain a prediction, and export the model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import spectro
from spectro.cli.app import Flag, Json, command, log, put_json, put_table
from spectro.cli.bounds import Device, Start
from spectro.cli.outputs import require_file, require_folder


@command("explain")
def explain(
    run: Path,
    file: Path,
    /,
    *,
    out: Path = Path("explained"),
    label: str | None = None,
    start: Start | None = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Explain a prediction with Grad-CAM, an occlusion check and audio of the important region.

    Example: spectro explain runs/resnet50-group song.mp3 --out explained

    Parameters
    ----------
    run
        Folder of a finished run that holds one network.
    file
        Audio file.
    out
        Folder for the figure, the audio and the values.
    label
        Class to explain; by default the predicted one.
    start
        A time within the segment to explain, in seconds; by default the segment with the highest probability.
    device
        auto, cpu, cuda or mps.
    """
    from spectro.plots.explanation import save_explanation

    require_folder(out, "results")
    explanation = spectro.explain(run, file, label=label, start=start, device=device)
    figure, *_ = save_explanation(explanation, out)
    if as_json:
        return put_json({**explanation.to_dict(), "figure": str(figure)})
    clip = f"{explanation.clip_probability:.2f} in the whole file"
    print(f"{explanation.label}: {explanation.probability:.2f} at {explanation.start:g} s, {clip}")
    areas = ((order, f"{curve.area:.3f}") for order, curve in explanation.deletions.items())
    put_table(("regions removed in the order of", "area under the deletion curve (lower is better)"), areas)
    print(f"{explanation.verdict}.")
    print(f"wrote {figure} and the audio beside it")
    return None


@command("export")
def export(
    run: Path,
    /,
    *,
    out: Path,
    front: Literal["image", "audio"] = "image",
    int8: Flag = False,
    allow_loss: Flag = False,
    format: Literal["onnx", "openvino"] = "onnx",
    stft: Literal["auto", "operator", "conv"] = "auto",
    data: Path | None = None,
    as_json: Json = False,
) -> None:
    """Write a run of networks as one ONNX file, checked against the run on all of its test segments.

    Example: spectro export runs/resnet50-group --out model.onnx

    Example: spectro export runs/ensemble --out model.onnx --front audio --int8

    Parameters
    ----------
    run
        Folder of a finished run: of one network, or of an ensemble of networks.
    out
        The file. The comparison with the run is written beside it; a file that differs from the run is not written.
    front
        What the file takes: spectrogram images as spectro render makes them, or audio samples.
    int8
        Compute in 8 bits; the loss of accuracy is measured, and refused above one point.
    allow_loss
        Write an 8-bit file whatever it loses.
    format
        onnx, or openvino (two files: NAME.xml and NAME.bin).
    stft
        How an audio front computes spectra: operator (ONNX's STFT, for CPUs), conv (any device), or auto: the operator
        where n_fft is a power of two.
    data
        Folder made by spectro render that the run was trained on; by default the one that its card names.
    """
    require_file(out, format)
    exported = spectro.export(
        run, out=out, front=front, format=format, int8=int8, stft=stft, data=data, allow_loss=allow_loss, log=log
    )
    if as_json:
        return put_json(exported.report.to_dict())
    for line in exported.report.lines():
        print(line)
    print(f"wrote {exported.path} and the comparison in {exported.report_path}")
    return None
