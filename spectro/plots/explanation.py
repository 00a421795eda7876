"""An explanation as files: a figure with axes in Hz and seconds, the sound before and after, and the numbers."""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path

import librosa
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from spectro.core.arrays import Floats32
from spectro.core.config import MelConfig
from spectro.core.files import write_bytes, write_text
from spectro.explain.explain import Explanation
from spectro.plots.figures import plain_axes, plain_text, save_figure
from spectro.plots.palette import FAINT, INK

TICKS_HZ = (60, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
TICK_GAP = 0.05
"""Smallest distance of two frequency labels, as a share of the height."""
TINT = 0.75
"""Opacity of the colour where importance is highest."""
COLOURS = {"grad-cam": "#0072b2", "occlusion": "#d55e00", "random": FAINT}
"""Colours of the deletion curves, from Okabe and Ito's palette."""
TINTS = {"grad-cam": "#56b4e9", "occlusion": "#e69f00"}
"""The same hues, bright enough to be seen on black."""


def save_explanation(explanation: Explanation, out: Path | str) -> tuple[Path, ...]:
    """Write an explanation into a folder.

    Parameters
    ----------
    explanation
        What `explain` returned.
    out
        Folder to write into.

    Returns
    -------
    tuple of Path
        `<file>@<start>.png`, `.wav` (the segment), `-mattered.wav` (its important region) and `.json` (the numbers).
    """
    stem = Path(out) / f"{Path(explanation.file).stem}@{explanation.start:07.2f}"
    image, numbers, whole, mattered = (
        stem.with_name(stem.name + end) for end in (".png", ".json", ".wav", "-mattered.wav")
    )
    save_figure(explanation_figure(explanation), image)
    rate = explanation.config.mel.sample_rate
    for path, samples in ((whole, explanation.samples), (mattered, explanation.sound())):
        sound = io.BytesIO()  # libsndfile's own errors of a full disk name neither file nor reason
        soundfile.write(sound, np.clip(samples, -1, 1), rate, format="WAV")
        write_bytes(path, sound.getvalue())
    write_text(numbers, json.dumps(explanation.to_dict(), indent=2, ensure_ascii=False) + "\n")
    return image, whole, mattered, numbers


@plain_text()
def explanation_figure(explanation: Explanation) -> Figure:
    """Return the figure: the segment, its Grad-CAM map, its occlusion map and the deletion curves of both."""
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    figure.suptitle(
        f"{Path(explanation.file).name}: {explanation.label}, {explanation.probability:.0%} in this segment, "
        f"{explanation.clip_probability:.0%} in the whole file",
        color=INK,
        fontsize=12,
    )
    (sound, cam), (black, curve) = figure.subplots(2, 2)
    _spectrogram(sound, explanation, "Mel-spectrogram, as the model gets it", cmap="magma")
    if explanation.cam is None:
        cam.axis("off")
        reason = "No Grad-CAM map:\nno cell of this network's feature map\nspeaks for the class; see the occlusion map."
        cam.text(0.5, 0.5, reason, ha="center", va="center", color=FAINT)
    else:
        _spectrogram(cam, explanation, "Grad-CAM: where the feature map supports the class", cmap="gray")
        _tint(cam, explanation, explanation.cam, TINTS["grad-cam"])
    fall = np.maximum(explanation.occlusion, 0)
    title = f"Occlusion: fall of the probability where blacked out (at most {fall.max():.0%})"
    _spectrogram(black, explanation, title, cmap="gray")
    _tint(black, explanation, (fall / max(float(fall.max()), 1e-9)).astype(np.float32), TINTS["occlusion"])
    _curves(curve, explanation)
    return figure


def _spectrogram(axes: Axes, explanation: Explanation, title: str, *, cmap: str) -> None:
    axes.imshow(explanation.picture, cmap=cmap, vmin=0, vmax=255, aspect="auto", extent=_extent(explanation))
    axes.set_yticks(*frequency_ticks(explanation.config.mel))
    axes.set_ylabel("Hz")
    axes.set_xlabel("seconds")
    plain_axes(axes, title)
    axes.tick_params(labelsize=8)


def _tint(axes: Axes, explanation: Explanation, importance: Floats32, colour: str) -> None:
    """Colour the spectrogram where `importance`, in 0..1, is high."""
    overlay = np.empty((*importance.shape, 4), np.float32)
    overlay[...] = to_rgba(colour)
    overlay[..., 3] = TINT * importance
    axes.imshow(overlay, aspect="auto", extent=_extent(explanation))


def _extent(explanation: Explanation) -> tuple[float, float, float, float]:
    """Return left and right in seconds, bottom and top in bands."""
    end = explanation.start + explanation.config.segment.seconds
    return explanation.start, end, 0, explanation.picture.shape[0]


def frequency_ticks(config: MelConfig) -> tuple[list[float], list[str]]:
    """Return heights, in bands from the bottom, and names of round frequencies in Hz."""
    top = config.sample_rate / 2 if config.fmax is None else config.fmax
    centres = librosa.mel_frequencies(n_mels=config.n_mels + 2, fmin=config.fmin, fmax=top)[1:-1]
    places: dict[int, float] = {}
    last = float("inf")
    for hz in reversed(TICKS_HZ):
        place = float(np.interp(hz, centres, np.arange(config.n_mels) + 0.5))
        if centres[0] <= hz <= centres[-1] and last - place > TICK_GAP * config.n_mels:
            places[hz] = last = place
    return list(places.values())[::-1], [f"{hz:,}" for hz in places][::-1]


def _curves(axes: Axes, explanation: Explanation) -> None:
    for order, curve in explanation.deletions.items():
        style = "--" if order == "random" else "-"
        label = f"{order} order: area {curve.area:.2f}"
        axes.plot(curve.share, curve.probability, style, color=COLOURS[order], label=label, linewidth=1.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("share blacked out, most important first")
    axes.set_ylabel(f"probability of {explanation.label}")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    plain_axes(axes, "\n".join(textwrap.wrap(explanation.verdict, 66)))
    axes.tick_params(labelsize=8)
